"""torchvision's VGG networks without their classifier, which is nine tenths of them and serves no map."""

from __future__ import annotations

from typing import Any

from torch import nn


class VggFeatures(nn.Module):
    """The convolutions of a VGG, initialised as torchvision initialises them; its weight files fit.

    Args:
        name: as torchvision calls it, such as `vgg16` or `vgg16_bn`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        from torchvision.models.vgg import cfgs, make_layers  # noqa: PLC0415

        letter = {"11": "A", "13": "B", "16": "D", "19": "E"}[name[3:5]]
        self.features: nn.Sequential = make_layers(cfgs[letter], batch_norm=name.endswith("_bn"))
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, pixels: Any) -> Any:
        """Map (N, 3, H, W) to (N, 512, H/32, W/32)."""
        return self.features(pixels)
