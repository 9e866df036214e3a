"""Components are those of OpenCV; miscounts score higher than good pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from flawscope.methods.csad.counts import ComponentCounts, ComponentCountsOptions
from flawscope.methods.csad.labelling import Labelling

SIZE = (64, 64)


def spiral(side: int) -> np.ndarray:
    """One line of pixels that winds inwards, a pixel apart from itself: the longest way through a square."""
    drawn = np.zeros((side, side), np.uint8)
    row, column, step = 0, 0, (0, 1)
    drawn[0, 0] = 1

    def blocked(distance: int) -> bool:
        place = row + distance * step[0], column + distance * step[1]
        inside = all(0 <= part < side for part in place)
        return bool(drawn[place]) if inside else distance == 1

    while True:
        if blocked(1) or blocked(2):
            step = (step[1], -step[0])
            if blocked(1) or blocked(2):
                return drawn
        row, column = row + step[0], column + step[1]
        drawn[row, column] = 1


def blobs(seed: int, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(2, *SIZE)).astype(np.float32)
    smooth = [cv2.GaussianBlur(one, (0, 0), sigma) if sigma else one for one in noise]
    return ((smooth[0] > 0) + 2 * (smooth[1] > 0)).astype(np.uint8)  # labels 0 to 3


def reference(labels: np.ndarray) -> np.ndarray:
    """Each pixel's component as the number of its last pixel."""
    numbers = np.zeros(labels.shape, np.int64)
    for label in np.unique(labels):
        count, found = cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=8)
        for component in range(1, count):
            inside = found == component
            numbers[inside] = np.flatnonzero(inside).max()
    return numbers.ravel()


MAPS = {
    "blobs": np.stack([blobs(seed, 2.0) for seed in range(4)]),
    "noise": np.stack([blobs(seed, 0.0) for seed in range(4)]),
    "spirals": np.stack([np.rot90(spiral(64), turn) for turn in range(4)]).copy(),
    "sparse noise": (np.random.default_rng(0).random((4, *SIZE)) < 0.41).astype(np.uint8),  # near percolation
}


@pytest.mark.parametrize("name", MAPS)
def test_components_are_those_of_opencv(name: str) -> None:
    found = Labelling(SIZE, 4)(torch.from_numpy(MAPS[name]).long())
    for one, expected in zip(found.numpy(), map(reference, MAPS[name]), strict=True):
        np.testing.assert_array_equal(one, expected)


def bag(nuts: int, screws: int, seed: int) -> Tensor:
    """So many squares of class 1 and bars of class 2, scattered over a grid of places, and specks of both."""
    random = np.random.default_rng(seed)
    labels = np.zeros((128, 128), np.int64)
    places = random.permutation(16)[: nuts + screws]
    for index, place in enumerate(places):
        top, left = 32 * (place // 4) + random.integers(4, 8), 32 * (place % 4) + random.integers(4, 8)
        if index < nuts:
            labels[top : top + 12, left : left + 12] = 1
        else:
            labels[top : top + 8, left : left + 20] = 2
    labels[0, 40:44], labels[100:104, 127] = 1, 2
    return torch.from_numpy(labels)


def bags(nuts: int, screws: int, count: int) -> Tensor:
    return torch.stack([bag(nuts, screws, seed) for seed in range(count)])


def test_counts_and_areas_of_what_is_there() -> None:
    branch = ComponentCounts(2, (128, 128), ComponentCountsOptions(stride=2))
    branch.learn(bags(3, 2, 12))
    _, counts, largest, smallest = branch(torch.stack([bag(3, 2, 50), bag(0, 1, 51)]))
    assert counts.tolist() == [[3, 2], [0, 1]]
    assert largest[1, 0] == smallest[1, 0] == 0
    np.testing.assert_allclose(largest[0] * 128**2, [144, 160], rtol=0.25)
    np.testing.assert_allclose(smallest[0] * 128**2, [144, 160], rtol=0.25)
    assert [ends.tolist() for ends in branch.range(counts)] == [[[3, 2], [3, 2]]] * 2


def test_a_miscount_is_as_far_away_as_the_floor_says() -> None:
    near, far = (ComponentCounts(2, (128, 128), ComponentCountsOptions(floor=floor)) for floor in (0.5, 0.1))
    wrong = torch.stack([bag(3, 2, 70), bag(4, 2, 71), bag(3, 1, 72), bag(2, 3, 73)])
    for branch, unit in ((near, 2.0), (far, 10.0)):
        branch.learn(bags(3, 2, 12), bags(3, 2, 4))
        scores = branch(wrong)[0]
        np.testing.assert_allclose(scores, [0, unit, unit, unit * 2**0.5], atol=1e-3)


def test_a_class_that_good_pictures_never_show_counts_from_one_square_on() -> None:
    branch = ComponentCounts(3, (128, 128), ComponentCountsOptions())
    branch.learn(bags(3, 2, 6))
    odd = bag(3, 2, 80)
    odd[64:72, 60:68] = 3
    assert branch(odd[None])[1].tolist() == [[3, 2, 1]]
