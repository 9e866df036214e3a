"""Pseudo anomalies: a piece of a good picture, its colours changed a little, moved elsewhere."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.transforms.v2 import ColorJitter

AREA = (0.02, 0.15)  # share of the picture, in the authors' code
ASPECT = 0.3  # sides of the piece are to each other as this to 1, or less apart
JITTER = 0.1


def moved_pieces(pixels: Tensor) -> Tensor:
    """Copies of `pixels` (N, 3, H, W) in [0, 1], in each a rectangle taken from another place of the picture.

    Place, size and colours come from torch's global generator.
    """
    jitter = ColorJitter(JITTER, JITTER, JITTER, JITTER)
    made = pixels.clone()
    height, width = pixels.shape[2:]
    for picture, source in zip(made, pixels, strict=True):
        area, aspect, *places = torch.rand(6).tolist()
        area = (AREA[0] + area * (AREA[1] - AREA[0])) * height * width
        ratio = math.exp((2 * aspect - 1) * math.log(ASPECT))
        high = min(max(round(math.sqrt(area / ratio)), 1), height)
        wide = min(max(round(math.sqrt(area * ratio)), 1), width)
        top, below = (int(place * (height - high + 1)) for place in places[:2])
        left, right = (int(place * (width - wide + 1)) for place in places[2:])
        piece = jitter(source[:, top : top + high, left : left + wide])
        picture[:, below : below + high, right : right + wide] = piece
    return made
