"""Heatmaps cut where F1 is highest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flawscope.data.samples import Sample
from flawscope.runtime.images import read_image
from flawscope.runtime.prediction import Decision, Prediction
from flawscope.station.localisation import Cuts


@dataclass(frozen=True)
class Area:
    """The upper left quarter of the picture."""

    def read(self, height: int, width: int) -> np.ndarray:
        mask = np.zeros((height, width), bool)
        mask[: height // 2, : width // 2] = True
        return mask

    def saturation(self, area: int) -> float:
        return float(area)


def sample(name: str, *, defective: bool, annotated: bool = True) -> Sample:
    masks = (Area(),) if defective and annotated else ()
    return Sample(Path(name), "test", defective=defective, kind="hole" if defective else "good", masks=masks)


def answer(heatmap: np.ndarray | None) -> Prediction:
    return Prediction(score=1.0, p_value=0.5, decision=Decision.ACCEPT, heatmap=heatmap)


def heat(side: int, corner: float, rest: float) -> np.ndarray:
    heatmap = np.full((side, side), rest, np.float32)
    heatmap[: side // 2, : side // 2] = corner
    return heatmap


def test_the_cut_is_where_f1_is_highest() -> None:
    cuts = Cuts()
    cuts.add(sample("bad", defective=True), answer(heat(100, 7.0, 1.0)), {"bad", "good"})
    cuts.add(sample("good", defective=False), answer(heat(40, 2.0, 8.0)), {"bad", "good"})
    insets = cuts.insets()
    assert set(insets) == {"bad", "good"}
    # from 7 on: 1024 pixels found, 1200 false (64 × 64 of `bad` are sampled, 40 × 40 of `good` are all)
    f1 = 2 * 1024 / (2 * 1024 + 1200)
    assert insets["bad"].about == (
        f"area: map from 7 on, F1 over all pixels at its highest, {f1:.2f}; line: truth"
    )
    drawn = read_image(insets["bad"].picture).astype(int)
    assert drawn.shape == (100, 100, 3)
    assert drawn[20, 20, 0] > 200
    assert drawn[80, 80].max() < 80
    assert read_image(insets["good"].picture).astype(int)[30, 30, 0] > 200


def test_only_what_is_drawn_is_kept() -> None:
    cuts = Cuts()
    for index in range(4):
        drawn = {f"{index}", f"{index - 1}"}
        cuts.add(sample(str(index), defective=index % 2 == 0), answer(heat(400, 2.0, 1.0)), drawn)
    insets = cuts.insets()
    assert set(insets) == {"2", "3"}
    assert read_image(insets["2"].picture).shape[0] <= 360


def test_without_truth_there_is_nothing() -> None:
    cuts = Cuts()
    assert cuts.insets() == {}
    cuts.add(sample("a", defective=True, annotated=False), answer(heat(20, 2.0, 1.0)), {"a"})
    cuts.add(sample("b", defective=True), answer(None), {"b"})
    assert cuts.insets() == {}
    cuts.add(sample("c", defective=False), answer(heat(20, 2.0, 1.0)), {"c"})
    assert cuts.insets() == {}


def test_what_gave_way_to_a_picture_without_truth_is_not_kept() -> None:
    cuts = Cuts()
    cuts.add(sample("a", defective=True), answer(heat(20, 2.0, 1.0)), {"a"})
    cuts.add(sample("b", defective=True, annotated=False), answer(heat(20, 2.0, 1.0)), {"b"})
    assert cuts.insets() == {}
