"""Quantities of a stream that are bet on alike: how their values rank, what capital that made, since when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.martingale import Array, Bets, Capital, Way
from flawscope.runtime.ranks import Ranks

_COIN = 2.5  # deviations of a fair coin's tosses


@dataclass(frozen=True, slots=True)
class Departure:
    """A quantity that has left what is usual: how, since which picture, its median, and its mean since."""

    name: str
    way: Way
    since: int
    usual: float
    now: float


class Watched:
    """Quantities of one stream, each with a martingale of its own.

    Args:
        bets: what is bet on.
        references: values of calibration pictures of each quantity; there may be none.
        shares: the chance of a false alarm that each quantity has.
    """

    def __init__(
        self, bets: Bets, references: Mapping[str, Sequence[float]], shares: Mapping[str, float]
    ) -> None:
        self.names, self._bets = tuple(references), bets
        self._ranks = [Ranks(values) for values in references.values()]
        self._capital = Capital(bets, np.array([len(ranks) for ranks in self._ranks], np.int64))
        self._rises = _Rises.none(len(self.names), len(bets))
        self.limits = -np.log(np.array([shares[name] for name in self.names]))
        self._departed = set[str]()

    @property
    def logs(self) -> Array:
        """Logarithm of each quantity's capital."""
        return self._capital.logs

    @property
    def starts(self) -> set[int]:
        """Numbers of the pictures with which a departure would have begun that is told next."""
        return set(self._rises.start.ravel().tolist())

    def see(self, values: Mapping[str, float], draws: Mapping[str, float], number: int) -> list[Departure]:
        """Take the values of picture `number`; those quantities that have departed now, each once.

        Args:
            values: by quantity; one that the picture does not tell is missing, and waits.
            draws: for each quantity a number in (0, 1) that breaks ties, independent of all others.
            number: of the picture, from 1.
        """
        own = np.array([values.get(name, math.nan) for name in self.names])
        places = zip(self._ranks, own.tolist(), self.names, strict=True)
        p_values = np.array([_p_value(ranks, value, draws[name]) for ranks, value, name in places])
        self._rises.step(self._capital.step(p_values), own, p_values, number)
        over = np.flatnonzero(self.logs >= self.limits)
        found = [self._departure(row) for row in over.tolist() if self.names[row] not in self._departed]
        self._departed.update(one.name for one in found)
        return found

    def _departure(self, row: int) -> Departure:
        bet = int(self._capital.leading[row])
        since, mean = self._rises.told(row, bet)
        way = self._bets.ways[bet]
        if self._bets.urns and not self._rises.as_a_whole(row, bet):
            way = "more"
        return Departure(self.names[row], way, since, self._ranks[row].median(), mean)

    def to_json(self) -> dict[str, Any]:
        """What goes on from here, as plain values."""
        ranks = [ranks.to_json() for ranks in self._ranks]
        rises, capital = self._rises.to_json(), self._capital.to_json()
        return {"ranks": ranks, "rises": rises, "capital": capital, "departed": sorted(self._departed)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `to_json` gave of the same quantities."""
        self._ranks = [Ranks.of_json(pairs) for pairs in state["ranks"]]
        self._capital.restore(state["capital"])
        self._rises = _Rises.of_json(state["rises"], len(self.names), len(self._bets))
        self._departed = set(state["departed"])


@dataclass(slots=True)
class _Rises:
    """For each quantity and bet, (quantities, bets), the last stretch of pictures that the bet won on.

    It ends where its sum of logarithms falls to 0 (Page 1954): its beginning is the likeliest place of a
    change, if what the bet says came true there (Lorden 1971).

    Attributes:
        won: that sum.
        start: the number of the stretch's first picture.
        sums, counts: of the values in it.
        high: how many of them have a p-value below one half.
    """

    won: Array
    start: NDArray[np.int64]
    sums: Array
    counts: Array
    high: Array

    @classmethod
    def none(cls, quantities: int, bets: int) -> Self:
        zeros = [np.zeros((quantities, bets)) for _ in range(4)]
        return cls(zeros[0], np.zeros((quantities, bets), np.int64), *zeros[1:])

    def step(self, won: Array, values: Array, p_values: Array, number: int) -> None:
        """`won` (quantities, bets), the others (quantities,), NaN where a quantity has none now."""
        told = ~np.isnan(values)[:, None]
        fresh = told & (self.won <= 0)
        self.start[fresh] = number
        self.sums[fresh] = self.counts[fresh] = self.high[fresh] = 0.0
        self.won = np.maximum(self.won + won, 0.0)
        self.sums += np.where(told, values[:, None], 0.0)
        self.counts += told
        self.high += p_values[:, None] < 0.5

    def told(self, quantity: int, bet: int) -> tuple[int, float]:
        """First picture of the stretch, and the mean of its values."""
        mean = self.sums[quantity, bet] / max(self.counts[quantity, bet], 1)
        return int(self.start[quantity, bet]), float(mean)

    def as_a_whole(self, quantity: int, bet: int) -> bool:
        """Whether the stretch's values are high altogether, not only some: more often than a fair coin's."""
        high, count = float(self.high[quantity, bet]), float(self.counts[quantity, bet])
        return high == count or 2 * high - count >= _COIN * math.sqrt(count)

    def to_json(self) -> list[list[list[float]]]:
        return [array.tolist() for array in (self.won, self.start, self.sums, self.counts, self.high)]

    @classmethod
    def of_json(cls, state: Iterable[Any], quantities: int, bets: int) -> Self:
        won, start, *others = (np.array(one, np.float64).reshape(quantities, bets) for one in state)
        return cls(won, start.astype(np.int64), *others)


def _p_value(ranks: Ranks, value: float, draw: float) -> float:
    """The share of all so far, and of itself, that lie above it, ties by the draw; then it joins them."""
    if math.isnan(value):
        return math.nan
    above, equal = ranks.add(value)
    return (above + draw * (equal + 1)) / len(ranks)
