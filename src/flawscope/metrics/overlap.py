"""How far found labels agree with true ones: intersection over union, class by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Overlaps(NamedTuple):
    """Intersection over union of each class, over all pixels of all pictures together.

    Attributes:
        names: of the L classes.
        by_class: (L,) from 0 to 1; NaN for a class that neither side shows.
    """

    names: tuple[str, ...]
    by_class: NDArray[np.float64]

    @property
    def known(self) -> dict[str, float]:
        """Of the classes that are shown, by name."""
        each = zip(self.names, self.by_class.tolist(), strict=True)
        return {name: value for name, value in each if not math.isnan(value)}

    @property
    def mean(self) -> float:
        """mIoU: the mean over the classes that are shown, the ground too; NaN where none is."""
        return float(np.mean(list(self.known.values()))) if self.known else math.nan

    def facts(self) -> dict[str, Any]:
        """`miou` and `by_class` as JSON may hold them; empty where nothing was measured."""
        return {"miou": self.mean, "by_class": self.known} if self.known else {}

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value:.3f}" for name, value in self.known.items())
        return f"mIoU {self.mean:.3f} ({told})"


def overlaps(
    found: NDArray[np.integer],
    truth: NDArray[np.integer],
    names: Sequence[str],
) -> Overlaps:
    """Compare found with true labels, arrays of one shape.

    Args:
        found: from 0 to L - 1.
        truth: from 0 to L - 1.
        names: of the L classes.
    """
    size = len(names)
    joined = found.astype(np.int64) * size + truth
    pixels = np.bincount(joined.ravel(), minlength=size**2).reshape(size, size)  # found by true
    both = np.diag(pixels)
    either = pixels.sum(0) + pixels.sum(1) - both
    with np.errstate(invalid="ignore"):
        return Overlaps(tuple(names), both / np.where(either, either, np.nan))
