"""Connected components of label maps as tensor code that exports, without a loop over pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROUNDS = 6
_AROUND = tuple((down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if (down, across) != (0, 0))
_JUMPS = 2


class Labelling(nn.Module):
    """Gives the pixels of each connected component the number of the component's last pixel.

    Pixels of the same label that touch at a side or a corner are connected. Each pixel points to one of its
    component, at first itself. A round takes the largest number pointed to around each pixel, hands it to the
    pixel that this one points to, and then follows pointers twice (FastSV, Zhang, Azad, Buluç 2020). Chains
    shrink at least geometrically: five rounds suffice for spirals and random noise of 64×64, of which the
    number 6 leaves one to spare. A component that needs more would count as several.

    Args:
        size: height and width h, w of the label maps.
    """

    numbers: Tensor

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("numbers", torch.arange(size[0] * size[1]), persistent=False)  # (P,)

    def forward(self, labels: Tensor) -> Tensor:
        """Map labels (N, h, w) int64, at least 0, to numbers (N, P) int64 of pixels, line by line."""
        alike = [_neighbour(labels, *step) == labels for step in _AROUND]
        pointers = self.numbers + torch.zeros_like(labels.flatten(1))  # (N, P)
        for _ in range(ROUNDS):
            grid = pointers.reshape(labels.shape)  # (N, h, w)
            largest = grid
            for step, same in zip(_AROUND, alike, strict=True):
                largest = torch.maximum(largest, torch.where(same, _neighbour(grid, *step), -1))
            found = largest.flatten(1)  # (N, P)
            found = torch.maximum(found, pointers.scatter_reduce(1, pointers, found, "amax"))
            for _ in range(_JUMPS):
                found = found.gather(1, found)
            pointers = found
        return pointers


def _neighbour(values: Tensor, down: int, across: int) -> Tensor:
    """What lies so far below and right of each pixel of (N, h, w); -1 beyond the border."""
    height, width = values.shape[1:]
    padded = F.pad(values, (1, 1, 1, 1), value=-1)  # (N, h + 2, w + 2)
    return padded[:, 1 + down : 1 + down + height, 1 + across : 1 + across + width]
