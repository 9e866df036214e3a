"""A look at some good pictures tells, before the fit, whether there are components to compare."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from discs import DISCS, SIDE, write_discs
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.training import TrainingData
from flawscope.errors import Stopped
from flawscope.methods.csad.looking import LOOKED_AT, few, seen
from flawscope.methods.detector import Detector
from flawscope.methods.idle import LooksFirst
from flawscope.methods.registry import create
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.pseudo_labels import PseudoLabels


def csad(**changes: object) -> Detector:
    return create("csad", DISCS | changes)


def data(tmp_path: Path, count: int, discs: int) -> TrainingData:
    folder = write_discs(tmp_path / "good", count, discs=discs)
    pictures = PictureFiles(read_dataset(folder).good(), Frame(SIDE, SIDE))
    return TrainingData(pictures, pictures.subset([]))


def why(detector: Detector, given: TrainingData, watch: Watch = UNWATCHED) -> str:
    assert isinstance(detector, LooksFirst)
    return detector.unsuited(given, Run(), watch)


def test_discs_can_be_compared(tmp_path: Path) -> None:
    said: list[str] = []
    assert why(csad(), data(tmp_path, 12, discs=3), Watch(say=said.append)) == ""
    assert said == []  # what the fit will say, of all pictures


def test_one_by_itself_cannot(tmp_path: Path) -> None:
    assert (
        why(csad(), data(tmp_path, 12, discs=1))
        == "12 of 12 good pictures show no two components of a kind, nor four of any"
    )


def test_a_bare_ground_cannot(tmp_path: Path) -> None:
    told = why(csad(), data(tmp_path, 12, discs=0))
    assert told.startswith("components in 12 pictures: expected masks that pass the filters, got no mask")


def test_it_looks_at_some_alone(tmp_path: Path) -> None:
    assert why(csad(), data(tmp_path, 40, discs=1)).startswith(f"{LOOKED_AT} of {LOOKED_AT} good")


@pytest.mark.parametrize(
    "changes",
    [{"counts": None}, {"segments": {"kind": "object"}}],
    ids=["nothing counted", "found otherwise"],
)
def test_only_the_fit_tells_of_others(tmp_path: Path, changes: dict[str, object]) -> None:
    assert why(csad(**changes), data(tmp_path, 12, discs=1)) == ""


def test_it_stops(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        why(csad(), data(tmp_path, 12, discs=2), Watch(stop=stop))


def test_components_are_counted_class_by_class() -> None:
    maps = np.zeros((2, 6, 6), np.uint8)
    maps[0, 0, 0], maps[0, 0, 1], maps[0, 4:, 4:] = 1, 2, 1  # neighbours of two classes, and one apart
    found = PseudoLabels(maps, np.ones(2, np.bool_), ("background", "a", "b"))
    assert seen(found).tolist() == [[2, 1], [0, 0]]


@pytest.mark.parametrize(
    ("picture", "enough"),
    [([0, 0], False), ([1, 1], False), ([1, 1, 1], False), ([2, 0], True), ([1, 1, 1, 1], True)],
    ids=["none", "a part and its mark", "three kinds", "a pair", "four kinds"],
)
def test_too_few_are_not_compared(picture: list[int], *, enough: bool) -> None:
    several = [9] * len(picture)
    said = "19 of 20 good pictures show no two components of a kind, nor four of any"
    assert few(np.array([picture] * 19 + [several])) == ("" if enough else said)
    assert few(np.array([picture] * 18 + [several] * 2)) == ""
