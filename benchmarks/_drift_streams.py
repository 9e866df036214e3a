"""Many streams at once: drawn, ranked and bet on, as `flawscope.runtime.drift` does it one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.conditions import NAMES
from flawscope.runtime.martingale import OF_CONDITIONS, OF_SCORES, Capital

Array = NDArray[np.float64]
Streams = dict[str, Array]  # by quantity: (streams, reference + length), NaN where a picture tells none
Rows = Sequence[Mapping[str, float]]

SCORES = "scores"
NEVER = np.iinfo(np.int64).max


def table(rows: Rows, names: Sequence[str]) -> Array:
    """(pictures, quantities)."""
    return np.array([[row.get(name, np.nan) for name in names] for row in rows])


def watched(rows: Rows) -> tuple[str, ...]:
    """Scores, and the conditions that a model of these pictures would have."""
    told = [name for name in NAMES if np.mean([name in row for row in rows]) >= 0.9]
    return (SCORES, *told)


def drawn(pools: Sequence[tuple[Array, int]], streams: int, random: np.random.Generator) -> Array:
    """Streams (quantities, streams, length): from each pool (pictures, quantities) so many, with repeats."""
    parts = [pool[random.integers(0, len(pool), (streams, count))] for pool, count in pools]
    return np.moveaxis(np.concatenate(parts, 1), 2, 0)


def correlated(rows: Array, streams: int, length: int, random: np.random.Generator) -> Array:
    """Normal values (quantities, streams, length), correlated as rows (pictures, quantities) are in ranks."""
    known = rows[~np.isnan(rows).any(1)]
    ranks = known.argsort(0).argsort(0)
    mixing = np.linalg.cholesky(np.corrcoef(ranks.T) + 1e-9 * np.eye(rows.shape[1]))
    values = random.standard_normal((streams, length, rows.shape[1])) @ mixing.T
    return np.moveaxis(values, 2, 0)


def p_values(values: Array, reference: int, random: np.random.Generator) -> Array:
    """(streams, length) of values (streams, reference + length), each ranked among all before.

    Equal values are put in an order drawn once for each stream, which gives the same law as one draw for each
    value does.
    """
    told = ~np.isnan(values)
    before = told.cumsum(1)[:, reference - 1 : -1]  # how many values there were
    above = _earlier_above(values, random)[:, reference:] - (~told).cumsum(1)[:, reference - 1 : -1]
    found = (above + random.random(above.shape)) / (before + 1)
    return np.where(told[:, reference:], found, np.nan)


def _earlier_above(values: Array, random: np.random.Generator) -> NDArray[np.int16]:
    """Of each value (streams, length) how many earlier ones are higher; missing ones count as highest."""
    length = values.shape[1]
    mixed = random.permuted(np.broadcast_to(np.arange(length), values.shape), axis=1)
    order = np.take_along_axis(values, mixed, 1).argsort(1, kind="stable")
    ranks = np.empty(values.shape, np.int16)
    ordered = np.take_along_axis(mixed, order, 1)
    np.put_along_axis(ranks, ordered, np.arange(length, dtype=np.int16)[None], 1)
    along = np.ascontiguousarray(ranks.T)  # (length, streams)
    higher = [np.add.reduce(along[:place] > along[place], 0, dtype=np.int16) for place in range(length)]
    return np.stack(higher, 1)


def fixed_p_values(values: Array, reference: int, random: np.random.Generator) -> Array:
    """The same, each ranked among the reference alone: what `drift` does not do."""
    found = np.empty((len(values), values.shape[1] - reference))
    for row, stream in enumerate(values):
        known = np.sort(stream[:reference])
        places = np.searchsorted(known, stream[reference:])
        found[row] = (reference - places + random.random(len(places))) / (reference + 1)
    return found


def highest(name: str, p: Array, reference: NDArray[np.integer]) -> Array:
    """Each stream's highest logarithm of capital so far, (streams, length)."""
    capital = Capital(OF_SCORES if name == SCORES else OF_CONDITIONS, reference)
    found = np.empty(p.shape)
    best = np.zeros(len(p))
    for index, now in enumerate(p.T):
        capital.step(now)
        best = np.maximum(best, capital.logs)
        found[:, index] = best
    return found


def limit(name: str, alpha: float) -> float:
    """Logarithm of the capital at which a quantity raises its alarm."""
    return float(-np.log(alpha / 2 if name == SCORES else alpha / 2 / len(NAMES)))


def first(best: Array, at: float) -> NDArray[np.int64]:
    """The picture, from 0, with which each stream first reaches `at`; NEVER where it does not."""
    reached = best >= at
    return np.where(reached.any(1), reached.argmax(1), NEVER)


def alarms(
    names: Sequence[str], values: Array, reference: int, random: np.random.Generator, alpha: float
) -> NDArray[np.int64]:
    """First alarms (quantities, streams) of streams (quantities, streams, reference + length)."""
    found = []
    for name, own in zip(names, values, strict=True):
        known = np.count_nonzero(~np.isnan(own[:, :reference]), axis=1)
        best = highest(name, p_values(own, reference, random), known)
        found.append(first(best, limit(name, alpha)))
    return np.array(found)
