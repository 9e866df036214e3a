"""Trunks of encoders: a registry network's first stages, or Patch SVDD's own convolutions.

The truncation of VGG16 is ours; the paper says only that each patch size has an architecture of its own.
Without padding, the first stages up to pool 2, conv3_2 and conv4_1 leave exactly one cell of a patch of 16,
32 and 64 pixels (the last sees 60 of the 64).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flawscope.errors import OptionError
from flawscope.methods.multiscale_patch.options import PATCH_SVDD, MultiScalePatchOptions
from flawscope.nn.backbones.build import IMAGENET, Backbone, build_backbone, split_name

_VGG16 = {64: "features.18", 32: "features.13", 16: "features.9"}
_WIDTHS = (32, 64, 128, 128, 64, 32, 32)  # of Patch SVDD's convolutions, its last but one
_ZERO, _ONE = (0.0,) * 3, (1.0,) * 3
SLOPE = 0.1  # of Patch SVDD's activations


class FirstStages(nn.Module):
    """The first stages of a registry backbone: pixels (n, 3, h, w) to one map (n, C, h', w')."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def mean(self) -> Tensor:
        """The colour (1, 3, 1, 1) that is taken from pixels."""
        return self.backbone.mean

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels to the last layer's map."""
        maps: dict[str, Tensor] = self.backbone(pixels)
        return maps[self.backbone.layers[0]]


class Convolutions(nn.Module):
    """Patch SVDD's convolutions without padding (authors' code): pixels (n, 3, h, w) to (n, 32, h', w').

    Args:
        mean: taken from the pixels of each colour.
        std: by which they are divided then.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for key, value in (("mean", mean), ("std", std)):
            self.register_buffer(key, torch.tensor(value).view(1, 3, 1, 1), persistent=False)
        layers: list[nn.Module] = []
        before = 3
        for index, width in enumerate(_WIDTHS):
            layers += [nn.Conv2d(before, width, 3, stride=1 if index else 2), nn.LeakyReLU(SLOPE)]
            before = width
        self.body = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels to the last layer's map."""
        maps: Tensor = self.body((pixels - self.mean) / self.std)
        return maps


def build_trunk(options: MultiScalePatchOptions, scale: int, layer: str | None) -> FirstStages | Convolutions:
    """A network for one scale's pixels, from a fixed seed, that leaves something of a patch.

    Raises:
        OptionError: it leaves nothing, or there is no such network or layer.
    """
    body: FirstStages | Convolutions
    try:
        if options.backbone == PATCH_SVDD:  # whose code divides by no deviation
            body = Convolutions(*(_ZERO, _ONE) if options.mean_picture else IMAGENET)
        else:
            body = _first_stages(options, scale, layer)
        # a traced network that fails prints its own code, which the error below says better
        with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
            body(torch.zeros(1, 3, scale, scale))
    except RuntimeError as error:
        raise OptionError(
            "encoders of multiscale_patch",
            expected=f"layers that leave something of a patch of {scale} pixels",
            got=" ".join(str(error).split())[:120],
            fix="Choose earlier `layers`, or padding=true, which networks with shortcuts need.",
        ) from error
    return body


def _first_stages(options: MultiScalePatchOptions, scale: int, layer: str | None) -> FirstStages:
    backbone = build_backbone(
        options.backbone,
        None if layer is None else [layer],
        strides=[max(1, scale // 4)],
        size=(scale, scale),
        trainable=True,
    )
    if not options.padding:
        _remove_padding(backbone)
    return FirstStages(backbone)


def layers_of(options: MultiScalePatchOptions) -> Sequence[str | None]:
    """The last layer of each encoder's trunk; None: that at a stride of a quarter patch."""
    if options.layers is not None:
        return options.layers
    known = _VGG16 if split_name(options.backbone)[1] == "vgg16" else {}
    return [known.get(scale) for scale in options.encoders]


def _remove_padding(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            module.padding = (0, 0)


def strides_of(network: nn.Module) -> list[int]:
    """Strides of all convolutions and pools, which multiply to the network's where it has no branches."""
    strides: list[Any] = [
        module.stride
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d)
    ]
    return [stride if isinstance(stride, int) else int(stride[0]) for stride in strides]
