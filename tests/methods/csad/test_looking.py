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
from flawscope.methods.csad.looking import LOOKED_AT, few, seen, single
from flawscope.methods.detector import Detector
from flawscope.methods.idle import LooksFirst
from flawscope.methods.registry import create
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.pseudo_labels import PseudoLabels

FEW = "good pictures show no two components of a kind, nor beside each other"


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
    assert why(csad(), data(tmp_path, 12, discs=1)) == f"12 of 12 {FEW}"


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
    numbers, loose = seen(found)
    assert (numbers.tolist(), loose.tolist()) == ([[2, 1], [0, 0]], [3, 0])


def test_what_lies_in_another_or_fills_the_picture_is_not_loose() -> None:
    maps = np.zeros((4, 12, 12), np.uint8)
    maps[0, 1:8, 1:8], maps[0, 3:5, 3:5] = 1, 2  # a part and its mark
    maps[1, :8], maps[1, 8:] = 1, 2  # two parts of a picture
    maps[3, 1:11, 1:11], maps[3, 2:4, 2:4], maps[3, 6:8, 6:8] = 1, 2, 3  # two parts in a tray
    maps[2, 1:4, 1:4], maps[2, 6:9, 6:9] = 1, 2  # two parts
    found = PseudoLabels(maps, np.ones(4, np.bool_), ("background", "a", "b", "c"))
    numbers, loose = seen(found)
    assert numbers.tolist() == [[1, 1, 0]] * 3 + [[1, 1, 1]]
    assert loose.tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("picture", "loose", "enough"),
    [
        ([0, 0], 0, False),
        ([1, 1], 1, False),
        ([1, 1, 1], 1, False),
        ([1, 1], 2, True),
        ([2, 0], 1, True),
        ([1, 1, 1, 1], 1, True),
    ],
    ids=["none", "a part and its mark", "two marks", "two parts", "a pair", "four kinds"],
)
def test_too_few_are_not_compared(picture: list[int], loose: int, *, enough: bool) -> None:
    several = [9] * len(picture)
    said = f"19 of 20 {FEW}"
    assert few(np.array([picture] * 19 + [several]), np.array([loose] * 20)) == ("" if enough else said)
    assert few(np.array([picture] * 18 + [several] * 2), np.array([loose] * 20)) == ""


def test_where_no_class_is_left_there_is_nothing() -> None:
    bare = PseudoLabels(np.zeros((3, 6, 6), np.uint8), np.ones(3, np.bool_), ("background",))
    assert few(*seen(bare)).startswith("3 of 3 good pictures")


def test_one_component_by_itself() -> None:
    assert single(np.array([1] * 19 + [2])) == "19 of 20 good pictures show no two components"
    assert single(np.array([1] * 18 + [2, 2])) == ""
