"""JPEG decoded at a half, a quarter or an eighth of its size, where its frame needs no more.

The decoder then makes fewer pixels from the same coefficients, which is a low-pass filter like the one that
resizing begins with. What is left keeps at least twice as many pixels along each side as the frame has, so
that the antialiased resize still decides what the model sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.placement import Pair, Placement
from flawscope.runtime.resize import Span

_ROOM = 2  # pixels along a side for each pixel of the frame that stay after reduction
_DIVISORS = (8, 4, 2)  # that libjpeg reduces by within its inverse cosine transform


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A picture's pixels, perhaps fewer than lie on disk.

    Attributes:
        pixels: (h, w, C), oriented.
        size: the picture's own height and width, oriented.
        vertical, horizontal: where in `pixels` the picture begins and ends; sides that the reduction does
            not divide end within a pixel.
    """

    pixels: NDArray[Any]
    size: Pair
    vertical: Span
    horizontal: Span

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> Decoded:
        """A picture in full."""
        height, width = pixels.shape[:2]
        return cls(pixels, (height, width), (0.0, float(height)), (0.0, float(width)))

    @classmethod
    def reduced(cls, pixels: NDArray[Any], size: Pair, divisor: int, orientation: int) -> Decoded:
        """A picture whose sides were divided and rounded up, and which was then oriented by its EXIF tag."""
        mirrored = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
        spans = []
        for whole, side, turned in zip(pixels.shape, size, mirrored, strict=False):
            spare = whole - side / divisor
            spans.append((spare, float(whole)) if turned else (0.0, whole - spare))
        return cls(pixels, size, *spans)

    def cut(self, placement: Placement) -> Decoded:
        """The part that a frame shows, and as much around it as an antialiased resize looks at.

        A frame that shows the whole picture leaves it as it is.
        """
        if placement.whole:
            return self
        parts, spans = [], []
        for axis, (low, high) in enumerate((self.vertical, self.horizontal)):
            shown, corner = placement.shown[axis], placement.corner[axis]
            step = (high - low) / placement.inner[axis]  # pixels here to one of the frame
            start, stop = (low + (place - corner) * step for place in (shown.start, shown.stop))
            around = 0 if step == 1.0 and low == 0.0 else math.ceil(max(step, 1.0)) + 1
            first = max(math.floor(start) - around, 0)
            last = min(math.ceil(stop) + around, self.pixels.shape[axis])
            parts.append(slice(first, last))
            spans.append((start - first, stop - first))
        return Decoded(np.ascontiguousarray(self.pixels[tuple(parts)]), self.size, *spans)

    @property
    def full(self) -> bool:
        """Whether these are the picture's own pixels."""
        return self.pixels.shape[:2] == self.size


def divisor(size: Pair, inner: Pair) -> int:
    """By how much the sides of a picture of `size` may be divided that takes `inner` pixels in its frame."""
    least = min(side // (_ROOM * within) for side, within in zip(size, inner, strict=True))
    return next((by for by in _DIVISORS if by <= least), 1)
