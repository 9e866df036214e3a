"""Label maps from proposals: of drawn pictures, of rendered products, and of what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.errors import DataError, OptionError, Stopped
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.products import render
from flawscope.runtime.images import Frame
from flawscope.segmenters.proposers.proposal import Proposal, Proposer, ProposerOptions
from flawscope.segmenters.pseudo_labels import PseudoLabelOptions, PseudoLabels, make_labels
from flawscope.segmenters.pseudo_labels.filters import regions
from flawscope.segmenters.pseudo_labels.make import NoComponentsError, refined

Labels = NDArray[np.uint8]
Save = Callable[..., Pictures]

SIDE = 64
PLAIN = {"backbone": "test_resnet", "weights": "random", "rotations": 2, "size": 0.5, "colour": 0.5}
COLOURS = np.array([[90, 90, 90], [220, 40, 40], [40, 60, 220], [230, 220, 60]], np.uint8)


class Fake(Proposer):
    """Proposes what a function makes of the number of the picture."""

    def __init__(self, make: Callable[[int], Proposal], *, labels: bool = False) -> None:
        super().__init__(ProposerOptions(kind="fake"))
        self.make, self.labels = make, labels
        self.prepared = False

    def prepare(self, pictures: Pictures, run: Run, watch: Watch = Watch()) -> None:  # noqa: B008
        self.prepared = True

    def propose(self, picture: NDArray[np.uint8], sample: Sample) -> Proposal:
        assert self.prepared
        assert picture.shape == (SIDE, SIDE, 3)
        return self.make(int(sample.path.stem))


def scene(seed: int, squares: int = 3, discs: int = 2) -> Labels:
    """A plate (1) that reaches the left border, squares (2) and discs (3) of one size somewhere on it."""
    random = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[4:60, :60] = 1
    places = random.permutation(9)[: squares + discs]
    for place, kind in zip(places, [2] * squares + [3] * discs, strict=True):
        x, y = 8 + 18 * (place % 3) + random.integers(4), 12 + 17 * (place // 3) + random.integers(4)
        if kind == 2:
            labels[y - 4 : y + 4, x - 4 : x + 4] = 2
        else:
            cv2.circle(labels, (int(x), int(y)), 5, 3, -1)
    return labels


@pytest.fixture
def scenes() -> list[Labels]:
    return [scene(seed) for seed in range(10)]


def made(
    saved: Save,
    scenes: Sequence[Labels],
    make: Callable[[int], Proposal] | None = None,
    watch: Watch = Watch(),  # noqa: B008
    *,
    labels: bool = False,
    **options: Any,
) -> PseudoLabels:
    frame = Frame(SIDE, SIDE)
    pictures = saved([COLOURS[found] for found in scenes], frame)
    proposer = Fake(make or (lambda index: Proposal(regions(scenes[index]))), labels=labels)
    chosen = PseudoLabelOptions.model_validate({"features": PLAIN, **options})
    return make_labels(pictures, proposer, chosen, Run(), watch)


def agreement(found: NDArray[np.uint8], true: NDArray[np.uint8]) -> float:
    """Mean IoU over the true classes, each class that was found counting as the true one it shows most of."""
    counts = np.zeros((int(found.max()) + 1, int(true.max()) + 1))
    np.add.at(counts, (found.ravel(), true.ravel()), 1)
    named = counts.argmax(1)[found]
    shares = [
        ((named == label) & (true == label)).sum() / ((named == label) | (true == label)).sum()
        for label in np.unique(true)
    ]
    return float(np.mean(shares))


@pytest.mark.parametrize("product", ["pin_tray", "fastener_bag", "connector_block"])
def test_true_parts_of_rendered_products_become_their_true_classes(saved: Save, product: str) -> None:
    rendered = [render(product, seed=seed, size=256) for seed in range(5)]
    pictures = saved([picture.picture for picture in rendered], Frame(256, 256))

    class Truth(Proposer):
        def propose(self, picture: NDArray[np.uint8], sample: Sample) -> Proposal:
            return Proposal(regions(rendered[int(sample.path.stem)].parts))

    options = PseudoLabelOptions.model_validate({"features": {"rotations": 4, "size": 1.0, "colour": 0.5}})
    found = make_labels(pictures, Truth(ProposerOptions(kind="truth")), options, Run())
    true = np.stack([picture.parts for picture in rendered])
    assert agreement(found.maps, true) > 0.97


def test_classes_are_numbered_by_area_and_smaller_ones_lie_upon_larger(
    saved: Save, scenes: list[Labels]
) -> None:
    """The plate is proposed whole, in any order; it reaches the border."""
    heard: list[str] = []

    def make(index: int) -> Proposal:
        masks = regions(scenes[index])
        masks[0] = scenes[index] > 0
        return Proposal(masks[np.random.default_rng(index).permutation(len(masks))])

    found = made(saved, scenes, make, Watch(say=heard.append), refine="none")
    np.testing.assert_array_equal(found.maps, scenes)
    assert found.names == ("background", "component 1", "component 2", "component 3")
    assert found.maps.dtype == np.uint8
    assert "60 components fall into 3 classes" in heard[-1]
    again = made(lambda arrays, frame: saved(arrays, frame, "again"), scenes, make, refine="none")
    np.testing.assert_array_equal(again.maps, found.maps)
    np.testing.assert_array_equal(again.labelled, found.labelled)


def test_names_come_from_what_the_proposer_calls_most_members(saved: Save, scenes: list[Labels]) -> None:
    """Squares and discs are both called part, and fall apart by their looks; the plate is called plate."""
    called = np.array([0, 2, 1, 1], np.uint8)

    def make(index: int) -> Proposal:
        return Proposal(regions(scenes[index])[:0], called[scenes[index]], ("part", "plate"))

    found = made(saved, scenes, make)  # no masks: the coarse mode
    assert found.names == ("background", "plate", "part 1", "part 2")
    np.testing.assert_array_equal(found.maps, scenes)


def test_pictures_with_other_contents_are_unlabelled(saved: Save) -> None:
    scenes = [scene(seed) for seed in range(10)] + [scene(11, squares=5, discs=4)]
    found = made(saved, scenes, trust="neighbours")
    assert found.labelled.tolist() == [True] * 10 + [False]


def test_maps_of_which_too_few_agree_are_refused(saved: Save) -> None:
    scenes = [scene(seed) for seed in range(10)] + [scene(11, squares=5, discs=4)]
    assert made(saved, scenes, trust="neighbours", agreeing=0.9).labelled.sum() == 10
    with pytest.raises(NoComponentsError, match=r"components in 11 pictures: expected 11 or more .* got 10"):
        made(lambda *given: saved(*given, "again"), scenes, trust="neighbours", agreeing=0.95)


def test_glints_become_background_and_their_pictures_stay(saved: Save) -> None:
    """A third of the pictures shows one or more discs; plate and squares are as ever."""
    scenes = [scene(seed, discs=(1, 2, 3)[seed % 3] if seed % 2 else 0) for seed in range(12)]
    found = made(saved, scenes, numbers=True, least_share=0.2, trust="neighbours")
    assert len(found.names) == 3
    for labels, true in zip(found.maps, scenes, strict=True):
        np.testing.assert_array_equal(labels, np.where(true == 3, labels, true))
    assert found.labelled.sum() >= 10


def test_holes_are_filled_where_asked(saved: Save, scenes: list[Labels]) -> None:
    holed = [labels.copy() for labels in scenes]
    for labels in holed:
        labels[labels == 3] = 0  # discs are not proposed: holes in the plate
    make = lambda index: Proposal(regions(holed[index]))  # noqa: E731
    assert (made(saved, scenes, make).maps[0] == holed[0]).all()
    again: Save = lambda arrays, frame: saved(arrays, frame, "again")  # noqa: E731
    filled = made(again, scenes, make, holes=True).maps[0]
    np.testing.assert_array_equal(filled, np.where(scenes[0] == 3, 1, holed[0]))


def test_refine_chooses_the_filters() -> None:
    whole, left, right, away = np.zeros((4, 20, 20), np.bool_)
    left[:, :5], right[:, 5:10], away[:, 15:] = True, True, True
    whole = left | right
    named = np.zeros((20, 20), np.uint8)
    named[:, :10] = 2
    masks = np.stack([whole, left, right, away])

    def count(refine: str, given: NDArray[np.bool_] = masks, names: NDArray[np.uint8] | None = named) -> int:
        return len(refined(Proposal(given, names), PseudoLabelOptions.model_validate({"refine": refine})))

    assert [count(way) for way in ("none", "combine", "grounding", "both", "auto")] == [1, 3, 3, 2, 2]
    assert [count(way, names=None) for way in ("none", "combine", "auto")] == [4, 3, 3]
    assert [count(way, masks[:0]) for way in ("none", "combine", "both", "auto")] == [1, 0, 0, 1]
    assert len(refined(Proposal(masks), PseudoLabelOptions(refine="none", smallest=0.3))) == 1
    with pytest.raises(OptionError, match=r"labels.refine both: expected a proposer that names regions"):
        count("both", names=None)


def test_finished_maps_are_taken_as_they_are(saved: Save, scenes: list[Labels]) -> None:
    """Nothing is clustered; a picture without a map is unlabelled."""
    none = np.zeros((0, SIDE, SIDE), np.bool_)

    def make(index: int) -> Proposal:
        return Proposal(none, None if index == 3 else scenes[index], ("plate", "square", "disc"))

    found = made(saved, scenes, make, labels=True)
    assert found.names == ("background", "plate", "square", "disc")
    assert found.labelled.tolist() == [index != 3 for index in range(10)]
    np.testing.assert_array_equal(np.delete(found.maps, 3, 0), np.delete(scenes, 3, 0))
    assert not found.maps[3].any()


@pytest.mark.parametrize(
    ("labels", "make", "options", "message"),
    [
        (False, lambda _: Proposal(np.zeros((0, SIDE, SIDE), np.bool_)), {}, "got no mask proposed"),
        (False, None, {"smallest": 0.99}, "components in 4 pictures: .* got 24 masks proposed, none left"),
        (
            False,
            None,
            {"bandwidth": 1e-6, "least_share": 5},
            "a group of 20 or more .* got 24 components in .* smaller",
        ),
        (
            True,
            lambda _: Proposal(np.zeros((0, SIDE, SIDE), np.bool_), np.zeros((SIDE, SIDE), np.uint8)),
            {},
            "label maps of 4 pictures: expected a component in at least one, got background alone",
        ),
    ],
)
def test_nothing_to_learn_from_is_one_line(
    saved: Save,
    scenes: list[Labels],
    labels: bool,
    make: Callable[[int], Proposal] | None,
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(DataError, match=message):
        made(saved, scenes[:4], make, labels=labels, **options)


def test_one_class_and_three_pictures_are_enough(saved: Save, scenes: list[Labels]) -> None:
    plates = [np.minimum(labels, 1) for labels in scenes[:3]]
    found = made(saved, plates)
    np.testing.assert_array_equal(found.maps, plates)
    assert found.labelled.all()
    assert len(found.names) == 2


def test_no_pictures_and_a_request_to_stop(saved: Save, scenes: list[Labels]) -> None:
    with pytest.raises(DataError, match="pictures to label: expected at least one"):
        made(saved, [])
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        made(lambda arrays, frame: saved(arrays, frame, "again"), scenes, watch=Watch(stop=stop))


def test_every_preset_is_valid_and_unknown_options_are_not() -> None:
    for values in PseudoLabelOptions.presets.values():
        PseudoLabelOptions.model_validate(values)
    with pytest.raises(ValueError, match="bandwith"):
        PseudoLabelOptions.model_validate({"bandwith": 3})
