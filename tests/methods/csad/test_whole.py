"""Wholes: a long screw of which a piece is taken for a short one's counts as a long one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from drawn_screws import PLACES, SIZE, screw
from flawscope.methods.csad.shapes import Shapes, ShapesOptions
from flawscope.methods.csad.whole import as_wholes

LONG, SHORT, HEAD = 1, 2, 3


def screws(seed: int, *, piece: float = 0.0, short: float = 18.0, **flaw: Any) -> Tensor:
    """(4, H, W) two long screws and two short ones, with heads of their own class.

    Of the first long one, which has the flaw, a `piece` is taken for a short one's.
    """
    random = np.random.default_rng(seed)
    labels = np.zeros(SIZE, np.int64)
    for number, place in enumerate(random.permutation(PLACES)[:4]):
        turn, given = random.uniform(0, 2 * np.pi), flaw if number == 0 else {}
        own = screw((int(place[0]), int(place[1])), turn, **({"length": short} if number > 1 else given)) > 0
        labels[own] = SHORT if number > 1 else LONG
        rows, columns = np.nonzero(own)
        along = columns * np.cos(turn) - rows * np.sin(turn)  # from the head on
        if number == 0 and piece:
            far = along >= np.quantile(along, 1 - piece)
            labels[rows[far], columns[far]] = SHORT
        head = along <= along.min() + 3
        labels[rows[head], columns[head]] = HEAD
    return torch.from_numpy(np.stack([labels == label for label in range(4)]).astype(np.float32))


@pytest.fixture(scope="module")
def shapes() -> Shapes:
    branch = Shapes(3, SIZE, ShapesOptions(parts="joined", whole=True))
    good = torch.stack([screws(seed, piece=0.5 * (seed % 10 == 0)) for seed in range(60)])
    branch.learn(branch.gather(branch.ways(good)))
    return branch.eval()


def wholes(shapes: Shapes, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Classes of components (M,) and shares (K + 1, H, W) of a picture."""
    figures, found = as_wholes(shapes, shapes.figures(shares.unsqueeze(0)), shares.unsqueeze(0))
    return figures.kinds[0, :4], found[0]


@pytest.mark.parametrize("piece", [0.3, 0.6, 0.97])
def test_a_screw_of_two_classes_is_of_the_one_whose_shape_it_has(shapes: Shapes, piece: float) -> None:
    assert shapes.labels.tolist() == [LONG, SHORT]
    clean, mixed = screws(100), screws(100, piece=piece)
    assert (mixed[SHORT] - clean[SHORT]).sum() > 20
    kinds, found = wholes(shapes, mixed)
    assert sorted(kinds.tolist()) == [LONG, LONG, SHORT, SHORT]
    torch.testing.assert_close(found, clean)


def test_what_is_clear_stays(shapes: Shapes) -> None:
    clean = screws(101)
    torch.testing.assert_close(wholes(shapes, clean)[1], clean)


def test_what_no_good_one_is_shaped_as_stays_as_it_looks(shapes: Shapes) -> None:
    strange = screws(102, piece=0.5, bend=0.6)
    torch.testing.assert_close(wholes(shapes, strange)[1], strange)


def test_classes_of_one_shape_stay_apart() -> None:
    """Of red and blue screws of one length only what they look like tells which is which."""
    good = torch.stack([screws(seed, short=26.0) for seed in range(60)])
    branch = Shapes(3, SIZE, ShapesOptions(parts="joined", whole=True)).eval()
    branch.learn(branch.gather(branch.ways(good)))
    assert branch.divides
    swapped = screws(100, piece=0.97, short=26.0)
    torch.testing.assert_close(wholes(branch, swapped)[1], swapped)


def test_without_the_option_or_joined_components_classes_stay() -> None:
    good = torch.stack([screws(seed) for seed in range(40)])
    for options in ({"parts": "joined"}, {"parts": "classes", "whole": True}):
        branch = Shapes(3, SIZE, ShapesOptions.model_validate(options))
        branch.learn(branch.gather(branch.ways(good)))
        assert not branch.divides


class Wholes(torch.nn.Module):
    """The shares of `as_wholes`."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.shapes = shapes

    def forward(self, shares: Tensor) -> tuple[Tensor, Tensor]:
        figures, found = as_wholes(self.shapes, self.shapes.figures(shares), shares)
        return found, figures.kinds[:, :4].float()


@pytest.mark.slow
def test_engines_answer_as_the_branch_does(
    shapes: Shapes, exported: Callable[[torch.nn.Module, Tensor], dict[str, tuple[NDArray[Any], ...]]]
) -> None:
    batch = torch.stack([screws(200), screws(201, piece=0.5), screws(202, piece=0.5, bend=0.6)])
    with torch.no_grad():
        expected = Wholes(shapes)(batch)
    for answers in exported(Wholes(shapes), batch).values():
        for found, wanted in zip(answers, expected, strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-3, atol=1e-3)
