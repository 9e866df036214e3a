"""Ψ of distillation: what a student learns to predict from pixels, made of other networks' maps.

Two ways of making one feature map of several layers:

- `patchcore`: PatchCore's postprocessing (Roth et al., CVPR 2022, section 3.1, and the authors' code): each
  layer's 3×3 patches are averaged to 1024 numbers, all layers are joined on the first one's grid, and the
  joined vector is averaged to the wanted length.
- `layers`: the maps as they are, joined on the finest grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.errors import OptionError
from flawscope.nn.backbones.build import Backbone

Features = Literal["patchcore", "layers"]
PATCH = 3  # PatchCore's neighbourhood
LAYER_DIM = 1024  # and the length to which it brings each layer


class Targets(nn.Module):
    """Ψ: pictures in, joined features out, frozen.

    Args:
        backbones: one or several, each with its layers.
        features: how the layers are joined.
        channels: length of a feature vector for `patchcore`; for `layers` it is the sum of the layers'.

    Attributes:
        channels: length of a feature vector.
        groups: by layer name, its channels as (first, last + 1). Names carry the network's where there are
            several, with a number where one is there more than once, as at several sizes.

    Raises:
        OptionError: `channels` that the layers do not have, or fewer than there are layers.
    """

    def __init__(
        self, backbones: Sequence[Backbone], *, features: Features = "patchcore", channels: int | None = None
    ) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        self.features = features
        pairs = [(backbone, layer) for backbone in backbones for layer in backbone.layers]
        called = _called([backbone.name for backbone in backbones])
        named = [(name, layer) for name, each in zip(called, backbones, strict=True) for layer in each.layers]
        names = [f"{name}.{layer}" if len(backbones) > 1 else layer for name, layer in named]
        widths = [backbone.channels[layer] for backbone, layer in pairs]
        grids = [backbone.grids[layer] for backbone, layer in pairs]
        self.shape = max(grids) if features == "layers" else grids[0]
        if features == "layers":
            self.channels = sum(widths)
            ends = torch.tensor(widths).cumsum(0).tolist()
            spans = [(end - width, end) for end, width in zip(ends, widths, strict=True)]
        else:
            self.channels = channels or 384
            kernels, spans = _patchcore_kernels(widths, self.channels)
            for index, kernel in enumerate(kernels):
                self.register_buffer(f"kernel{index}", kernel, persistent=False)
        self.spans = spans
        self.groups = dict(zip(names, spans, strict=True))
        if (channels is not None and channels != self.channels) or self.channels < len(widths):
            raise OptionError(
                "channels",
                expected=f"{self.channels}, the sum over the layers"
                if features == "layers"
                else f"at least {len(widths)}, one for each layer",
                got=str(channels),
                fix="Leave the option out, or choose features patchcore, which project to any number.",
            )

    def forward(self, pixels: Sequence[Tensor]) -> Tensor:
        """Features (N, channels, h, w) float32 of pictures (N, 3, H, W) in [0, 1], given once a backbone."""
        maps = [
            found[layer]
            for backbone, picture in zip(self.backbones, pixels, strict=True)
            for found in [backbone(picture)]
            for layer in found
        ]
        if self.features == "layers":
            return torch.cat([_resized(each, self.shape) for each in maps], 1)
        n = maps[0].shape[0]
        joined = torch.zeros(n, self.channels, *self.shape, device=maps[0].device)
        for index, (each, (first, last)) in enumerate(zip(maps, self.spans, strict=True)):
            kernel = self.get_buffer(f"kernel{index}")
            pooled = F.conv2d(each, kernel, padding=PATCH // 2).float()
            joined[:, first:last] += _resized(pooled, self.shape)
        return joined


def _called(names: Sequence[str]) -> list[str]:
    """Names with a number each where one comes more than once.

    >>> _called(["resnet18", "resnet34", "resnet18"])
    ['resnet18 1', 'resnet34', 'resnet18 2']
    """
    return [
        f"{name} {names[: place + 1].count(name)}" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _resized(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    if maps.shape[2:] == shape:
        return maps
    return F.interpolate(maps, size=shape, mode="bilinear", align_corners=False)


def _patchcore_kernels(widths: Sequence[int], channels: int) -> tuple[list[Tensor], list[tuple[int, int]]]:
    """PatchCore's two poolings as one 3×3 convolution a layer, and the output channels that each one reaches.

    Unfolding, both poolings over channels and the resizing over cells are linear, and channels and cells do
    not mix, so the poolings may come first: their product is the kernel (rows, C, 3, 3).
    """
    last = _pooling(LAYER_DIM * len(widths), channels)  # (channels, 1024 * layers)
    kernels, spans = [], []
    for pooling, width in zip(torch.split(last, LAYER_DIM, 1), widths, strict=True):
        rows = pooling.abs().sum(1).nonzero().flatten()
        first, end = int(rows[0]), int(rows[-1]) + 1
        product = pooling[first:end] @ _pooling(width * PATCH**2, LAYER_DIM)  # (rows, C * 9)
        kernels.append(product.view(end - first, width, PATCH, PATCH).float())  # (rows, C, 3, 3)
        spans.append((first, end))
    return kernels, spans


def _pooling(length: int, outputs: int) -> Tensor:
    """The matrix (outputs, length) float64 of an adaptive average pooling, longer or shorter."""
    identity = torch.eye(length, dtype=torch.float64)
    return F.adaptive_avg_pool1d(identity[None], outputs)[0].T
