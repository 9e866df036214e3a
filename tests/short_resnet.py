"""timm's `test_resnet` with five convolutions in place of fifteen: the same layers and strides."""

from __future__ import annotations

from typing import Any

from timm.models.resnet import ResNet, _create_resnet
from torch import nn


class _Layer(nn.Sequential):
    """A convolution in the place of a residual block."""

    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: Any, **settings: Any) -> None:
        del downsample, settings
        convolution = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(planes), nn.ReLU(inplace=True))


def short_resnet(pretrained: bool = False, **settings: Any) -> ResNet:
    """Make the network as timm makes its own; there are no weights for it."""
    shape = {"block": _Layer, "layers": (1, 1, 1, 1), "channels": (32, 48, 96, 96)}
    made: ResNet = _create_resnet("test_resnet", pretrained, **{**shape, **settings})
    return made
