"""Capital that grows where a stream of pictures departs from good, unchanged ones, and hardly ever otherwise.

*p-values.* Each new value is ranked among the calibration pictures' and all that came before it in the
stream: the share that is at least as high, with ties broken at random. If calibration pictures and stream are
exchangeable, as good pictures of an unchanged line are, these p-values are independent and uniform (Vovk,
Gammerman and Shafer 2005, "Algorithmic learning in a random world", theorem 8.2). Against the calibration
pictures alone they would not be: over a long stream, capital would grow on what these few happen to be.

*Bets.* A bet multiplies its stake by f(p), where f >= 0 has mean 1 under uniform p:

- Beta densities, small p (values higher than usual) being likelier, from gently to strongly; mirrored, for
  lower values; and U-shaped, for values that scatter more.
- Urns, for scores: that values beyond the reference's highest, or beyond its 0.5, 1, 2 or 5 % highest, come
  more often by `MORE`. Where B of all n values so far lie beyond, the next one does with probability
  (B + 1) / (n + 1), which is the event p < (B + 1) / (n + 1): f = 1 + MORE (hit / probability - 1). Without a
  reference the stream's first `ENOUGH` values are one.

*Stakes.* Nobody knows when a change will come. Capital 1 waits, and after t pictures 1 / sqrt(1 + t / PACE)
of it still does; what leaves is staked, on all bets alike, and stays with them. Where there are urns, a share
`TO_URNS` of it is theirs: what changes all pictures mostly shows in their conditions as well, a few more
defects in scores alone. So capital is a martingale that starts at 1, and by Ville's inequality (1939) the
chance that it ever reaches 1 / alpha is at most alpha, for however long one looks. A stream that stays as it
is never takes what still waits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Way = Literal["risen", "fallen", "scattered", "more"]
Array = NDArray[np.float64]

MORE = 0.02  # by how much urns bet that a share has grown
PACE = 300  # pictures
ENOUGH = 100  # values beyond whose highest urns bet, where there is no reference
TO_URNS = 0.8  # of what is staked, where there are urns
_LEAST = 1e-12  # p-values nearer to 0 or 1 count as this one, which wins less
_NOTHING = -1e9  # logarithm of a stake before its first picture
_HIGHER = ((0.85, 1.15), (0.7, 1.3), (0.45, 1.6), (0.15, 2.0))
_LOWER = tuple((second, first) for first, second in _HIGHER)


@dataclass(frozen=True, slots=True)
class Bets:
    """What is bet on.

    Attributes:
        betas: both parameters of each Beta density.
        urns: the share of the reference beyond which each urn's values lie; 0: beyond all.
        ways: what each of them bets on, Beta densities first.
    """

    betas: tuple[tuple[float, float], ...]
    urns: tuple[float, ...]
    ways: tuple[Way, ...]

    def __len__(self) -> int:
        return len(self.ways)

    @property
    def shares(self) -> Array:
        """What each bet takes of what is staked, (bets,)."""
        to_urns = TO_URNS if self.urns else 0.0
        counts = ((len(self.betas), 1 - to_urns), (len(self.urns), to_urns))
        return np.concatenate([np.full(count, share / max(count, 1)) for count, share in counts])


OF_SCORES = Bets(_HIGHER, (0.0, 0.005, 0.01, 0.02, 0.05), ("risen",) * 4 + ("more",) * 5)
OF_CONDITIONS = Bets((*_HIGHER, *_LOWER, (0.5, 0.5)), (), ("risen",) * 4 + ("fallen",) * 4 + ("scattered",))


class Capital:
    """The capital of several streams that are bet on alike, each a martingale of its own.

    Args:
        bets: what is bet on.
        references: how many values each stream is ranked among before its first, (streams,).
    """

    def __init__(self, bets: Bets, references: NDArray[np.integer[Any]]) -> None:
        self.bets = bets
        streams = len(references)
        self._exponents = np.array(bets.betas, np.float64) - 1  # (betas, 2)
        self._constants = np.array([_log_beta(*pair) for pair in bets.betas])
        self._references = np.asarray(references, np.float64)
        self._begins = np.where(self._references > 0, self._references, ENOUGH)  # values before urns bet
        self._beyond = np.floor(self._begins[:, None] * np.array(bets.urns)[None])  # (streams, urns)
        self._shares = np.log(bets.shares)
        self._seen = np.zeros(streams)
        self._stakes = np.full((streams, len(bets)), _NOTHING)  # their logarithms

    @property
    def logs(self) -> Array:
        """Logarithm of each stream's capital, (streams,)."""
        highest = self._stakes.max(1)
        staked = highest + np.log(np.exp(self._stakes - highest[:, None]).sum(1))
        return np.asarray(np.logaddexp(staked, -0.5 * np.log1p(self._seen / PACE)))

    @property
    def leading(self) -> NDArray[np.intp]:
        """The bet that holds most of each stream's capital, (streams,)."""
        return np.asarray(self._stakes.argmax(1))

    def step(self, p_values: Array) -> Array:
        """Bet on the next p-value of each stream, (streams,) in (0, 1); NaN where it has none now.

        Returns what each bet won, as logarithms, (streams, bets); 0 where there was none.
        """
        told = ~np.isnan(p_values)
        p_values = np.minimum(np.maximum(np.where(told, p_values, 0.5), _LEAST), 1 - _LEAST)
        before, after = (1 / np.sqrt(1 + (self._seen + more) / PACE) for more in (0, 1))
        entering = np.log(before - after)[:, None] + self._shares
        logs = np.stack([np.log(p_values), np.log1p(-p_values)], 1)  # (streams, 2)
        won = logs @ self._exponents.T - self._constants
        if self.bets.urns:
            known = self._references + self._seen
            betting = (told & (known >= self._begins))[:, None]
            chance = (self._beyond + 1) / (known + 1)[:, None]
            hit = (p_values[:, None] < chance) & betting
            self._beyond += hit
            gained = np.where(betting, np.log1p(MORE * (hit / chance - 1)), 0.0)
            won = np.concatenate([won, gained], 1)
        won = np.where(told[:, None], won, 0.0)
        self._stakes = np.where(told[:, None], np.logaddexp(self._stakes, entering) + won, self._stakes)
        self._seen += told
        return won

    def to_json(self) -> dict[str, Any]:
        """What goes on from here, as plain values."""
        arrays = {"beyond": self._beyond, "seen": self._seen, "stakes": self._stakes}
        return {"bets": self._terms(), **{name: array.tolist() for name, array in arrays.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `to_json` gave.

        Raises:
            ValueError: it was bet otherwise.
        """
        if state["bets"] != self._terms():
            raise ValueError("a state of other bets")
        self._beyond = np.array(state["beyond"], np.float64).reshape(self._beyond.shape)
        self._seen = np.array(state["seen"], np.float64).reshape(self._seen.shape)
        self._stakes = np.array(state["stakes"], np.float64).reshape(self._stakes.shape)

    def _terms(self) -> list[Any]:
        """What states of the same bets have in common."""
        return [[list(pair) for pair in self.bets.betas], list(self.bets.urns), MORE, PACE, ENOUGH, TO_URNS]


def _log_beta(first: float, second: float) -> float:
    return math.lgamma(first) + math.lgamma(second) - math.lgamma(first + second)
