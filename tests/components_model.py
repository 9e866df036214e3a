"""A model whose findings speak of components, and pictures of eight screws and eight washers, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain import Explanation, explainer
from flawscope.runtime.images import Frame
from flawscope.runtime.manifest import HeatmapRange, Manifest, OutputSpec
from flawscope.runtime.prediction import Decision, Look, Prediction, Region
from flawscope.runtime.turned_placement import TurnedPlacement
from quadrants_model import quadrants_manifest

NAMES = ["background", "screw", "nut", "washer"]
FRAME = (80, 160)  # 2 × 4 cells of 40 × 40
CELLS = 8
USUAL = {1: (0.10, 0.12), 2: (0.0, 0.0), 3: (0.04, 0.05)}  # of each class in each cell
ENTRIES = [f"1x1/0/{label}" for label in USUAL] + [
    f"2x4/{cell}/{label}" for cell in range(CELLS) for label in USUAL
]


def model(**learnt: Any) -> Manifest:
    histogram = OutputSpec(name="histogram", kind="vector", names=tuple(ENTRIES))
    others = tuple(output for output in quadrants_manifest().outputs if output.kind in ("score", "heatmap"))
    stages = quadrants_manifest().stages
    outputs = (*others, histogram)
    stage = stages[0].model_copy(update={"outputs": tuple(output.name for output in outputs)})
    return quadrants_manifest(
        outputs=outputs,
        stages=(stage,),
        explains="components",
        learnt={"names": NAMES, **learnt},
        frame=Frame(height=FRAME[0], width=FRAME[1]),
        heatmap=HeatmapRange(low=0, high=2, threshold=1),
    )


def explain(
    shares: dict[str, float] | None = None,
    counts: tuple[int, int, int] = (8, 0, 8),
    *,
    decision: Decision = Decision.REJECT,
    regions: tuple[Region, ...] = (),
    manifest: Manifest | None = None,
    histogram: bool = True,
    turned_round: bool = False,
    **further: NDArray[Any],
) -> Explanation:
    """What the reader says of a picture of twice the frame's size, with such shares, counts and outputs.

    In each cell lies a square of class 1 at the top left and one of class 3 at the bottom right. Where it is
    `turned_round`, the frame shows it by half a turn.
    """
    usual = np.array([USUAL[int(name[-1])] for name in ENTRIES], np.float32)
    found = usual.mean(1)
    for name, value in (shares or {}).items():
        found[ENTRIES.index(name)] = value
    labels = np.zeros(FRAME, np.uint8)
    for cell in range(CELLS):
        top, left = 40 * (cell // 4), 40 * (cell % 4)
        labels[top + 4 : top + 14, left + 4 : left + 14] = 1
        labels[top + 25 : top + 35, left + 25 : left + 35] = 3
    expected = np.array([8, 0, 8], np.float32)
    outputs = {
        "components": labels,
        "histogram": found,
        "histogram_low": usual[:, 0],
        "histogram_high": usual[:, 1],
        "counts": np.array(counts, np.float32),
        "counts_low": expected,
        "counts_high": expected,
        **further,
    }
    if not histogram:
        outputs = {name: value for name, value in outputs.items() if not name.startswith("histogram")}
    heatmap = np.zeros((160, 320), np.float32)
    heatmap[12, 172] = 0.5  # on the screw in the third cell
    manifest = manifest or model()
    placement = manifest.frame.placement(*heatmap.shape)
    if turned_round:
        placement = TurnedPlacement.of(placement, (-1, 0, 0, 0), FRAME)
    looks = (Look(placement, outputs),)
    prediction = Prediction(2.0, 0.01, decision, heatmap=heatmap, regions=regions, looks=looks)
    return explainer(manifest.explains)(manifest, prediction)


def strays(*boxes: tuple[int, int, int, int, int], found: Mapping[int, float]) -> dict[str, NDArray[Any]]:
    """Outputs that tell of classes where good pictures never show them.

    Args:
        boxes: class, top, left, bottom and right of each stray in cells of 4 × 4 pixels, 20 × 40 in all.
        found: for each class the share of the picture that strays; good pictures show at most 0.0005.

    Good pictures show class 1 in the upper left quarter of each compartment, class 3 in the lower right one.
    """
    usual = np.zeros((20, 40), np.uint8)
    rows, columns = np.indices(usual.shape) % 10 // 5
    usual[(rows == 0) & (columns == 0)] = 1
    usual[(rows == 1) & (columns == 1)] = 3
    cells = np.zeros_like(usual)
    for label, top, left, bottom, right in boxes:
        cells[top:bottom, left:right] = label
    return {
        "strays": cells,
        "usual": usual,
        "elsewhere": np.array([found.get(label, 0.0) for label in USUAL], np.float32),
        "elsewhere_low": np.zeros(3, np.float32),
        "elsewhere_high": np.full(3, 0.0005, np.float32),
    }
