"""Which members a committee can do without where a picture takes longer than it may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from flawscope.nn.watch import Watch

_LEAST = 1e-3  # milliseconds that leaving a member out saves at least, however the clock has it


class Parts(Protocol):
    """What a fitted committee tells of its members."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the members, K of them."""

    @property
    def good_levels(self) -> Tensor:
        """Levels (n, K) of the good pictures that gave them."""

    def without(self, number: int) -> Any:
        """The same without that member."""


AnyParts = TypeVar("AnyParts", bound=Parts)


def leave_out(
    committee: AnyParts, budget: float, measure: Callable[[AnyParts], float], watch: Watch
) -> AnyParts:
    """The committee without the members that add least for their time, so that `measure` finds `budget` kept.

    What a member adds is what no other member tells of good pictures: 1 − ρ², with ρ the closest correlation
    of its levels on the good pictures that gave them with another's. While a picture takes longer than
    `budget`, in milliseconds as `measure` finds them, that member goes which adds least for each millisecond
    that the committee saves without it; of equals the last. The last member of all stays.
    """
    total = measure(committee)
    while total > budget and len(committee.names) > 1:
        smaller = [committee.without(number) for number in range(len(committee.names))]
        times = [measure(one) for one in smaller]
        told = shared(committee.good_levels.cpu().numpy())
        number = least([1 - share for share, _ in told], [total - time for time in times])
        share, other = told[number]
        watch.say(
            f"{committee.names[number]} is left out, for a picture took {total:.3g} ms and may take "
            f"{budget:g}. {committee.names[other]} tells {share:.0%} of what moves its score on good "
            f"pictures. Without it a picture takes {times[number]:.3g} ms."
        )
        committee, total = smaller[number], times[number]
    if total > budget:
        alone = ", ".join(committee.names)
        watch.say(f"A picture takes {total:.3g} ms with {alone} alone, and may take {budget:g}.")
    return committee


def shared(levels: NDArray[np.floating[Any]]) -> list[tuple[float, int]]:
    """For each column of (n, K) the largest ρ² with another, and which that is; K ≥ 2.

    >>> shared(np.array([[0.0, 1.0, 1.0], [1.0, 3.0, 0.0], [2.0, 5.0, 1.0], [3.0, 7.0, 0.0]]))
    [(1.0, 1), (1.0, 0), (0.2, 0)]
    """
    centred = levels - levels.mean(0)
    norms = np.sqrt((centred**2).sum(0))
    products = np.outer(norms, norms)
    correlation = np.divide(centred.T @ centred, products, out=np.zeros_like(products), where=products > 0)
    squares = correlation**2
    np.fill_diagonal(squares, -1.0)
    return [(round(float(row.max()), 6), int(row.argmax())) for row in squares]


def least(adds: Sequence[float], saved: Sequence[float]) -> int:
    """The member that adds least for each millisecond that is saved without it; of equals the last.

    >>> least([0.5, 0.5], [10.0, 20.0]), least([0.1, 0.9], [5.0, 5.0]), least([0.2, 0.2], [1.0, 1.0])
    (1, 0, 1)
    """
    rates = [add / max(time, _LEAST) for add, time in zip(adds, saved, strict=True)]
    return max(range(len(rates)), key=lambda number: (-rates[number], number))
