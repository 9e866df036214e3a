"""The patch description network of EfficientAD (Batzner, Heckler, König: EfficientAD, WACV 2024, table 6)."""

from __future__ import annotations

from torch import nn

PDN_CHANNELS = 384


def pdn_s(channels: int = PDN_CHANNELS, *, padding: bool = True) -> nn.Sequential:
    """The small network: (N, 3, H, W) → (N, channels, H/4, W/4) with padding, each value seeing 33×33 pixels.

    Args:
        channels: width of the last layer; 384 for the teacher, 768 for the student.
        padding: True pads as the paper's table does; False is the published code's choice, whose map of a
            256×256 picture is 56×56.
    """
    wide, pool, narrow = (3, 1, 1) if padding else (0, 0, 0)
    return nn.Sequential(
        nn.Conv2d(3, 128, 4, padding=wide),
        nn.ReLU(),
        nn.AvgPool2d(2, 2, padding=pool),
        nn.Conv2d(128, 256, 4, padding=wide),
        nn.ReLU(),
        nn.AvgPool2d(2, 2, padding=pool),
        nn.Conv2d(256, 256, 3, padding=narrow),
        nn.ReLU(),
        nn.Conv2d(256, channels, 4),
    )
