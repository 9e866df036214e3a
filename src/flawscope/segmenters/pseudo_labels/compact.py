"""Masks of many pictures in little memory: a box and a bit for each of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Component:
    """One mask of one picture.

    Attributes:
        picture: which one.
        top, left, height, width: the mask's bounding box.
        area: its pixels.
        bits: (ceil(height * width / 8),) the box's pixels, packed.
    """

    picture: int
    top: int
    left: int
    height: int
    width: int
    area: int
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, mask: NDArray[np.bool_], picture: int) -> Self:
        """A mask (H, W) with at least one pixel."""
        left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
        box = mask[top : top + height, left : left + width]
        return cls(picture, top, left, height, width, int(np.count_nonzero(box)), np.packbits(box))

    def box(self) -> NDArray[np.bool_]:
        """The mask within its bounding box, (height, width)."""
        pixels = np.unpackbits(self.bits, count=self.height * self.width)
        return pixels.reshape(self.height, self.width).astype(np.bool_)

    def draw(self, labels: NDArray[np.uint8], label: int) -> None:
        """Give the mask's pixels in `labels` (H, W) that label."""
        labels[self.top : self.top + self.height, self.left : self.left + self.width][self.box()] = label
