"""The patch description networks of EfficientAD (Batzner, Heckler, König, WACV 2024, tables 6 and 7).

The tables are also those of the thesis: Khanjani, Politecnico di Torino 2025, tables 5.2 and 5.3. Every value
of a map sees 33×33 pixels, and the strides multiply to 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PDN_CHANNELS = 384
PdnSize = Literal["small", "medium"]
STRIDE = 4  # pixels from one cell of the output to the next


class Convolution(nn.Conv2d):
    """A square convolution of stride 1 that learns fast on a processor also where its padding is wide.

    oneDNN's fast kernels for the gradient of weights end at a padding of half the kernel; beyond, they take
    two to six times as long. There, the rest of the zeros is put around the map before. Nothing changes in
    what comes out, nor in the graph of a network that has learnt.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) as `nn.Conv2d`."""
        return _convolved(x, self.weight, self.bias, int(self.padding[0]))


@torch.fx.wrap
def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """A convolution of stride 1, traced as one step: how it is done is decided when it runs."""
    half = weight.shape[2] // 2
    beyond = padding - half
    if beyond <= 0 or not (torch.is_grad_enabled() and weight.requires_grad) or x.device.type != "cpu":
        return F.conv2d(x, weight, bias, padding=padding)
    around = F.pad(x, (beyond,) * 4)  # (N, C, H + 2 beyond, W + 2 beyond)
    return F.conv2d(around, weight, bias, padding=half)


def pdn_s(channels: int = PDN_CHANNELS, *, padding: bool = True, width: int = 128) -> nn.Sequential:
    """The small network: (N, 3, H, W) → (N, channels, H/4, W/4) with padding.

    Args:
        channels: width of the last layer; 384 for the teacher, 768 for the student.
        width: of the first layer, half of the two in between (table 6: 128).
        padding: True pads as the paper's table does; False is the published code's choice, whose map of a
            256×256 picture is 56×56.
    """
    wide, pool, narrow = (3, 1, 1) if padding else (0, 0, 0)
    return nn.Sequential(
        Convolution(3, width, 4, padding=wide),
        nn.ReLU(),
        nn.AvgPool2d(2, 2, padding=pool),
        Convolution(width, 2 * width, 4, padding=wide),
        nn.ReLU(),
        nn.AvgPool2d(2, 2, padding=pool),
        nn.Conv2d(2 * width, 2 * width, 3, padding=narrow),
        nn.ReLU(),
        nn.Conv2d(2 * width, channels, 4),
    )


def pdn_m(channels: int = PDN_CHANNELS, *, padding: bool = True, width: int = 256) -> nn.Sequential:
    """The medium network: (N, 3, H, W) → (N, channels, H/4, W/4) with padding.

    `channels`, `padding` and `width` are as in `pdn_s` (table 7: 256).
    """
    wide, pool, narrow = (3, 1, 1) if padding else (0, 0, 0)
    return nn.Sequential(
        Convolution(3, width, 4, padding=wide),
        nn.ReLU(),
        nn.AvgPool2d(2, 2, padding=pool),
        Convolution(width, 2 * width, 4, padding=wide),
        nn.ReLU(),
        nn.AvgPool2d(2, 2, padding=pool),
        nn.Conv2d(2 * width, 2 * width, 1),
        nn.ReLU(),
        nn.Conv2d(2 * width, 2 * width, 3, padding=narrow),
        nn.ReLU(),
        nn.Conv2d(2 * width, channels, 4),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1),
    )


@dataclass(frozen=True, slots=True)
class Cells:
    """Where the cells of a map lie in the picture, and how much of it each sees, in pixels along one side.

    Attributes:
        stride: from one cell to the next.
        origin: the first cell's centre.
        field: length of the square that a cell sees, about its centre.
    """

    stride: int
    origin: float
    field: int

    def centres(self, count: int) -> Tensor:
        """Pixel coordinates (count,) along one side; with padding the outer ones may lie outside."""
        return self.origin + self.stride * torch.arange(count, dtype=torch.float64)


def cells(network: nn.Sequential) -> list[Cells]:
    """The cells of each convolution's output, in order; after the receptive fields of all layers below."""
    found = []
    stride, origin, field = 1, 0.0, 1
    for layer in network:
        if not isinstance(layer, nn.Conv2d | nn.AvgPool2d):
            continue
        kernel, step, padding = (
            value if isinstance(value, int) else int(value[0])
            for value in (layer.kernel_size, layer.stride, layer.padding)
        )
        origin += ((kernel - 1) / 2 - padding) * stride
        field += (kernel - 1) * stride
        stride *= step
        if isinstance(layer, nn.Conv2d):
            found.append(Cells(stride, origin, field))
    return found


def pdn(size: PdnSize, channels: int = PDN_CHANNELS, *, padding: bool = True) -> nn.Sequential:
    """`pdn_s` or `pdn_m`."""
    return (pdn_s if size == "small" else pdn_m)(channels, padding=padding)


def pdn_cells(size: PdnSize, *, padding: bool = True) -> list[Cells]:
    """`cells` of a network that need not be built for it."""
    with torch.device("meta"):
        return cells(pdn(size, 1, padding=padding))
