"""Samples spread evenly; and what training may see: no picture with two roles, none that a detector knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotated import annotated
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample, spread
from flawscope.data.training import TrainingData, Unseen
from flawscope.errors import DataError
from flawscope.runtime.images import Frame


def _pictures(*numbers: int, defective: bool = False) -> Pictures:
    samples = [Sample(Path(f"{number:03d}.png"), "train", defective=defective) for number in numbers]
    return PictureFiles(samples, Frame(32, 32))


def _numbers(pictures: Pictures) -> list[int]:
    return [int(sample.path.stem) for sample in pictures.samples]


@pytest.mark.parametrize(("tuning", "defective"), [((0, 9), (20,)), ((9,), (20, 0)), ((9, 20), (20,))])
def test_a_picture_with_two_roles_is_refused(tuning: tuple[int, ...], defective: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="a picture with one role in training, got it in the"):
        TrainingData(_pictures(0, 1), _pictures(*tuning), defective=_pictures(*defective, defective=True))


def _annotated(*numbers: int) -> Pictures:
    return PictureFiles(annotated(_pictures(*numbers).samples), Frame(32, 32))


def test_annotated_pictures_may_be_normal_ones_and_no_others() -> None:
    for number in (1, 7):
        data = TrainingData(_pictures(0, 1), _pictures(9), parts=_annotated(number))
        assert data.parts is not None
        (part,) = data.parts.samples[0].parts
        assert part.read(4, 4).sum() == 4
        assert data.unseen().parts is data.parts
    defective = _pictures(20, defective=True)
    for number, role in ((9, "tuning pictures"), (20, "defective ones")):
        with pytest.raises(DataError, match=f"in the annotated pictures and in the {role}"):
            TrainingData(_pictures(0), _pictures(9), defective=defective, parts=_annotated(number))
        with pytest.raises(DataError, match="in the annotated pictures and in the"):
            Unseen(_pictures(9), defective, _pictures(0), _annotated(number))


def test_an_annotated_picture_has_parts() -> None:
    with pytest.raises(DataError, match=r"001\.png: expected annotated parts, got a picture without any"):
        TrainingData(_pictures(0), _pictures(9), parts=_pictures(1))


def test_detectors_learn_from_normal_pictures_alone_and_the_rest_is_unseen() -> None:
    data = TrainingData(
        _pictures(*range(40)), _pictures(*range(40, 60)), defective=_pictures(60, 61, defective=True)
    )
    learnt, unseen = data.for_detector(0.1), data.unseen()
    assert sorted(_numbers(learnt.normal) + _numbers(learnt.tuning)) == list(range(40))
    assert _numbers(learnt.tuning) == [0, 10, 20, 30]
    assert learnt.defective is None
    assert _numbers(data.for_detector(0.0).normal) == list(range(40))
    assert _numbers(unseen.normal) == list(range(40, 60))
    assert unseen.defective is data.defective


def test_pictures_that_detectors_learnt_from_are_not_unseen() -> None:
    learnt = _pictures(0, 1, 2)
    for number in range(3):
        with pytest.raises(DataError, match=f"{number:03d}.png"):
            Unseen(_pictures(number, 9), None, learnt)
        with pytest.raises(DataError, match=f"{number:03d}.png"):
            Unseen(_pictures(9), _pictures(number, defective=True), learnt)
    Unseen(_pictures(9), _pictures(10, defective=True), learnt)


@given(count=st.integers(0, 400), most=st.integers(1, 100))
def test_spread_takes_the_places_of_an_even_grid(count: int, most: int) -> None:
    chosen = spread(range(count), most)
    assert len(set(chosen)) == len(chosen) == min(count, most)
    expected = np.linspace(0, count - 1, min(count, most)).round()
    assert chosen == expected.astype(int).tolist()
    assert count < 2 or most < 2 or (chosen[0], chosen[-1]) == (0, count - 1)
