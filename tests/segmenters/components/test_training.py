"""The training of the component segmenter: labels from parts, two phases, a stop that loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from areas import Area, annotated_pictures
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.segment_maps import write_segment_map
from flawscope.errors import DataError, Stopped
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters import ComponentsOptions
from flawscope.segmenters.components import labelling
from flawscope.segmenters.components.labelling import Labelling, annotated_labels
from flawscope.segmenters.components.segmenter import Components
from flawscope.segmenters.components.training import Best, Training
from flawscope.segmenters.pseudo_labels import PseudoLabels, make_labels

SIDE = 64
Save = Callable[..., Pictures]


def components(**values: Any) -> Components:
    small = {"backbone": "test_resnet", "layers": ("layer1",), "weights": "random", "width": 8, "rates": (1,)}
    options = ComponentsOptions.model_validate({**small, "steps": 6, "batch": 2, **values})
    return Components(options, Frame(SIDE, SIDE))


def same(first: Components, second: Components) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return annotated_pictures(tmp_path_factory.mktemp("annotated"), 6, SIDE)[0]


@dataclass
class Stopping:
    """Progress that asks to stop after some steps of the training; counts the steps that it is told of."""

    stop: threading.Event
    after: int
    told: int = 0

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Stopping]:
        self.title = title
        yield self

    def advance(self, steps: int = 1) -> None:
        if self.title == "training":
            self.told += steps
            if self.told == self.after:
                self.stop.set()


def test_the_seed_decides_and_nothing_else(pictures: Pictures) -> None:
    first = components().fit(pictures, Run(seed=3), parts=pictures)
    assert same(first, components().fit(pictures, Run(seed=3), parts=pictures))
    assert not same(first, components().fit(pictures, Run(seed=4), parts=pictures))
    assert not any(parameter.requires_grad for parameter in first.parameters())


@pytest.mark.parametrize("held_out", [0.0, 0.34])
def test_a_stopped_training_goes_on_to_the_same_weights(
    held_out: float, pictures: Pictures, tmp_path: Path
) -> None:
    annotated = pictures.subset([0, 1, 2, 3])
    through = components(held_out=held_out).fit(pictures, Run(), parts=annotated)
    run, stop = Run(checkpoints=Checkpoints(tmp_path)), threading.Event()
    with pytest.raises(Stopped, match="Progress is kept"):
        components(held_out=held_out).fit(pictures, run, Watch(Stopping(stop, 4), stop), annotated)
    rest = Stopping(threading.Event(), 99)
    resumed = components(held_out=held_out).fit(pictures, run, Watch(rest, rest.stop), annotated)
    assert rest.told == 6
    assert same(through, resumed)
    assert through.history == resumed.history


def test_a_corrected_label_map_begins_a_new_training(pictures: Pictures, tmp_path: Path) -> None:
    run = Run(checkpoints=Checkpoints(tmp_path))
    first = components().fit(pictures, run, parts=pictures)
    assert same(first, components().fit(pictures, run, parts=pictures))
    sample = pictures.samples[0]
    samples = (replace(sample, parts=sample.parts[1:]), *pictures.samples[1:])
    corrected = PictureFiles(samples, pictures.frame)
    assert not same(first, components().fit(pictures, run, parts=corrected))
    assert len(list(tmp_path.glob("components-*"))) == 2


def test_unlabelled_pictures_count_once_the_supervised_epochs_are_over(pictures: Pictures) -> None:
    annotated = pictures.subset([0, 1])
    fitted = components(epochs=3, supervised_epochs=1).fit(pictures, Run(), parts=annotated)
    matched = [entry["histogram"] for entry in fitted.history]
    assert matched[:2] == [0.0, 0.0]
    assert min(matched[2:]) > 0
    assert all(entry["entropy"] > 0 for entry in fitted.history[2:])
    alone = components(epochs=3, supervised_epochs=1).fit(annotated, Run(), parts=annotated)
    assert {entry["histogram"] for entry in alone.history} == {0.0}


@pytest.mark.parametrize(("losses", "kept"), [([3.0, 1.0, 2.0], 42), ([3.0, 2.0, 1.0], 43)])
def test_the_weights_of_the_smallest_loss_come_back(losses: list[float], kept: int) -> None:
    network, told = nn.Linear(1, 1), iter([*[9.0] * 19, *losses])
    best = Best(network, lambda: next(told), 43)  # looks after every second step, and after the last
    for done in range(1, 44):
        nn.init.constant_(network.weight, done)
        assert not best(done)
    best.restore()
    assert network.weight.item() == kept
    assert next(told, None) is None


@pytest.mark.parametrize("count", [1, 3])
def test_few_pictures_are_enough(count: int, pictures: Pictures) -> None:
    few = pictures.subset(range(count))
    fitted = components(batch=4, held_out=0.5).fit(few, Run(), parts=few)
    assert float(fitted.shares.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_picture_that_alone_shows_a_class_is_never_held_out(seed: int, pictures: Pictures) -> None:
    few, frame = pictures.subset(range(4)), pictures.frame
    maps = np.zeros((4, frame.height, frame.width), np.uint8)
    maps[:, :9], maps[2, 9:12] = 1, 2
    made = components(held_out=0.75)
    given = Labelling(few, maps, np.ones(4, np.bool_), ("background", "plate", "screw"))
    training = Training(made.features, made.decoder, given, made.options, Run(seed=seed), watch=UNWATCHED)
    assert training.learnt.tolist() == [2]
    assert len(training.held) == 3


def test_label_maps_of_a_folder_are_learnt_unless_parts_are_annotated(
    pictures: Pictures, tmp_path: Path
) -> None:
    root = pictures.samples[0].path.parent
    for sample in pictures.samples:
        labels = np.zeros((SIDE, SIDE), np.uint8)
        labels[:20], labels[40:] = 1, 2
        write_segment_map(tmp_path / f"{sample.path.stem}.png", labels)
    (tmp_path / "names.json").write_text('["background", "top", "bottom"]')
    given = {"kind": "folder", "maps": tmp_path, "pictures": root}
    fitted = components(proposer=given, steps=1).fit(pictures, Run())
    assert fitted.names == ("background", "top", "bottom")
    annotated = components(proposer=given, steps=1).fit(pictures, Run(), parts=pictures)
    assert annotated.names[1] == "housing"


ALIKE = {"backbone": "test_resnet", "layer": "layer1", "weights": "random", "rotations": 1, "colour": 1.0}
PROPOSED = {"labels": {"features": ALIKE, "refine": "none"}, "learning_rate": 0.01}


def bars() -> list[NDArray[np.uint8]]:
    """A red bar on the left and a blue one on the right, somewhere."""
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(8):
        picture = np.full((SIDE, SIDE, 3), 120, np.uint8) + random.integers(0, 3, (SIDE, SIDE, 3), np.uint8)
        left, right = random.integers(4, 40, 2)
        picture[left : left + 20, 6:26] = (200, 30, 30)
        picture[right : right + 20, 38:58] = (30, 30, 200)
        drawn.append(picture)
    return drawn


def test_what_a_proposer_finds_becomes_classes_and_is_learnt(saved: Save) -> None:
    drawn = bars()
    plain = saved(drawn, Frame(SIDE, SIDE))
    fitted = components(**PROPOSED, steps=30).fit(plain, Run())
    assert fitted.count == 3
    labels = fitted(torch.from_numpy(np.stack(list(plain)))).numpy()
    red, blue = labels[:, :, 6:26], labels[:, :, 38:58]
    for area, side in ((red, slice(6, 26)), (blue, slice(38, 58))):
        shown = np.stack([picture[:, side].max(2) > 180 for picture in drawn])
        values_there, counts = np.unique(area[shown], return_counts=True)
        assert counts.max() > 0.8 * counts.sum()
        assert values_there[counts.argmax()] > 0
    assert np.bincount(red.ravel()).argsort()[-2] != np.bincount(blue.ravel()).argsort()[-2]


def test_label_maps_are_made_once_where_a_stopped_run_goes_on(
    saved: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, made = saved(bars(), Frame(SIDE, SIDE)), list[PseudoLabels]()

    def noted(*args: Any) -> PseudoLabels:
        made.append(make_labels(*args))
        return made[-1]

    monkeypatch.setattr(labelling, "make_labels", noted)
    through = components(**PROPOSED).fit(plain, Run())
    run, stop = Run(checkpoints=Checkpoints(tmp_path / "kept")), threading.Event()
    with pytest.raises(Stopped, match="Progress is kept"):
        components(**PROPOSED).fit(plain, run, Watch(Stopping(stop, 4), stop))
    assert same(through, components(**PROPOSED).fit(plain, run))
    assert len(made) == 2
    components(**PROPOSED).fit(plain.resized(Frame(SIDE, SIDE, aspect="pad")), run)
    assert len(made) == 3


def test_parts_become_labels_by_rank(saved: Save) -> None:
    plain = saved([np.zeros((SIDE, SIDE, 3), np.uint8)] * 3, Frame(SIDE, SIDE))
    halves = np.zeros((4, SIDE, SIDE), np.bool_)
    halves[0, :32], halves[1, 16:48], halves[2, :, :8], halves[3, :, 60:] = True, True, True, True
    parts = (
        Area("plate", halves[1], 2),
        Area("screw", halves[0], 1),
        Area("dirt", halves[2], 0, ignore=True),
    )
    samples = [
        replace(plain.samples[0], parts=parts),
        replace(plain.samples[1], parts=(Area("nut", halves[3], 2),)),
    ]
    found = annotated_labels(PictureFiles(samples, plain.frame), plain, Run(), UNWATCHED)
    assert found.names == ("background", "dirt", "screw", "nut", "plate")
    assert found.ignored == (1,)
    assert found.labelled.tolist() == [True, True, False]
    assert [sample.path for sample in found.pictures.samples] == [sample.path for sample in plain.samples]
    assert (found.maps[0, :, :8] == 1).all()
    assert (found.maps[0, :32, 8:] == 2).all()
    assert (found.maps[0, 32:48, 8:] == 4).all()
    assert (found.maps[0, 48:, 8:] == 0).all()
    assert (found.maps[1, :, 60:] == 3).all()


def test_a_part_without_a_pixel_is_no_class_and_said(saved: Save) -> None:
    plain = saved([np.zeros((SIDE, SIDE, 3), np.uint8)], Frame(SIDE, SIDE))
    masks, said = np.zeros((2, SIDE, SIDE), np.bool_), list[str]()
    masks[1, :32] = True
    parts = (Area("stray", masks[0], 0), Area("plate", masks[1], 1))
    given = PictureFiles([replace(plain.samples[0], parts=parts)], plain.frame)
    found = annotated_labels(given, plain, Run(), Watch(say=said.append))
    assert found.names == ("background", "plate")
    np.testing.assert_array_equal(found.maps[0], masks[1])
    assert said == [
        "Not learnt, for no annotated picture shows a pixel of them: stray "
        "(beside the picture, under others, or too small)."
    ]


def test_parts_that_are_all_ignored_are_refused(saved: Save) -> None:
    plain = saved([np.zeros((SIDE, SIDE, 3), np.uint8)], Frame(SIDE, SIDE))
    ignored = replace(plain.samples[0], parts=(Area("dirt", np.ones((SIDE, SIDE), np.bool_), ignore=True),))
    with pytest.raises(DataError, match="one of them not ignored, got 1 names, 0 not ignored"):
        annotated_labels(PictureFiles([ignored], plain.frame), plain, Run(), UNWATCHED)
