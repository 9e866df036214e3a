"""Parts at any angle: members that cannot turn them see what the one that can has turned."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from csad_small import SMALL
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.methods.committee import Committee
from flawscope.methods.committee.frames import TurnedPictures
from flawscope.methods.committee.learning import for_members
from flawscope.methods.committee.turning import can_be_turned, turned
from flawscope.methods.csad.detector import CSAD
from flawscope.methods.registry import create
from flawscope.methods.running import restored, score, taught
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.explain import explainer
from flawscope.runtime.explain.joint import from_members
from flawscope.runtime.images import Frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.prediction import Decision, Prediction
from flawscope.runtime.turned_placement import TurnedPlacement
from flawscope.training.train import train
from trained import recipe
from turning_parts import SIDE, wheel, write_wheels
from zoo import ZOO

from .conftest import BANKS, NETWORK

TURNER = {"method": "joined_banks", "options": {**BANKS["options"], "upright": True}}
PARTS = {
    "method": "csad",
    "options": {**SMALL, "size": [SIDE, SIDE], "histogram": {"cells": [24], "gaussian": {"shrinkage": True}}},
}
SMALLER = {"method": "padim", "options": {**NETWORK, "channels": 8, "size": [64, 64]}}
MEMBERS = (PARTS, TURNER, SMALLER)  # the one that turns is fitted first, wherever it stands
SIZE = [SIDE, SIDE]


def pictures(folder: Path, count: int, seed: int) -> Pictures:
    write_wheels(folder, count, seed=seed)
    samples = [Sample(path, "train", defective=False) for path in sorted(folder.iterdir())]
    return PictureFiles(samples, Frame(SIDE, SIDE))


def of(*members: Mapping[str, Any]) -> Committee:
    made = create("committee", {"size": SIZE, "members": list(members)})
    assert isinstance(made, Committee)
    return made


@pytest.fixture(scope="module", autouse=True)
def wheels_alone() -> Iterator[None]:
    """As if one component by itself were something to compare."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CSAD, "idle", lambda _: "")
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    root = tmp_path_factory.mktemp("wheels")
    return TrainingData(pictures(root / "good", 40, 1), pictures(root / "tuning", 6, 2))


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return pictures(tmp_path_factory.mktemp("tests") / "good", 4, 3)


@pytest.fixture(scope="module")
def owner(data: TrainingData) -> Committee:
    said: list[str] = []
    made = of(*MEMBERS).fit(data, Run(), Watch(say=said.append))
    assert [line for line in said if "turned" in line] == [
        "Parts lie at any angle in good pictures: each is turned to how one of them lies.",
        "csad sees parts turned, too.",
        "padim sees parts turned, too.",
    ]
    assert made.members.turned == (True, False, True)
    return made


def test_members_answer_as_they_do_alone_on_turned_pictures(
    owner: Committee, data: TrainingData, tests: Pictures
) -> None:
    upright = owner.members.upright
    assert upright is not None
    together = score(owner, tests, Run())
    with torch.inference_mode():
        maps = owner.members(torch.from_numpy(next(tests.batches(len(tests))))).maps
    given, _ = for_members(data, dict(zip(owner.names, owner.members, strict=True)), owner.options.scaled)
    shown = TrainingData(tests, tests.subset([]))
    for place, name in enumerate(owner.names):
        spec, own, size = owner.specs[place], given[name], owner.members[place].options.size
        seen = tests
        if owner.members.turned[place]:
            own, seen = turned(own, upright, size), turned(shown, upright, size).normal
        alone = score(create(spec.method, spec.options).fit(own, Run()), seen, Run())
        if owner.members.turned[place] and size == upright.size:
            lying = upright.back(torch.from_numpy(alone["heatmap"]), torch.from_numpy(together["pose"]))
            np.testing.assert_allclose(maps[:, place], lying, rtol=1e-2, atol=1e-2)
            assert np.abs(maps[:, place].numpy() - alone["heatmap"]).max() > 0.1
        np.testing.assert_allclose(together["raw_scores"][:, place], alone["score"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(together["pose"], together["joined_banks.pose"], atol=1e-4)


def test_restored_taught_or_without_the_one_that_turns_it_still_does(
    owner: Committee, data: TrainingData, tests: Pictures
) -> None:
    before = score(owner, tests, Run())
    options = owner.options.model_dump(mode="json")
    again = restored("committee", options, owner.state_dict(), owner.learnt.facts)
    np.testing.assert_allclose(score(again, tests, Run())["score"], before["score"], rtol=1e-5)
    fewer = score(owner.without(1), tests, Run())
    assert not owner.without(1).stages()[0].half  # poses are of float32
    np.testing.assert_allclose(fewer["raw_scores"], before["raw_scores"][:, [0, 2]], rtol=1e-5)
    np.testing.assert_allclose(fewer["pose"], before["pose"])
    alone = owner.without(2).without(0)  # which needs no more than its own
    assert alone.members.upright is None
    assert "upright" not in alone.learnt.facts
    after = taught(owner, TrainingData(tests, data.tuning), Run())
    assert isinstance(after, Committee)
    assert after.members.turned == owner.members.turned
    assert (score(after, tests, Run())["raw_scores"] != before["raw_scores"]).any()


def test_one_of_another_size_and_shape_turns_at_that(data: TrainingData, tests: Pictures) -> None:
    oblong = {**TURNER, "options": {**TURNER["options"], "size": [80, 80]}}
    made = create("committee", {"size": [64, 128], "members": [oblong, SMALLER]})
    assert isinstance(made, Committee)
    frame = Frame(64, 128)
    made.fit(TrainingData(data.normal.resized(frame), data.tuning.resized(frame)), Run())
    assert made.learnt.facts["upright"] == [80, 80]
    seen = score(made, tests.resized(frame), Run())
    drawn, pose = tests[0].transpose(1, 2, 0), seen["pose"][0]  # (96, 96, 3)
    placement = TurnedPlacement.of(Frame(64, 128).placement(SIDE, SIDE), pose, (80, 80))
    assert made.members.upright is not None
    small = torch.from_numpy(tests.resized(Frame(80, 80))[0])
    shown = made.members.upright.turned(small[None], torch.from_numpy(pose)[None])[0]
    red = (shown[0] - shown[1]).numpy()
    row, column = divmod(int(red.argmax()), 80)
    down, across = placement.share((row + 0.5) / 80 * 64, (column + 0.5) / 80 * 128)
    own = divmod(int((drawn[..., 0] - drawn[..., 1]).argmax()), SIDE)
    assert (down * SIDE, across * SIDE) == pytest.approx((own[0] + 0.5, own[1] + 0.5), abs=4)


def test_aligned_parts_turn_nothing(tmp_path: Path) -> None:
    write_wheels(tmp_path, 30, seed=5, turned=False)
    samples = [Sample(path, "train", defective=False) for path in sorted(tmp_path.iterdir())]
    good = PictureFiles(samples, Frame(SIDE, SIDE))
    made = of(TURNER, SMALLER).fit(TrainingData(good.subset(range(25)), good.subset(range(25, 30))), Run())
    assert made.members.turned == (False, False)
    assert "pose" not in [output.name for output in made.outputs]


def test_what_is_known_of_single_pictures_is_not_turned(data: TrainingData, tests: Pictures) -> None:
    made = {"plain": create("csad", PARTS["options"]), "banks": create("joined_banks", TURNER["options"])}
    maps = {"kind": "folder", "maps": "maps"}
    made["patches"] = ZOO["multiscale_patch"][0].new()  # which names patches of other pictures
    made["maps"] = create("csad", {**PARTS["options"], "segments": maps})
    masks = {"kind": "components", **NETWORK, "proposer": {"kind": "folder", "maps": "masks"}}
    made["masks"] = create("csad", {**PARTS["options"], "segments": masks})
    assert [name for name, one in made.items() if can_be_turned(one, data)] == ["plain"]
    assert not can_be_turned(made["plain"], replace(data, defective=tests))


def test_turned_pictures_are_pictures(owner: Committee, tests: Pictures) -> None:
    assert owner.members.upright is not None
    seen = TurnedPictures(tests, owner.members.upright)
    batch = next(seen.batches(4))
    np.testing.assert_array_equal(batch[2], seen[2])
    np.testing.assert_array_equal(next(iter(seen.subset([2]))), seen[2])
    assert len(seen + seen) == 8
    assert seen.resized(Frame(48, 40))[0].shape == (3, 48, 40)
    assert not set(seen.hashes()) & set(tests.hashes())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    root = tmp_path_factory.mktemp("model")
    write_wheels(root / "product" / "good", 60, seed=1)
    made = recipe(root / "product", method="committee", options={"size": SIZE, "members": list(MEMBERS)})
    train(made, root / "model", Run())
    return Inspector.load(root / "model")


@pytest.mark.slow
def test_findings_and_segments_lie_where_the_part_does(model: Inspector, tmp_path: Path) -> None:
    manifest = model.bundle.manifest
    placements = list[object]()

    def reader(name: str) -> Any:
        def read(own: Any, prediction: Prediction) -> Any:
            placements.append(prediction.looks[0].placement)
            return explainer(name)(own, prediction)

        return read

    for index, angle in enumerate((20.0, 200.0)):
        drawn = wheel(angle, seed=7, shift=(6, -4))
        spot = np.array([SIDE / 2 + 6, SIDE / 2 - 4]) + 0.25 * SIDE * np.array(
            [math.cos(math.radians(angle + 75)), math.sin(math.radians(angle + 75))]
        )
        cv2.circle(drawn, (round(spot[0]), round(spot[1])), 5, (20, 20, 20), -1)
        path = tmp_path / f"{index}.png"
        cv2.imwrite(str(path), drawn[..., ::-1])
        found = model.inspect(path)
        assert found.decision is Decision.REJECT
        assert found.heatmap is not None
        row, column = divmod(int(found.heatmap.argmax()), SIDE)
        assert math.dist((column, row), spot) < 14
        told = from_members(manifest, found, reader)
        assert told.segments is not None
        own = np.asarray(told.segments.labels)
        rows, columns = np.nonzero(own == own[SIDE // 2 - 4, SIDE // 2 + 6])
        assert (columns.mean(), rows.mean()) == pytest.approx((SIDE / 2 + 6, SIDE / 2 - 4), abs=4)
        look = found.looks[0]
        placement = TurnedPlacement.of(look.placement, look.outputs["pose"], (SIDE, SIDE))
        np.testing.assert_array_equal(own, placement.lying(look.outputs["csad.components"]))
    assert [isinstance(one, TurnedPlacement) for one in placements] == [True, False, True] * 2
