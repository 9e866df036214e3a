"""Whether something that is no flaw tells good and defective pictures apart: format, size, mode or camera.

A detector may learn it in place of the flaws, and figures measured on such pictures promise too much.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from flawscope.data.checks.issues import Issue, found
from flawscope.data.samples import Sample

BALANCED = 0.8  # share of both groups that the property alone puts right, on average
CHANCE = 0.02  # probability that as many fall so by chance


@dataclass(frozen=True, slots=True)
class Traits:
    """What a file tells of its picture without showing it."""

    sample: Sample
    size: str
    mode: str
    format: str
    compression: str
    camera: str


def telltale_issues(traits: Sequence[Traits]) -> Iterator[Issue]:
    """A finding for each property that alone tells defective from good pictures.

    Compared are the test pictures, and all where no good ones are for testing. How strongly pictures are
    compressed is told only where the format itself is not.
    """
    tested = [trait for trait in traits if trait.sample.split == "test"]
    if all(trait.sample.defective for trait in tested):
        tested = list(traits)
    named = set[str]()
    for name in ("format", "size", "mode", "camera", "compression"):
        if name == "compression" and "format" in named:
            continue
        values: list[Hashable] = [getattr(trait, name) for trait in tested]
        apart = _apart(values, [trait.sample.defective for trait in tested])
        if apart:
            named.add(name)
            samples = [trait.sample for trait, value in zip(tested, values, strict=True) if value in apart]
            goods, bads = (_commonest(tested, name, defective) for defective in (False, True))
            message = f"The {name} alone tells the kinds apart: good ones are {goods}, defective ones {bads}."
            yield found("tell-tale", samples, message)


def _apart(values: Sequence[Hashable], defective: Sequence[bool]) -> set[Hashable]:
    """The values that mark defective pictures, where they do so clearly and not by chance; else none.

    Values of a single picture are taken together, so that sizes that never recur tell nothing.
    """
    often = {value for value, count in Counter(values).items() if count > 1}
    pooled = [value if value in often else None for value in values]
    bad = Counter(value for value, is_bad in zip(pooled, defective, strict=True) if is_bad)
    good = Counter(value for value, is_bad in zip(pooled, defective, strict=True) if not is_bad)
    goods, bads = good.total(), bad.total()
    if not goods or not bads:
        return set()
    marks = {value for value in bad if bad[value] / bads > good[value] / goods}
    hits, misses = sum(bad[value] for value in marks), sum(good[value] for value in marks)
    balanced = (hits / bads + 1 - misses / goods) / 2
    if balanced < BALANCED or _by_chance(goods, bads, hits, misses) > CHANCE:
        return set()
    return {value for value in values if (value if value in often else None) in marks}


def _by_chance(goods: int, bads: int, hits: int, misses: int) -> float:
    """Probability that of hits + misses pictures drawn at random as many are defective (Fisher, exact)."""
    drawn = hits + misses
    every = _log_ways(goods + bads, drawn)
    return math.fsum(
        math.exp(_log_ways(bads, count) + _log_ways(goods, drawn - count) - every)
        for count in range(hits, min(bads, drawn) + 1)
    )


def _log_ways(n: int, k: int) -> float:
    """Logarithm of n over k."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _commonest(traits: Sequence[Traits], name: str, defective: bool) -> str:
    values = Counter(getattr(trait, name) for trait in traits if trait.sample.defective is defective)
    return f"mostly {values.most_common(1)[0][0]}" if len(values) > 1 else str(next(iter(values)))
