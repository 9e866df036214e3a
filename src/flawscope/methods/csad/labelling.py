"""Connected components of label maps as tensor code that exports, without a loop over pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.errors import OptionError

ROUNDS = 6
_JUMPS = 2


class Labelling(nn.Module):
    """Gives the pixels of each connected component the number of the component's last pixel.

    Pixels of the same label that touch at a side or a corner are connected. Each pixel points to one of its
    component, at first itself. A round takes the largest number pointed to around each pixel, hands it to the
    pixel that this one points to, and then follows pointers twice (FastSV, Zhang, Azad, Buluç 2020). Chains
    shrink at least geometrically: five rounds suffice for spirals and random noise of 64×64; there are six.
    A component that needs more would count as several.

    Args:
        size: height and width h, w of the label maps, at most 4096 × 4096.
        labels: L, how many there are.
    """

    numbers: Tensor
    labels: Tensor

    def __init__(self, size: tuple[int, int], labels: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("numbers", torch.arange(size[0] * size[1]), persistent=False)  # (P,)
        self.register_buffer("labels", torch.arange(labels).view(-1, 1, 1), persistent=False)  # (L, 1, 1)

    def forward(self, labels: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """Map labels (N, h, w) int64, 0 to L - 1, to numbers (N, P) int64 of pixels, line by line.

        Pixels of labels before `first` or after `last` are components of their own; the fewer others there
        are, the less time it takes.
        """
        masks = labels.unsqueeze(1) == self.labels[first : None if last is None else last + 1]
        pointers = self.numbers + torch.zeros_like(labels.flatten(1))  # (N, P)
        for _ in range(ROUNDS):
            grid = pointers.float().reshape(-1, 1, *self.size)  # (N, 1, h, w), exact below 2^24
            around = F.max_pool2d(torch.where(masks, grid, -1.0), 3, 1, 1)  # (N, L, h, w)
            own = torch.where(masks, around, -1.0)
            own = own.squeeze(1) if own.shape[1] == 1 else own.amax(1)  # which takes time even of one
            largest = own.flatten(1).long()  # (N, P)
            largest = torch.maximum(largest, pointers.scatter_reduce(1, pointers, largest, "amax"))
            for _ in range(_JUMPS):
                largest = largest.gather(1, largest)
            pointers = largest
        return pointers


def require_squares(size: tuple[int, int], stride: int, branch: str) -> None:
    """Refuse a height and width that squares of so many pixels a side do not fill.

    Raises:
        OptionError: on the size, naming the branch whose squares they are.
    """
    if any(side % stride for side in size):
        raise OptionError(
            "option 'size'",
            expected=f"multiples of the {branch}' stride {stride}",
            got=f"{size[0]}x{size[1]}",
            fix=f"Choose another size, or {branch}.stride=1.",
        )
