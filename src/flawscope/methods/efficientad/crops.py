"""The parts of a picture that hold all that the cells in its defects see: a pass over them is enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flawscope.nn.backbones.pdn import Cells


class Crops:
    """Cuts crops of one size in which a network says of the cells in defects what it says in the picture.

    A crop begins a whole number of strides from the picture's corner, and reaches half a receptive field
    beyond the defects that it is for, or to the picture's border, where the network's padding lies as before.

    Args:
        size: height and width of the pictures.
        where: the cells of the network's output.
        longest: height and width of the defects that fit into one crop; larger ones get several.
    """

    def __init__(self, size: tuple[int, int], where: Cells, longest: tuple[int, int]) -> None:
        self.size, self.stride, self.reach = size, where.stride, (where.field - 1) // 2
        self.longest = longest
        self.sides = (self._side(size[0], longest[0]), self._side(size[1], longest[1]))

    def __call__(
        self, picture: NDArray[np.float32], mask: NDArray[np.bool_]
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.bool_]]]:
        """Crops (3, h, w) of a picture (3, H, W) and, in each, the defects (h, w) that it is for.

        Each True pixel of the mask (H, W) is in one crop's defects; there are no crops without defects.
        """
        left = mask.copy()
        pictures, masks = [], []
        while left.any():
            top = int(left.any(1).argmax())
            first = int(left[top : top + self.longest[0]].any(0).argmax())
            own = np.zeros_like(left)
            part = np.s_[top : top + self.longest[0], first : first + self.longest[1]]
            own[part], left[part] = left[part], False
            crop = self._crop((top, first))
            pictures.append(picture[:, *crop])
            masks.append(own[crop])
        return pictures, masks

    def _side(self, length: int, longest: int) -> int:
        """A crop's side; what it leaves of the picture is a whole number of strides."""
        wanted = longest + 2 * self.reach + self.stride - 1
        return min(wanted + (length - wanted) % self.stride, length)

    def _crop(self, corner: Sequence[int]) -> tuple[slice, slice]:
        spans = []
        for start, length, side in zip(corner, self.size, self.sides, strict=True):
            before = (start - self.reach) // self.stride * self.stride
            before = min(max(before, 0), length - side)
            spans.append(slice(before, before + side))
        return spans[0], spans[1]
