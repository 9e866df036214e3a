"""Which tiles of which pictures are learnt from, held out and scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flawscope.data.defects import read_defects
from flawscope.data.samples import Sample
from flawscope.data.splits import NormalSplit
from flawscope.data.tiles import cut
from flawscope.data.training import TrainingData
from flawscope.errors import DataError, Stopped
from flawscope.methods.detector import DetectorOptions
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.runtime.tiling import Tiling
from flawscope.training.fold_scores import score_in_folds
from flawscope.training.selection import Selection
from flawscope.training.train import train
from spotted import SIDE, spotted, tiled
from trained import write_pictures
from two_filters import Difference


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, ...]:
    folder = write_pictures(tmp_path_factory.mktemp("good"), 9, side=SIDE)
    return tuple(Sample(path, "train", defective=False) for path in sorted(folder.iterdir()))


TILES, SMALL = Tiling(size=(32, 32), stride=(24, 24)), Frame(32, 32)


def test_whole_pictures_are_learnt_from_where_the_recipe_says_so(good: tuple[Sample, ...]) -> None:
    split = NormalSplit(good[:4], tuning=good[4:6], calibration=good[6:], test=())
    whole, tiles = (Selection(split, tiling=TILES, learn_from=way) for way in ("whole", "tiles"))
    assert (len(whole.data(SMALL).normal), len(whole.data(SMALL).tuning)) == (4, 2)
    assert (len(tiles.data(SMALL).normal), len(tiles.data(SMALL).tuning)) == (64, 32)
    assert len(whole.apart(SMALL)) == len(tiles.apart(SMALL)) == 48
    assert {picture.frames for picture in whole.seen()} == {1}
    assert {picture.frames for picture in tiles.seen() if picture.role == "normal"} == {16}


def test_no_more_tiles_are_learnt_from_than_a_method_wants_and_all_are_scored(
    good: tuple[Sample, ...],
) -> None:
    split = NormalSplit(good[:4], tuning=good[4:6], calibration=good[6:], test=(), folds=2)
    chosen = Selection(split, tiling=TILES, most_tiles=20, seed=3)
    data = chosen.data(SMALL)
    assert (len(data.normal), len(data.tuning), len(chosen.apart(SMALL))) == (20, 32, 48)
    assert [tile.path for tile in data.normal.samples] == [one.path for one in good[:4] for _ in range(5)]
    assert data.normal.samples == chosen.data(SMALL).normal.samples
    assert data.normal.samples != replace(chosen, seed=4).data(SMALL).normal.samples
    assert [picture.frames for picture in chosen.seen() if picture.role == "normal"] == [5] * 4
    assert [(len(fit.normal), len(held)) for fit, held in chosen.folds(SMALL, seed=0)] == [(20, 32)] * 2
    whole = replace(chosen, learn_from="whole", most_tiles=2)
    assert len(whole.data(SMALL).normal) == 4


def test_few_pictures_calibrate_in_folds_by_picture(good: tuple[Sample, ...]) -> None:
    split = NormalSplit(good, tuning=(), calibration=(), test=(), folds=3)
    folds = Selection(split, tiling=TILES).folds(SMALL, seed=0)
    for data, apart in folds:
        assert not {s.path for s in data.normal.samples} & {s.path for s in apart.samples}
    held_out = score_in_folds(folds, lambda: Difference(DetectorOptions(size=(32, 32))), Run())
    assert [len(scores) for scores in held_out.scores] == [3, 3, 3]
    assert held_out.levels is not None
    assert len(held_out.levels) == 9


def test_tiles_of_a_picture_have_one_role_inside_segad(good: tuple[Sample, ...]) -> None:
    data = TrainingData(cut(good[:6], SMALL, TILES), cut(good[6:], SMALL, TILES)).for_detector(0.3)
    assert (len(data.normal), len(data.tuning)) == (64, 32)


def test_of_defective_pictures_the_tiles_with_a_marked_area_are_learnt_from(
    good: tuple[Sample, ...], tmp_path: Path
) -> None:
    spotted(tmp_path / "bad", 3, masks=True)
    split = NormalSplit(good, tuning=(), calibration=(), test=())
    chosen = Selection(split, read_defects(tmp_path / "bad"), tiling=TILES)
    found = chosen.data(SMALL).defective
    assert found is not None
    assert [sample.path.name for sample in found.samples] == ["000.png"] * 2 + ["001.png"] * 2 + [
        "002.png"
    ] * 4
    for pixels in found:
        assert pixels.min() == 0
    whole = Selection(split, chosen.defective, tiling=TILES, learn_from="whole").data(SMALL).defective
    assert whole is not None
    assert len(whole) == 3


@pytest.mark.parametrize("masks", [True, False])
def test_training_says_which_defective_tiles_it_takes(tmp_path: Path, masks: bool) -> None:
    write_pictures(tmp_path / "good", 24, side=SIDE)
    spotted(tmp_path / "bad", 3, masks=masks)
    watch, said = Watch(), list[str]()
    watch.stop.set()
    wish = tiled(
        tmp_path,
        data={"folder": str(tmp_path / "good"), "defects": str(tmp_path / "bad")},
        method="classifier",
        options={"weights": "random", "backbone": "test_resnet", "steps": 2},
    )
    with pytest.raises(Stopped if masks else DataError, match="stop" if masks else "3 pictures without any"):
        train(wish, tmp_path / "model", Run(), replace(watch, say=said.append))
    assert any("Of 3 defective pictures 8 tiles are learnt from" in line for line in said) == masks
