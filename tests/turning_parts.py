"""Drawn parts that lie at any angle: a wheel of equal blades with one red mark, lit from one side."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE, BLADES, MARK = 96, 6, 0.55  # of pictures; of the wheel; the mark's radius over the wheel's
_FINE = 4


def wheel(
    angle: float,
    *,
    seed: int = 0,
    mark: float | None = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    light: float = 15.0,
) -> NDArray[np.uint8]:
    """A picture (96, 96, 3) of the wheel turned by `angle` degrees; `mark`: how far it is moved."""
    random, side = np.random.default_rng(seed), SIDE * _FINE
    picture = np.full((side, side, 3), 60.0)
    middle = np.array([side / 2 + shift[0] * _FINE, side / 2 + shift[1] * _FINE])
    radius = 0.4 * side
    cv2.circle(picture, _point(middle, 0, 0), int(radius), (150, 150, 150), -1)
    for blade in range(BLADES):
        turn = angle + 360 / BLADES * blade
        ends = _point(middle, 0.25 * radius, turn), _point(middle, 0.95 * radius, turn + 12)
        cv2.line(picture, *ends, (95, 95, 95), 3 * _FINE)
    if mark is not None:
        place = _point(middle, MARK * radius, angle + mark + 180 / BLADES)
        cv2.circle(picture, place, 3 * _FINE, (210, 40, 40), -1)
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    lit = small + light * np.sin(2 * np.arctan2(rows - SIDE / 2, columns - SIDE / 2))[..., None]
    return np.clip(lit + random.normal(0, 3, lit.shape), 0, 255).astype(np.uint8)


def write_wheels(
    folder: Path, count: int, *, seed: int, mark: float | None = 0.0, turned: bool = True
) -> list[float]:
    """So many pictures, each a little elsewhere; the angles, any or near 0."""
    folder.mkdir(parents=True, exist_ok=True)
    random, angles = np.random.default_rng(seed), []
    for index in range(count):
        angles.append(float(random.uniform(0, 360) if turned else random.normal(0, 1)))
        shift = tuple(random.uniform(-2, 2, 2))
        drawn = wheel(angles[-1], seed=seed * 1000 + index, mark=mark, shift=(shift[0], shift[1]))
        Image.fromarray(drawn).save(folder / f"{index:03d}.png")
    return angles


def _point(middle: NDArray[np.float64], radius: float, degrees: float) -> tuple[int, int]:
    turn = math.radians(degrees)
    return round(middle[0] + radius * math.cos(turn)), round(middle[1] + radius * math.sin(turn))
