"""Surface textures: one large tile per kind, from which each picture cuts its own piece."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal

import cv2
import numpy as np

from flawscope.products.canvas import Float

Texture = Literal["grain", "cardboard", "brushed", "clouds", "flecks", "wrinkles"]
Layers = tuple[tuple[float, float, float], ...]  # weight of blurred noise, its blur along x and along y


def texture(kind: Texture, side: int, rng: np.random.Generator) -> Float:
    """A (side, side) piece of the texture, mean 0 and standard deviation 1 over the tile."""
    whole = tile(kind, side)
    row, column = rng.integers(0, whole.shape[0] - side + 1, 2)
    flip, mirror = rng.integers(0, 2, 2) * 2 - 1
    return np.ascontiguousarray(whole[row : row + side, column : column + side][::flip, ::mirror])


@lru_cache(maxsize=16)
def tile(kind: Texture, side: int) -> Float:
    """(2 * side, 2 * side), read-only: what `texture` cuts its pieces from."""
    rng = np.random.default_rng(20_240_601)
    extent = side * 2
    whole = _TILES[kind](extent, side / 512, rng)
    whole -= whole.mean()
    whole /= whole.std()
    whole.setflags(write=False)
    return whole


def _blurred(extent: int, sigma_x: float, sigma_y: float, rng: np.random.Generator) -> Float:
    """White noise blurred to unit standard deviation; coarse noise is made small and enlarged."""
    shrink = max(1, int(min(sigma_x, sigma_y) / 4))
    small = -(-extent // shrink)
    noise = rng.standard_normal((small, small), dtype=np.float32)
    sigma = [max(s / shrink, 0.05) for s in (sigma_x, sigma_y)]
    noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma[0], sigmaY=sigma[1]), np.float32)
    noise = np.asarray(cv2.resize(noise, (extent, extent), interpolation=cv2.INTER_LINEAR), np.float32)
    if shrink > 1:
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.7 * shrink), np.float32)
    return np.asarray(noise / noise.std(), np.float32)


def _layered(extent: int, zoom: float, rng: np.random.Generator, layers: Layers) -> Float:
    noise = (weight * _blurred(extent, x * zoom, y * zoom, rng) for weight, x, y in layers)
    return np.asarray(sum(noise), np.float32)


def _cardboard(extent: int, zoom: float, rng: np.random.Generator) -> Float:
    fibres = _blurred(extent, 7 * zoom, 1.1 * zoom, rng) + 0.5 * _blurred(extent, 1.3 * zoom, 6 * zoom, rng)
    specks = np.minimum(_blurred(extent, 1.6 * zoom, 1.6 * zoom, rng) + 2.2, 0) * 4
    return np.asarray(fibres + 0.8 * _blurred(extent, 30 * zoom, 14 * zoom, rng) + specks, np.float32)


def _wrinkles(extent: int, zoom: float, rng: np.random.Generator) -> Float:
    """Ridged noise: the folds of a sheet are where a smooth field changes its sign."""
    folds = [
        np.sqrt(np.abs(_blurred(extent, wide * zoom, high * zoom, rng)) + 0.01) * size
        for wide, high, size in ((45, 75, 1.0), (70, 30, 0.8), (22, 28, 0.35))
    ]
    return np.asarray(sum(folds), np.float32)


_TILES: dict[Texture, Callable[[int, float, np.random.Generator], Float]] = {
    "grain": partial(_layered, layers=((1, 1.2, 1.2), (0.6, 3, 3))),
    "cardboard": _cardboard,
    "brushed": partial(_layered, layers=((1, 60, 0.8), (0.7, 25, 1.6), (0.5, 120, 8))),
    "clouds": partial(_layered, layers=((64, 64, 64), (32, 32, 32), (16, 16, 16))),
    "flecks": partial(_layered, layers=((1, 3.5, 2.5), (0.35, 1.5, 1.5))),
    "wrinkles": _wrinkles,
}
