"""A network that sees pictures enlarged, so that what covers few pixels covers more cells of its maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flawscope.errors import OptionError
from flawscope.nn.backbones.build import Backbone

_STEP = 32  # pixels of which an enlarged side is a multiple, as networks' deepest cells are


class Enlarged(Backbone):
    """The same network with the same weights, in whose eyes pictures are enlarged.

    Args:
        network: of convolutions.
        size: height and width of the pictures that come in.
        times: by how much, see `enlarged_size`.

    Attributes:
        grids, strides: those of the enlarged picture.
        larger: its height and width.
    """

    def __init__(self, network: Backbone, size: tuple[int, int], times: float) -> None:
        if network.tokens:
            raise OptionError(
                f"pictures enlarged for {network.name}",
                expected="a network of convolutions, which takes any size",
                got="a transformer, which is made for one",
                fix="Set option enlarged of structure to 1.",
            )
        larger = enlarged_size(size, times)
        scale = (network.mean.flatten().tolist(), network.std.flatten().tolist())
        super().__init__(network.body, network.name, network.library, network.layers, scale, size=larger)
        self.larger = larger
        self.register_buffer("seen", torch.tensor(larger))  # what keeps maps tells networks by tensors

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """See `Backbone.forward`; `pixels` (N, 3, H, W) are as large as they come in."""
        return super().forward(enlarge(pixels, self.larger))


def enlarged_size(size: tuple[int, int], times: float) -> tuple[int, int]:
    """Height and width of a picture that is enlarged: multiples of 32, and never below its own.

    >>> enlarged_size((320, 320), 1.6), enlarged_size((100, 60), 1.0)
    ((512, 512), (100, 60))
    """
    if times == 1:
        return size
    height, width = (max(side, round(side * times / _STEP) * _STEP) for side in size)
    return height, width


def enlarge(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels (N, 3, h, w) at a larger size (N, 3, H, W), linearly between them."""
    return F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
