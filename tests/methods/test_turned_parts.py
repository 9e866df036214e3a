"""JoinedBanks on parts that lie at any angle: where flaws and missing marks are told, by whichever way."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.methods.registry import create
from flawscope.methods.running import restored, score, taught
from flawscope.methods.segad.appearance import looks_of, overheard
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.upright.pose import EARLIER, SLOPE
from flawscope.nn.upright.turned import Turned
from flawscope.runtime.images import Frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.prediction import Decision
from flawscope.training.train import train
from trained import recipe
from turning_parts import MARK, SIDE, wheel, write_wheels

OPTIONS: dict[str, Any] = {
    "size": [SIDE, SIDE],
    "weights": "random",
    "backbone": "test_resnet",
    "fine_bank": 300,
    "middle_bank": 60,
    "coarse_bank": 60,
    "evenness_steps": 20,
    "smoothing": 2.0,
    "absent": 48,
    "upright": True,
}
RUN = Run(precision="fp32")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    """What 100 wheels gave."""
    root = tmp_path_factory.mktemp("wheels")
    write_wheels(root / "product" / "good", 100, seed=1)
    made = recipe(root / "product", method="joined_banks", options=OPTIONS)
    train(made, root / "model", Run())
    return Inspector.load(root / "model")


@pytest.fixture
def data(tmp_path: Path) -> TrainingData:
    """Sixty wheels."""
    write_wheels(tmp_path / "good", 60, seed=2)
    return of(tmp_path / "good")


def of(folder: Path) -> TrainingData:
    samples = [Sample(path, "train", defective=False) for path in sorted(folder.iterdir())]
    pictures = PictureFiles(samples, Frame(height=SIDE, width=SIDE))
    return TrainingData(normal=pictures, tuning=pictures.subset([]))


def of_parts(data: TrainingData, views: int) -> TrainingData:
    """The same, so many pictures of each part."""
    samples = [replace(one, group=str(index // views)) for index, one in enumerate(data.normal.samples)]
    return replace(data, normal=PictureFiles(samples, data.normal.frame))


def place(angle: float, radius: float, degrees: float) -> tuple[float, float]:
    """Pixels (x, y) of a place of the wheel."""
    turn = math.radians(angle + degrees)
    return tuple(SIDE / 2 + radius * 0.4 * SIDE * np.array([math.cos(turn), math.sin(turn)]))


def spotted(angle: float, radius: float, degrees: float) -> NDArray[np.uint8]:
    picture = wheel(angle, seed=7)
    x, y = place(angle, radius, degrees)
    cv2.circle(picture, (round(x), round(y)), 4, (20, 20, 20), -1)
    return picture


def written(folder: Path, *pictures: NDArray[np.uint8]) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{index}.png")
        yield folder / f"{index}.png"


def test_flaws_are_found_where_they_lie(model: Inspector, tmp_path: Path) -> None:
    angles = (15.0, 100.0, 200.0, 320.0)
    drawn = [spotted(angle, 0.7, 90) for angle in angles]
    for angle, path in zip(angles, written(tmp_path / "spots", *drawn), strict=True):
        found = model.inspect(path)
        assert found.decision is Decision.REJECT
        assert found.heatmap is not None
        row, column = divmod(int(found.heatmap.argmax()), SIDE)
        assert math.dist((column, row), place(angle, 0.7, 90)) < 8
        assert found.score == pytest.approx(float(found.heatmap.max()), rel=1e-4)


def test_a_missing_mark_is_told(model: Inspector, tmp_path: Path) -> None:
    for path in written(tmp_path / "bare", *(wheel(angle, seed=9, mark=None) for angle in (40.0, 170.0))):
        found = model.inspect(path)
        assert found.decision is Decision.REJECT
        assert found.findings[0].text.startswith("something is missing")


def test_the_best_example_is_told_as_it_lies(model: Inspector, tmp_path: Path) -> None:
    """Of the kind that is the mark: the red place of the good picture that is named."""
    path = next(written(tmp_path / "bare", wheel(40.0, seed=9, mark=None)))
    text = model.inspect(path).findings[0].text
    told = re.search(r"\((\d+)%, (\d+)%\) of (\S+\.png)", text)
    assert told is not None
    name = told.group(3)
    pictures = [one for one in model.bundle.manifest.provenance.pictures if one.name == name]
    assert len(pictures) == 1
    index = int(re.sub(r"\D", "", Path(name).stem))
    angles = list(write_wheels(tmp_path / "again", 100, seed=1))
    expected = place(angles[index], MARK, 30)
    found = (float(told.group(1)) / 100 * SIDE, float(told.group(2)) / 100 * SIDE)
    assert math.dist(found, expected) < 12  # a patch is averaged over three cells of eight pixels


def test_parts_that_lie_alike_are_seen_as_they_are(tmp_path: Path) -> None:
    write_wheels(tmp_path / "good", 60, seed=3, turned=False)
    data = of(tmp_path / "good")
    found, plain = (
        create("joined_banks", {**OPTIONS, "upright": one}).fit(data, RUN) for one in (True, False)
    )
    assert "upright" not in found.learnt.facts
    assert [output.name for output in found.outputs] == ["score", "heatmap", "absent"]
    mine, theirs = found.state_dict(), plain.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_what_was_fitted_before_finds_centres_as_it_did() -> None:
    now, before = (create("joined_banks", OPTIONS, {"upright": known}) for known in ([SIDE, SIDE], True))
    assert isinstance(now.backbone, Turned)
    assert isinstance(before.backbone, Turned)
    assert (now.backbone.upright.slope, before.backbone.upright.slope) == (SLOPE, EARLIER)


def test_a_restored_detector_turns_as_the_fitted_one(data: TrainingData) -> None:
    fitted = create("joined_banks", OPTIONS).fit(data, RUN)
    assert fitted.learnt.facts["upright"] == [SIDE, SIDE]
    assert [output.name for output in fitted.outputs] == ["score", "heatmap", "absent", "pose"]
    again = restored("joined_banks", OPTIONS, fitted.state_dict(), fitted.learnt.facts)
    found, expected = (score(one, data.normal.subset([0, 1, 2]), RUN) for one in (again, fitted))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_looks_are_below_what_the_heatmap_shows(data: TrainingData) -> None:
    """The network sees the picture turned, and so the heatmap over it is turned for the looks."""
    detector = create("joined_banks", OPTIONS).fit(data, RUN)
    pixels = torch.from_numpy(np.stack([data.normal[index] for index in range(4)]))
    with torch.inference_mode(), overheard(detector) as heard:
        pose = detector(pixels)["pose"]
    (found,) = heard
    assert tuple(found.maps) == detector.backbone.layers
    red = pixels[:, 0] - pixels[:, 1]  # (4, H, W), highest at the mark
    assert isinstance(detector.backbone, Turned)
    turned = detector.backbone.upright.turned(pixels, pose)
    torch.testing.assert_close(found.seen(red), turned[:, 0] - turned[:, 1])
    places = [divmod(int(one.argmax()), SIDE) for one in found.seen(red)]
    assert max(math.dist(places[0], place) for place in places) < 4  # the mark lies alike in all
    assert looks_of(found, red, 0.02).shape == (4, 2 * sum(detector.backbone.channels.values()))


def test_good_pictures_are_told_within_themselves(data: TrainingData) -> None:
    shown = create("joined_banks", OPTIONS).fit(data, RUN).learnt.facts["shown"]
    assert isinstance(shown, list)
    assert all(0 <= share <= 1 for _, *place in shown for share in place)


def test_of_fewer_than_twenty_parts_nothing_is_turned(data: TrainingData) -> None:
    few = TrainingData(normal=data.normal.subset(range(16)), tuning=data.tuning)
    views = of_parts(few, 2)
    for given, part, turned in ((few, 1.0, False), (few, 0.8, True), (views, 0.8, False)):
        detector = create("joined_banks", OPTIONS).fit(given, Run(precision="fp32", part=part))
        assert ("upright" in detector.learnt.facts) is turned


def test_fitting_again_and_teaching_start_from_the_network(data: TrainingData, tmp_path: Path) -> None:
    detector = create("joined_banks", OPTIONS)
    once = {name: value.clone() for name, value in detector.fit(data, RUN).state_dict().items()}
    twice = detector.fit(data, RUN).state_dict()
    assert all(torch.equal(value, twice[name]) for name, value in once.items())
    path = next(written(tmp_path / "spots", spotted(50.0, 0.7, 90)))
    before = score(detector, of(path.parent).normal, RUN)
    taught(detector, of(path.parent), RUN)
    after = score(detector, of(path.parent).normal, RUN)
    assert after["score"] < before["score"]
    np.testing.assert_array_equal(after["pose"], before["pose"])


def test_kept_maps_have_the_pose(data: TrainingData, tmp_path: Path) -> None:
    keeping = Run(precision="fp32", maps=Checkpoints(tmp_path / "kept"))
    plain = create("joined_banks", OPTIONS).fit(data, RUN)
    kept = create("joined_banks", OPTIONS).fit(data, keeping)
    for _ in range(2):  # kept, then taken from there
        found, expected = score(kept, data.normal, keeping), score(plain, data.normal, RUN)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-3)


def test_a_committee_sees_them_turned_beside_members_that_do_not(data: TrainingData) -> None:
    other = {"method": "padim", "options": {"backbone": "test_resnet", "weights": "random", "channels": 8}}
    members = [{"method": "joined_banks", "options": OPTIONS}, other]
    tuned = TrainingData(normal=data.normal.subset(range(40)), tuning=data.normal.subset(range(40, 60)))
    detector = create("committee", {"size": [SIDE, SIDE], "members": members}).fit(tuned, RUN)
    names = [output.name for output in detector.outputs]
    assert "joined_banks.pose" in names
    alone = create("joined_banks", OPTIONS).fit(tuned, RUN)
    found, own = (score(one, data.normal.subset(range(40, 44)), RUN) for one in (detector, alone))
    np.testing.assert_allclose(found["raw_scores"][:, 0], own["score"], rtol=1e-4, atol=1e-4)
