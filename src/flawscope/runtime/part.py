"""Where the part lies in a picture, and along which axis, told from the ground around it by colour.

Ground is what most of the picture's border shows. How far each colour is from the border's, in the spread
that these have (Mahalanobis), falls into two groups where a part lies on its ground, and Otsu's threshold
divides them.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

_BORDER = 48  # the border's width goes this often into the shorter side
_LEAST = 8  # pixels of a side from which on there is a border with something inside
_KEPT = 0.75  # of the border's colours describe the ground: those nearest together
_ROUNDS = 4
_GRAIN = 6 / 255  # spread that every ground is taken to have at least, so that faint shading stays ground
_SEPARATE = 0.7  # share of the distances' variance between the two groups; one bell curve reaches 0.64
_CLEAR = 0.75  # share of the border that is ground
_FEWEST, _MOST = 0.01, 0.97  # share of the picture outside which a part is a mistake
_LONG = 1.2  # length of the part's axis over its width from which on it has a direction
_CUT = -67.5  # degrees where directions begin: off all multiples of 45, near which parts are laid

Pixels = NDArray[np.float32]


def pose(small: Pixels, size: tuple[int, int]) -> dict[str, float]:
    """Centre and direction of the part: `x`, `y` and `angle`.

    `x` and `y` are shares of width and height. `angle` is that of the long axis in degrees, clockwise from
    the horizontal, from -67.5 up to 112.5; left out for parts about as long as wide. Empty where no part is
    told.

    Args:
        small: the picture (h, w, C) in [0, 1], perhaps shrunk.
        size: the picture's own height and width.
    """
    part = _told(small)
    if part is None:
        return {}
    height, width = part.shape
    moments = cv2.moments(part, binaryImage=True)
    x, y = (moments[name] / moments["m00"] + 0.5 for name in ("m10", "m01"))
    tall, wide = size[0] / height, size[1] / width
    across, down = moments["mu20"] * wide**2, moments["mu02"] * tall**2
    both = moments["mu11"] * wide * tall
    spread = math.hypot(across - down, 2 * both)
    found = {"x": x / width, "y": y / height}
    if across + down + spread >= _LONG**2 * max(across + down - spread, 0.0):
        angle = math.degrees(0.5 * math.atan2(2 * both, across - down))
        found["angle"] = (angle - _CUT) % 180 + _CUT
    return found


def _told(small: Pixels) -> NDArray[np.uint8] | None:
    """1 where the part is (h, w); None where the picture does not tell it from the ground."""
    if min(small.shape[:2]) < _LEAST:
        return None
    height, width, channels = small.shape
    colours = cv2.blur(np.ascontiguousarray(small), (3, 3)).reshape(height, width, channels)
    mean, whitening = _trusted(np.concatenate(_sides(colours)).reshape(-1, channels))
    white = (colours.reshape(-1, channels) - mean) @ whitening  # (h * w, C)
    far = np.sqrt(np.square(white).sum(1)).reshape(height, width)
    highest = float(far.max())
    if highest <= 0:
        return None
    levels = (far * (255 / highest)).astype(np.uint8)
    _, part = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    mask = np.asarray(part, np.uint8)
    border = np.concatenate([side.ravel() for side in _sides(mask[..., None])])
    if (
        not _FEWEST <= mask.mean() <= _MOST
        or border.mean() > 1 - _CLEAR
        or _separate(levels, mask) < _SEPARATE
    ):
        return None
    return mask


def _sides(pixels: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """The border's pixels (n, C) of a picture (h, w, C), those of corners once."""
    wide = max(1, min(pixels.shape[:2]) // _BORDER)
    inner = pixels[wide:-wide]
    sides = (pixels[:wide], pixels[-wide:], inner[:, :wide], inner[:, -wide:])
    return [side.reshape(-1, pixels.shape[2]) for side in sides]


def _trusted(colours: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (C,) and whitening (C, C) of the three quarters of the colours (n, C) that lie nearest together.

    Whatever of the part touches the border is so left out (concentration steps of the minimum covariance
    determinant, Rousseeuw and Van Driessen 1999, from the median).
    """
    every = colours.astype(np.float64)
    count, unit = max(1, int(_KEPT * len(every))), _GRAIN**2 * np.eye(every.shape[1])
    mean, inverse = np.median(every, 0), np.linalg.inv(unit)
    for _ in range(_ROUNDS):
        apart = every - mean
        distances = ((apart @ inverse) * apart).sum(1)
        near = every[np.argpartition(distances, count - 1)[:count]]
        mean = near.mean(0)
        inverse = np.linalg.inv((near - mean).T @ (near - mean) / count + unit)
    return mean, np.linalg.cholesky(inverse)


def _separate(levels: NDArray[np.uint8], part: NDArray[np.uint8]) -> float:
    """Variance between part and ground over the variance of all levels, 0 to 1 (Otsu 1979, eta)."""
    share = float(part.mean())
    difference = cv2.mean(levels, part)[0] - cv2.mean(levels, 1 - part)[0]
    deviation = float(cv2.meanStdDev(levels)[1][0, 0])
    return share * (1 - share) * difference**2 / deviation**2
