"""Multi-scale patches on real products: one, two, three scales, and each loss left out, shortened training.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/multiscale_patch.py --data DATA --work WORK \\
        --out benchmarks/results/multiscale_patch.json

Image and pixel AUROC and AU-PRO up to a false positive rate of 0.3, as `accuracy.py` computes them, with the
settings below, which are not the paper's: ResNet-18 in place of VGG16, whose patches cannot be encoded
densely, wider strides, a bank thinned to a coreset, and far fewer steps. `--options` changes them. The scales
learn apart, by losses and draws of their own, so that the maps of one training give the figures of one, two
and three scales, as trainings of these scales would. Variants are the losses left out, `scratch` (random
weights at first) and `untrained` (one step at a learning rate of nothing: the pretrained features behind a
random projection).

The table is written after every run. A stopped run goes on from its checkpoint in WORK, and finished ones are
taken from the table, where their options are the same.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accuracy import FOLDERS, _annotated, machine

from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import Pictures
from flawscope.data.samples import TrainingData
from flawscope.files import write_text
from flawscope.methods.multiscale_patch import MultiScalePatch
from flawscope.methods.registry import create
from flawscope.metrics.pixels import pixel_auroc
from flawscope.metrics.ranking import auroc
from flawscope.metrics.regions import aupro
from flawscope.nn.run import Checkpoints, Run

Row = dict[str, Any]
LOSSES = ("svdd", "cos", "ssl", "kmeans")
SETTINGS: dict[str, Any] = {
    "backbone": "resnet18",
    "padding": True,
    "strides": (16, 8, 8),
    "patches": 8,
    "batch": 16,
    "steps": 500,
    "learning_rate": 1e-4,
    "clusters": 50,
    "bank_limit": 20_000,
    "examples": 0,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "all losses": {},
    **{f"without {name}": {"losses": tuple(each for each in LOSSES if each != name)} for name in LOSSES},
    "scratch": {"weights": "random", "learning_rate": 1e-3},
    "untrained": {"steps": 1, "learning_rate": 1e-12, "patches": 1, "clusters": 2},
}


def figures(detector: MultiScalePatch, test: Pictures, run: Run) -> list[Row]:
    """Figures of the largest scale alone, then with each further one."""
    outputs = detector.score(test, run)
    defective = [sample.defective for sample in test.samples]
    joined = torch.zeros(len(test), *detector.options.size)
    rows = []
    for index, scale in enumerate(detector.options.scales):
        with torch.inference_mode():
            joined = joined + detector.coverage[str(scale)].cpu()(
                torch.from_numpy(outputs[f"distance_{scale}"])
            )
        side, step = detector.options.window
        scores = F.avg_pool2d(joined.unsqueeze(1), side, step).flatten(1).amax(1).numpy()
        masks, maps = _annotated(test.samples, joined.numpy().astype(np.float32), detector.frame)
        rows.append(
            {
                "scales": detector.options.scales[: index + 1],
                "image_auroc": auroc(defective, scores),
                "pixel_auroc": pixel_auroc(masks, maps),
                "aupro_0.3": aupro(masks, maps),
            }
        )
    return rows


def measure(given: argparse.Namespace, product: str, variant: str) -> Row:
    """Train one variant on one product and score its test pictures."""
    detector = create("multiscale_patch", options_of(given, variant))
    assert isinstance(detector, MultiScalePatch)
    dataset = read_dataset(given.data / FOLDERS[product])
    normal = Pictures(dataset.select(split="train", defective=False), detector.frame)
    folder = given.work / f"{product}-{variant}".replace(" ", "-")
    run = Run(
        seed=given.seed, device=given.device, precision=given.precision, checkpoints=Checkpoints(folder)
    )
    started = time.perf_counter()
    detector.fit(TrainingData(normal=normal, tuning=normal.subset([])), run)
    fitted = time.perf_counter()
    found = figures(detector, Pictures(dataset.select(split="test"), detector.frame), run)
    return {
        "product": product,
        "variant": variant,
        "seed": given.seed,
        "options": detector.options.model_dump(mode="json"),
        "training_pictures": len(normal),
        "test_pictures": len(dataset.select(split="test")),
        "figures": found,
        "history": detector.history,
        "fit_seconds": round(fitted - started, 1),
        "score_seconds": round(time.perf_counter() - fitted, 1),
    }


def options_of(given: argparse.Namespace, variant: str) -> dict[str, Any]:
    """The shortened settings, the command line's and the variant's, the later over the earlier."""
    return {**SETTINGS, **given.options, **VARIANTS[variant]}


def table(rows: list[Row]) -> str:
    """The rows as Markdown, in percent."""
    lines = [
        "| product | variant | scales | image AUROC | pixel AUROC | AU-PRO 0.3 | steps | fit s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        for found in row["figures"]:
            measures = " | ".join(
                f"{100 * found[key]:.1f}" for key in ("image_auroc", "pixel_auroc", "aupro_0.3")
            )
            scales = " + ".join(str(scale) for scale in found["scales"])
            lines.append(
                f"| {row['product']} | {row['variant']} | {scales} | {measures} "
                f"| {row['options']['steps']} | {row['fit_seconds']} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the products' folders")
    parser.add_argument("--products", nargs="+", choices=FOLDERS, default=["screw", "magnetic_tile"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object over the settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="JSON file; the table goes beside it as .md")
    given = parser.parse_args()
    rows: list[Row] = json.loads(given.out.read_text())["results"] if given.out.exists() else []
    for product in given.products:
        for variant in given.variants:
            wanted = create("multiscale_patch", options_of(given, variant)).options.model_dump(mode="json")
            key = (product, variant, given.seed, wanted)
            if any((row["product"], row["variant"], row["seed"], row["options"]) == key for row in rows):
                continue
            rows.append(measure(given, product, variant))
            about = machine()
            write_text(given.out, json.dumps({"machine": about, "results": rows}, indent=1) + "\n")
            settings = ", ".join(f"{name} {value}" for name, value in {**SETTINGS, **given.options}.items())
            notes = f"Shortened settings, not the paper's: {settings}.\n\n`{about['command']}`"
            write_text(given.out.with_suffix(".md"), f"{table(rows)}\n\n{notes}\n\n{about['processor']}\n")
            print(table(rows[-1:]), flush=True)


if __name__ == "__main__":
    main()
