"""JoinedBanks on parts that lack what good ones show: score, finding, teaching; where none is searched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from banks_small import SMALL as BANKS
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.tiles import cut
from flawscope.data.training import TrainingData
from flawscope.methods.joined_banks import JoinedBanks
from flawscope.methods.registry import create
from flawscope.methods.running import score, taught
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.prediction import Decision
from flawscope.runtime.tiling import Tiling
from flawscope.training.train import train
from trained import recipe, write_pictures

Make = Callable[..., TrainingData]
SMALL = {**BANKS, "absent": 24}


def pictures(folder: Path, count: int, *, seed: int, spot: bool = True) -> Path:
    """Good ones have a dark square somewhere."""
    return write_pictures(folder, count, seed=seed, spot=spot)


def normal(folder: Path, like: TrainingData) -> TrainingData:
    samples = [Sample(path, "train", defective=False) for path in sorted(folder.iterdir())]
    return replace(like, normal=PictureFiles(samples, like.normal.frame))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of 100 pictures with a square, and pictures without one."""
    root = tmp_path_factory.mktemp("absent")
    pictures(root / "product" / "good", 100, seed=0)
    pictures(root / "product" / "lacking", 4, seed=1, spot=False)
    made = recipe(root / "product", method="joined_banks", options=SMALL)
    train(made, root / "model", Run())
    return root / "model", root / "product" / "lacking"


def test_a_part_without_its_square_is_rejected_and_the_sentence_says_so(model: tuple[Path, Path]) -> None:
    folder, lacking = model
    inspector = Inspector.load(folder)
    found = [inspector.inspect(path) for path in sorted(lacking.iterdir())]
    assert [one.decision for one in found] == [Decision.REJECT] * 4
    texts = [one.findings[0].text for one in found]
    assert all(text.startswith("something is missing: no patch is like the one at (") for text in texts)
    assert all(".png, " in text for text in texts)


def test_good_pictures_score_by_their_maps_alone(training_data: Make, tmp_path: Path) -> None:
    data = normal(pictures(tmp_path / "good", 60, seed=0), training_data(0))
    others = normal(pictures(tmp_path / "others", 8, seed=1), data).normal
    with_it, without = (
        create("joined_banks", {**SMALL, "absent": kinds}).fit(data, Run(precision="fp32"))
        for kinds in (24, 0)
    )
    found, plain = (score(detector, others, Run(precision="fp32")) for detector in (with_it, without))
    np.testing.assert_array_equal(found["heatmap"], plain["heatmap"])
    np.testing.assert_array_equal(found["score"], plain["score"])
    assert [output.name for output in without.outputs] == ["score", "heatmap"]


def test_taught_parts_without_it_are_good_parts(training_data: Make, tmp_path: Path) -> None:
    data = normal(pictures(tmp_path / "good", 60, seed=0), training_data(0))
    lacking = normal(pictures(tmp_path / "lacking", 3, seed=1, spot=False), data)
    detector = create("joined_banks", SMALL).fit(data, Run(precision="fp32"))
    before = score(detector, lacking.normal, Run(precision="fp32"))
    taught(detector, lacking, Run(precision="fp32"))
    after = score(detector, lacking.normal, Run(precision="fp32"))
    assert (before["absent"].max(1) > 1.25).all()
    assert (after["absent"].max(1) <= 1 + 1e-4).all()
    assert (after["score"] < before["score"]).all()


def test_tiles_are_not_searched_for_what_others_show(training_data: Make, tmp_path: Path) -> None:
    data, side = training_data(60), (48, 48)
    tiles = cut(data.normal.samples, Frame(height=48, width=48), Tiling(size=side, stride=(16, 16)))
    detector = create("joined_banks", {**SMALL, "size": side})
    assert isinstance(detector, JoinedBanks)
    detector.fit(replace(data, normal=tiles), Run(precision="fp32"))
    assert detector.learnt.facts == {}
    assert detector.absent is not None
    assert detector.absent.reach == torch.inf


def test_a_part_of_the_pictures_tells_where_all_would(training_data: Make, tmp_path: Path) -> None:
    """As each of five folds of fifty pictures sees forty."""
    data = normal(pictures(tmp_path / "good", 40, seed=0), training_data(0))
    for part, told in ((0.8, True), (1.0, False)):
        detector = create("joined_banks", SMALL).fit(data, Run(precision="fp32", part=part))
        assert isinstance(detector, JoinedBanks)
        assert detector.absent is not None
        assert bool(detector.absent.reach.isfinite()) is told


def test_another_fit_keeps_nothing_of_the_one_before(training_data: Make, tmp_path: Path) -> None:
    many = normal(pictures(tmp_path / "many", 60, seed=0), training_data(0))
    few = normal(pictures(tmp_path / "few", 20, seed=1), many)
    detector, fresh = create("joined_banks", SMALL), create("joined_banks", SMALL)
    once = detector.fit(many, Run(precision="fp32")).fit(few, Run(precision="fp32")).state_dict()
    expected = fresh.fit(few, Run(precision="fp32")).state_dict()
    assert all(torch.equal(value, once[name]) for name, value in expected.items())
