"""Run-length encoded masks of COCO: counts of pixels column by column, as numbers or packed in a string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ZERO = ord("0")
_LONGEST = 13  # characters of one number, 65 bits


def counts_of(packed: Any) -> tuple[int, ...]:
    """The runs of a mask, outside and inside by turns, beginning outside.

    Args:
        packed: a list of numbers, or the string in which COCO's API packs them: 6 bits a character from "0"
            on, 5 of the number and one that says that more follow; from the fourth run on each is the
            difference to the run two before it.

    Raises:
        ValueError: something else, or a run below 0.
    """
    runs = _unpacked(packed) if isinstance(packed, str) else packed
    if not isinstance(runs, Sequence) or not all(type(run) is int and run >= 0 for run in runs):
        raise ValueError("counts that are no whole numbers from 0 on")
    return tuple(runs)


def mask_of(counts: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """The mask (height, width) of runs that add up to its pixels."""
    inside = np.arange(len(counts)) % 2 == 1
    return np.asarray(np.repeat(inside, counts).reshape(width, height).T)  # column by column


def columns_of(counts: Sequence[int], height: int) -> tuple[slice, NDArray[np.bool_]]:
    """The columns from the first to the last in which such a mask has pixels, and it there, (height, w)."""
    ends = np.cumsum(counts, dtype=np.int64)
    within = (np.arange(len(counts)) % 2 == 1) & (np.asarray(counts) > 0)
    if not within.any():
        return slice(0, 0), np.zeros((height, 0), np.bool_)
    first, last = within.argmax(), len(within) - 1 - within[::-1].argmax()
    left, right = int(ends[first] - counts[first]) // height, int(ends[last] - 1) // height + 1
    runs = np.diff(np.clip(ends, left * height, right * height), prepend=left * height)
    return slice(left, right), mask_of(runs.tolist(), height, right - left)


def _unpacked(text: str) -> list[int]:
    runs, value, bits = list[int](), 0, 0
    for character in text:
        code = ord(character) - _ZERO
        if not 0 <= code < 64 or bits > 5 * _LONGEST:
            raise ValueError(f"counts with the character {character!r}")
        value |= (code & 31) << bits
        bits += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << bits
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, bits = 0, 0
    if bits:
        raise ValueError("counts that end within a number")
    return runs
