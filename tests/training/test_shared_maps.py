"""Folds of a tiled model share what the frozen network tells of a tile, and give the same as without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from banks_small import SMALL
from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.data.splits import NormalSplit
from flawscope.data.training import TrainingData
from flawscope.errors import DataError
from flawscope.methods.detector import Learnt
from flawscope.methods.joined_banks import JoinedBanks
from flawscope.methods.registry import create
from flawscope.nn.banks import features
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.runtime.tiling import Overview, Tiling
from flawscope.training import train as training
from flawscope.training.fold_scores import HeldOut, score_in_folds
from flawscope.training.selection import Selection
from trained import OPTIONS, recipe, write_pictures

TILES = Tiling(size=(64, 64), stride=(56, 56), overview=Overview())  # 2 × 2 of 120 pixels, and one more


def test_folds_with_shared_maps_give_the_same_and_see_each_tile_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(write_pictures(tmp_path / "good", 9, side=120).iterdir())
    good = tuple(Sample(path, "train", defective=False) for path in paths)
    split = NormalSplit(good[:6], tuning=good[6:], calibration=(), test=(), folds=2)
    seen, plain = list[int](), features.batches

    def batches(some: Pictures, *rest: object) -> Iterator[Tensor]:
        for pixels in plain(some, *rest):  # type: ignore[arg-type]
            seen.append(len(pixels))
            yield pixels

    def scored(run: Run) -> HeldOut:
        folds = Selection(split, tiling=TILES).folds(Frame(64, 64), seed=0)
        return score_in_folds(folds, lambda: create("joined_banks", SMALL), run)

    monkeypatch.setattr(features, "batches", batches)
    shared = scored(Run(maps=Checkpoints(tmp_path / "maps")))
    assert sum(seen) == 9 * 5  # those learnt from, scored, and those that bring the overview to scale
    alone = scored(Run())
    assert [len(scores) for scores in shared.scores] == [3, 3]
    np.testing.assert_allclose(shared.scores, alone.scores, rtol=1e-3)
    assert shared.levels is not None
    assert alone.levels is not None
    np.testing.assert_allclose(shared.levels, alone.levels, rtol=1e-3)


def test_each_fold_knows_which_share_of_the_pictures_it_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(write_pictures(tmp_path / "good", 10).iterdir())
    split = NormalSplit(tuple(Sample(path, "train", defective=False) for path in paths), (), (), (), folds=5)
    runs, plain = list[Run](), JoinedBanks.learn

    def learn(self: JoinedBanks, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        runs.append(run)
        return plain(self, data, run, watch)

    monkeypatch.setattr(JoinedBanks, "learn", learn)
    folds = Selection(split).folds(Frame(64, 64), seed=0)
    score_in_folds(folds, lambda: create("joined_banks", SMALL), Run())
    assert [run.part for run in runs] == [0.8] * 5
    assert runs[0].enough(8, 10)
    assert not runs[0].enough(8, 11)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"tiling": {"size": 32, "stride": 32}, "split": {"folds": 2}}, True),
        ({"tiling": "none", "split": {"folds": 2}}, False),
        ({"tiling": {"size": 32, "stride": 32}, "split": {"calibration": 0.4}}, False),
    ],
)
def test_maps_are_kept_for_folds_of_tiles(
    changes: dict[str, Any], kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = list[Run]()

    def stop(recipe: Any, *given: Any) -> Run:
        runs.append(plain(recipe, *given))
        raise DataError("fit", expected="", got="", fix="")

    plain = training._with_checkpoints
    monkeypatch.setattr(training, "_with_checkpoints", stop)
    pictures = write_pictures(tmp_path / "good", 12, side=72)
    options = {name: value for name, value in OPTIONS.items() if name != "size"} | (
        {"size": [32, 32]} if changes["tiling"] == "none" else {}
    )
    with pytest.raises(DataError, match="fit"):
        training.train(recipe(pictures, options=options, **changes), tmp_path / "model")
    (run,) = runs
    assert (run.maps is not None) is kept
