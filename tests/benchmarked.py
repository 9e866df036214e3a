"""A small data set with masks and a small benchmark of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trained import OPTIONS, write_pictures

BENCHMARK: dict[str, Any] = {
    "title": "PatchCore by number of training pictures",
    "source": "table 1",
    "paper": "A paper",
    "pictures": "rendered squares",
    "base": {
        "data": {"product": "square"},
        "method": "patchcore",
        "preset": None,
        "options": OPTIONS,
        "split": {"calibration": 0.25},
        "calibration": {"false_rejects": 0.4},
    },
    "rows": [
        {"label": "All pictures", "paper": {"image_auroc": 99.5, "aupro_30": 90}},
        {
            "label": "Ten pictures",
            "training_pictures": 10,
            "options": {"coreset": 0.5},
            "notes": ["The paper does not say which ten."],
        },
        {"label": "Another product", "data": {"product": "circle"}, "paper": {"image_auroc": 98.1}},
    ],
    "charts": [
        {"kind": "losses", "title": "Losses"},
        {"kind": "sweep", "key": "options.coreset", "title": "By coreset"},
    ],
    "notes": ["Table 1 and figure 1 contradict each other."],
}


def write_product(root: Path, *, good: int = 32, spotted: int = 4, side: int = 64) -> Path:
    """One product in the MVTec AD layout: train/good, test/good, test/spot with masks."""
    write_pictures(root / "train" / "good", good, side=side)
    write_pictures(root / "test" / "good", 5, seed=1, side=side)
    write_pictures(root / "test" / "spot", spotted, seed=2, spot=True, side=side)
    masks = root / "ground_truth" / "spot"
    masks.mkdir(parents=True)
    for path in sorted((root / "test" / "spot").iterdir()):
        dark = np.asarray(Image.open(path)).max(axis=2) == 5
        Image.fromarray((255 * dark).astype(np.uint8)).save(masks / f"{path.stem}_mask.png")
    return root
