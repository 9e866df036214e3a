"""Random rotation of a batch on its device."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def rotated(pixels: Tensor, degrees: float) -> Tensor:
    """Each of `pixels` (N, 3, H, W) turned about its centre by an angle drawn from ±`degrees`.

    Angles come from torch's global generator. What comes from beyond the border is black; the values between
    pixels are bilinear.
    """
    if not degrees:
        return pixels
    height, width = pixels.shape[2:]
    angles = (2 * torch.rand(len(pixels)) - 1) * math.radians(degrees)
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # in grid_sample's units, where either side is 2 long
    turn = torch.stack(
        [
            torch.stack([cosine, -sine * height / width, zero], 1),
            torch.stack([sine * width / height, cosine, zero], 1),
        ],
        1,
    ).to(pixels)  # (N, 2, 3)
    grid = F.affine_grid(turn, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)
