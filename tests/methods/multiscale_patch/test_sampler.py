"""Properties of every draw: patches stay inside, neighbours near, others farther, directions as labelled."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from flawscope.methods.multiscale_patch import patches
from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions

sides = st.integers(6, 70)
seeds = st.integers(0, 1000)
quick = settings(max_examples=60, deadline=None)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distance(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).double().square().sum(1).sqrt()


def assert_inside(corners: Tensor, room: tuple[int, int]) -> None:
    assert (corners >= 0).all()
    assert (corners <= torch.tensor(room)).all()


@quick
@given(sides, sides, st.integers(1, 5), seeds)
def test_neighbours_are_near_and_others_farther(height: int, width: int, reach: int, seed: int) -> None:
    room, generator = (height + 10, width + 10), seeded(seed)
    corners = patches.anywhere(300, room, generator)
    nearer = patches.near(corners, room, reach, generator)
    further = patches.farther(corners, nearer, room, generator)
    for drawn in (corners, nearer, further):
        assert_inside(drawn, room)
    assert (corners - nearer).abs().max() <= reach
    assert (distance(corners, nearer) > 0).all()
    assert (distance(corners, further) > distance(corners, nearer)).all()


def test_each_neighbour_has_the_same_chance() -> None:
    corners = torch.tensor([[0, 3]]).expand(40_000, 2)
    drawn = patches.near(corners, (9, 9), 1, seeded(1))
    places, counts = drawn.unique(dim=0, return_counts=True)
    assert places.tolist() == [[0, 2], [0, 4], [1, 2], [1, 3], [1, 4]]
    assert counts.min() > 7600
    assert counts.max() < 8400


def test_each_farther_place_has_the_same_chance() -> None:
    count = 60_000
    corners, nearer = torch.tensor([[1, 4]]).expand(count, 2), torch.tensor([[1, 5]]).expand(count, 2)
    drawn = patches.farther(corners, nearer, (4, 5), seeded(2))  # 5 × 6 places less the 3 × 3 around (1, 4)
    places, counts = drawn.unique(dim=0, return_counts=True)
    expected = [
        [row, column] for row in range(5) for column in range(6) if not (row <= 2 and 3 <= column <= 5)
    ]
    assert places.tolist() == expected
    assert counts.min() > 0.9 * count / len(expected)
    assert counts.max() < 1.1 * count / len(expected)


@quick
@given(st.sampled_from([16, 32, 64]), st.sampled_from([8, 12]), st.integers(0, 40), seeds)
def test_directions_are_those_of_the_labels(patch: int, directions: int, more: int, seed: int) -> None:
    room = (patch + more, patch + 2 * more)
    pair = patches.beside(300, room, (0.75 * patch, patch), directions, seeded(seed))
    assert_inside(pair.first, room)
    assert_inside(pair.second, room)
    moved = (pair.second - pair.first).double()
    step = 2 * math.pi / directions
    angle = torch.atan2(-moved[:, 0], moved[:, 1]) % (2 * math.pi)
    nearest = (angle / step).round().long() % directions
    assert torch.equal(nearest, pair.label)
    far = moved.abs().amax(1) if directions == 8 else moved.square().sum(1).sqrt()
    assert far.min() >= 0.75 * patch - 1
    assert far.max() <= patch + 1


def test_label_0_is_to_the_right_and_3_of_12_above() -> None:
    pair = patches.beside(500, (90, 90), (30, 40), 12, seeded(0))
    moved = pair.second - pair.first
    right, above = moved[pair.label == 0], moved[pair.label == 3]
    assert (right[:, 0] == 0).all()
    assert (right[:, 1] >= 30).all()
    assert (above[:, 1] == 0).all()
    assert (above[:, 0] <= -30).all()


def test_every_direction_comes() -> None:
    for directions in (8, 12):
        label = patches.beside(2000, (32, 32), (24, 32), directions, seeded(3)).label
        assert label.unique().tolist() == list(range(directions))


@pytest.mark.parametrize(("scale", "reach"), [(64, 4), (32, 2), (16, 1)])
def test_a_step_draws_a_hundred_of_each_kind_a_picture(scale: int, reach: int) -> None:
    options = MultiScalePatchOptions(weights="random", batch=6400, together=100)
    places = patches.draw(options, scale, 3, seeded(0))
    assert places.owners.bincount().tolist() == [100, 100, 100]
    assert {kind: corners.shape for kind, corners in places.corners.items()} == dict.fromkeys(
        "ijkmnr", (300, 2)
    )
    for corners in places.corners.values():
        assert_inside(corners, (256 - scale, 256 - scale))
    assert (places.corners["i"] - places.corners["j"]).abs().max() == reach
    again = patches.draw(options, scale, 3, seeded(0))
    assert all(torch.equal(places.corners[kind], again.corners[kind]) for kind in "ijkmnr")


@pytest.mark.parametrize(
    ("losses", "kinds"), [(("svdd",), "ij"), (("cos",), "ijk"), (("ssl",), "mn"), (("kmeans",), "r")]
)
def test_only_what_a_loss_needs_is_drawn(losses: tuple[str, ...], kinds: str) -> None:
    options = MultiScalePatchOptions.model_validate({"losses": losses, "batch": 200, "together": 100})
    places = patches.draw(options, 32, 2, seeded(0))
    assert "".join(places.corners) == kinds
    assert (places.label is None) == ("ssl" not in losses)
    some = places.between(20, 60)
    assert len(some.owners) == 40
    assert torch.equal(some.corners[kinds[0]], places.corners[kinds[0]][20:60])
