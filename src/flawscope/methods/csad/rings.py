"""What light is like on rings around the middle of a component, whichever way round it lies."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.methods.csad.figures import LENGTH, Figures

SAID = ("light", "red", "blue", "contrast")  # what `Rings.said` gives
_DARKEST = 0.02  # of white, below which pixels are alike
_RADII, _ANGLES = 3, 48  # places of a ring that are read
_EVEN = 0.01  # added to deviation and roughness, logarithms of light: below 1 % they are alike
_LIGHTS, _FIGURES = 5, 3  # red, green, blue and both hues; mean, deviation and roughness


class Rings(nn.Module):
    """Vectors of components, from logarithms of light on `rings` rings of equal width.

    Without `ranks`, of red, green and blue, of red to green and of green to blue: mean, and logarithms of
    deviation and roughness. Roughness is the root of the mean squared step from place to place: a crack makes
    two large steps, a shade that goes round as far makes none. With `ranks`, of red, green and blue: means of
    so many equal parts of the ring's places, sorted from dark to light.

    Args:
        rings: R.
        ranks: Q, or None.
        reach: outermost radius, in standard deviations of the component along its length.

    Attributes:
        size: D, entries of a vector.
    """

    places: Tensor

    def __init__(self, rings: int, ranks: int | None, reach: float) -> None:
        super().__init__()
        self.rings, self.ranks = rings, ranks
        self.size = rings * (_LIGHTS * _FIGURES if ranks is None else 3 * ranks)
        self.register_buffer("places", _places(rings, reach), persistent=False)

    def forward(self, pixels: Tensor, figures: Figures, most: int) -> Tensor:
        """Vectors (N, M, D) of up to `most` of the largest components of pictures (N, 3, H, W)."""
        height, width = figures.grid
        length = figures.vectors[:, :most, LENGTH].exp()  # (N, M) in squares
        middles = figures.centres[:, :most].unsqueeze(2)
        points = middles + length[..., None, None] * self.places  # (N, M, P, 2)
        points = (2 * points + 1) / points.new_tensor([width, height]) - 1
        light = pixels.clamp_min(_DARKEST).log()
        read = F.grid_sample(light, points, padding_mode="border", align_corners=False)  # (N, 3, M, P)
        rings = read.reshape(*read.shape[:3], self.rings, _RADII, _ANGLES).mean(4)  # (N, 3, M, R, A)
        if self.ranks is None:
            return _measured(rings).flatten(2)  # (N, M, 5 · R · 3)
        ranked = rings.sort(-1).values.reshape(*rings.shape[:4], self.ranks, -1).mean(-1)
        return ranked.transpose(1, 2).flatten(2)  # (N, M, 3 · R · Q)

    def said(self, vectors: Tensor) -> Tensor:
        """Logarithms (..., 4) of `SAID`: light, red and blue against green, and contrast; of (..., D)."""
        if self.ranks is None:
            rings = vectors.reshape(*vectors.shape[:-1], _LIGHTS, self.rings, _FIGURES)
            red, green, blue, *_ = rings[..., 0].mean(-1).unbind(-1)
            contrast = rings[..., :3, :, 1].mean((-2, -1))
        else:
            rings = vectors.reshape(*vectors.shape[:-1], 3, self.rings, self.ranks)
            red, green, blue = rings.mean((-2, -1)).unbind(-1)
            contrast = (rings[..., -1] - rings[..., 0]).mean((-2, -1))
        return torch.stack([(red + green + blue) / 3, red - green, blue - green, contrast], -1)


def _measured(rings: Tensor) -> Tensor:
    """(N, M, 5, R, 3) of light (N, 3, M, R, A) on rings: mean, and logarithms of deviation and roughness."""
    red, green, blue = rings.unbind(1)
    light = torch.stack([red, green, blue, red - green, green - blue], 2)  # (N, M, 5, R, A)
    mean = light.mean(-1)
    deviation = (light - mean.unsqueeze(-1)).square().mean(-1).sqrt()
    steps = torch.cat([light[..., 1:], light[..., :1]], -1) - light
    roughness = steps.square().mean(-1).sqrt()
    return torch.stack([mean, torch.log(deviation + _EVEN), torch.log(roughness + _EVEN)], -1)


def _places(rings: int, reach: float) -> Tensor:
    """Places (P, 2) across and down around a middle: ring by ring, radius by radius, angle by angle."""
    radii = (torch.arange(rings * _RADII) + 0.5) / (rings * _RADII) * reach
    angles = torch.arange(_ANGLES) * (2 * math.pi / _ANGLES)
    around = torch.stack([angles.cos(), angles.sin()], 1)  # (A, 2)
    return (radii.view(-1, 1, 1) * around).reshape(-1, 2)
