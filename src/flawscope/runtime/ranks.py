"""Where a value ranks among all before it, whatever their number: counts of distinct values, in order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Self

DIGITS = 5  # significant ones that values are read to
_LARGEST = 512  # distinct values of a piece


class Ranks:
    """A growing collection of values.

    Values are read to five significant digits, a rule that no data has a part in, so that equal ones are
    counted and a stream of any length takes the memory of its distinct values: of a condition or score that
    stays within a factor of ten, at most 90 000. A look and an addition take time with their square root.

    >>> ranks = Ranks([1.0, 3.0, 3.0])
    >>> ranks.above(3.0), ranks.above(1.0), len(ranks)
    ((0, 2), (2, 1), 3)
    """

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._values, self._counts, self._totals = list[list[float]](), list[list[int]](), list[int]()
        self._lasts, self._size = list[float](), 0
        for value in sorted(values):
            self.add(value)

    def __len__(self) -> int:
        return self._size

    def above(self, value: float) -> tuple[int, int]:
        """How many are higher, and how many equal."""
        return self._above(_read(value))

    def _above(self, value: float) -> tuple[int, int]:
        piece = bisect_left(self._lasts, value)
        if piece == len(self._lasts):
            return 0, 0
        values, counts = self._values[piece], self._counts[piece]
        place = bisect_left(values, value)
        equal = counts[place] if values[place] == value else 0
        return sum(self._totals[piece + 1 :]) + sum(counts[place + (equal > 0) :]), equal

    def add(self, value: float) -> tuple[int, int]:
        """Put one more in; how many were higher, and how many equal."""
        value = _read(value)
        found = self._above(value)
        self._insert(value)
        return found

    def _insert(self, value: float) -> None:
        self._size += 1
        if not self._lasts:
            self._values, self._counts, self._totals, self._lasts = [[value]], [[1]], [1], [value]
            return
        piece = min(bisect_left(self._lasts, value), len(self._lasts) - 1)
        values, counts = self._values[piece], self._counts[piece]
        place = bisect_left(values, value)
        if place < len(values) and values[place] == value:
            counts[place] += 1
        else:
            values.insert(place, value)
            counts.insert(place, 1)
        self._totals[piece] += 1
        self._lasts[piece] = values[-1]
        if len(values) > _LARGEST:
            self._split(piece)

    def median(self) -> float:
        """The middle value, the lower one of two; of none 0."""
        behind, middle = 0, (self._size + 1) // 2
        for values, counts in zip(self._values, self._counts, strict=True):
            for value, count in zip(values, counts, strict=True):
                behind += count
                if behind >= middle:
                    return value
        return 0.0

    def to_json(self) -> list[tuple[float, int]]:
        """Distinct values, rising, and how often each is there."""
        pieces = zip(self._values, self._counts, strict=True)
        return [pair for values, counts in pieces for pair in zip(values, counts, strict=True)]

    @classmethod
    def of_json(cls, pairs: Iterable[tuple[float, int]]) -> Self:
        """From what `to_json` gave."""
        made, every = cls(), sorted(pairs)
        half = _LARGEST // 2
        for start in range(0, len(every), half):
            values, counts = map(list, zip(*every[start : start + half], strict=True))
            made._put(values, counts)
        return made

    def _put(self, values: list[float], counts: list[int]) -> None:
        self._values.append(values)
        self._counts.append(counts)
        self._totals.append(sum(counts))
        self._lasts.append(values[-1])
        self._size += self._totals[-1]

    def _split(self, piece: int) -> None:
        half = _LARGEST // 2
        for pieces in (self._values, self._counts):
            whole = pieces[piece]
            pieces[piece : piece + 1] = [whole[:half], whole[half:]]  # type: ignore[list-item]
        self._totals[piece : piece + 1] = [sum(counts) for counts in self._counts[piece : piece + 2]]
        self._lasts[piece : piece + 1] = [values[-1] for values in self._values[piece : piece + 2]]


def _read(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
