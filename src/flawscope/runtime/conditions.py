"""Conditions of a picture: light, focus, colour, and where the part lies; no model has a say in them.

Each is a number of the picture alone, so that it tells what has changed around a part where the scores only
tell that something has. They are read from every so many rows and columns, whatever the picture's size.

*brightness*: mean of the grey values, 0 to 1. *contrast*: their deviation over their mean, which light leaves
as it is and haze does not. *sharpness*: log2 of the squared differences of next pixels over those of pixels
four apart, at the size in which the picture is decoded; light, contrast and offset leave it as it is, defocus
and motion lower it, noise raises it. *warmth* and *tint*: log2 of the channels' means, red over blue and
green over both; of pictures in colour. *x*, *y* and *angle*: centre of the part as a share of width and
height, and the direction of its long axis in degrees, of a part that stands out from its ground
(`runtime.part`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.images import LUMA, Frame, between, decode
from flawscope.runtime.part import pose
from flawscope.runtime.reduction import Decoded
from flawscope.runtime.tiling import Tiling

NAMES = ("brightness", "contrast", "sharpness", "warmth", "tint", "x", "y", "angle")
TOLD = 0.9  # share of a model's calibration pictures that must have a condition for the model to have it

_LINES = 128  # rows, and columns, that sharpness is read from
_SMALL = 192  # pixels of the longer side that the others are read from
_FAR = 4  # pixels apart
_DARK = 1 / 255  # added to means and deviations, so that black pictures have them too
_EVEN = 1e-6  # added to squared differences, so that even pictures have them too
_THREADS = 4

Values = dict[str, float]
Recorded = dict[str, tuple[float, ...]]


def conditions(image: Decoded, frame: Frame) -> Values:
    """Those of one picture that can be told of it, by name, to six significant digits.

    Args:
        image: as `runtime.images.decode` gives it for the frame; the same decoding for all pictures compared.
        frame: tells what values are black and white.
    """
    small = _small(image, frame)  # (h, w, C) in [0, 1]
    grey = _grey(small)
    mean, deviation = float(grey.mean()), float(grey.std())
    found = {
        "brightness": mean,
        "contrast": deviation / (mean + _DARK),
        "sharpness": _sharpness(image, frame),
    }
    if small.shape[2] == 3:
        red, green, blue = (float(np.log2(value + _DARK)) for value in small.mean((0, 1)))
        found |= {"warmth": red - blue, "tint": green - (red + blue) / 2}
    found |= pose(small, image.size)
    return {name: float(f"{value:.6g}") for name, value in found.items()}


def of_files(paths: Iterable[Path], frame: Frame, tiling: Tiling | None = None) -> Recorded:
    """Those of good pictures which a model is to know: what nine of ten of them tell, in their order.

    Raises:
        InputError: a picture that cannot be used.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="conditions") as pool:
        return gathered(pool.map(lambda path: conditions(decode(path, frame, tiling=tiling), frame), paths))


def gathered(pictures: Iterable[Values]) -> Recorded:
    """The values of many pictures by name; a condition that fewer than nine of ten tell is left out."""
    every = list(pictures)
    told = {name: tuple(one[name] for one in every if name in one) for name in NAMES}
    return {name: values for name, values in told.items() if values and len(values) >= TOLD * len(every)}


def joined(before: Recorded, added: Recorded) -> Recorded:
    """Further good pictures' values after those of earlier ones, of the conditions that both have."""
    return {name: values + added[name] for name, values in before.items() if name in added}


def _unit(pixels: NDArray[Any], frame: Frame) -> NDArray[np.float32]:
    """Values from black to white as 0 to 1."""
    if frame.intensities is not None:
        return between(pixels, frame.intensities)
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def _grey(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, C) -> (h, w)."""
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels @ np.array(LUMA, np.float32)


def _small(image: Decoded, frame: Frame) -> NDArray[np.float32]:
    """The picture with at most `_SMALL` pixels along a side (h, w, C), from every so many of its own."""
    step = max(1, max(image.pixels.shape[:2]) // (2 * _SMALL))
    pixels = _unit(np.ascontiguousarray(image.pixels[::step, ::step]), frame)
    height, width, channels = pixels.shape
    scale = _SMALL / max(height, width)
    if scale >= 1:
        return pixels
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    shrunk = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32)
    return shrunk.reshape(*size[::-1], channels)


def _sharpness(image: Decoded, frame: Frame) -> float:
    rows, columns = (max(1, side // _LINES) for side in image.pixels.shape[:2])
    lines = image.pixels[rows // 2 :: rows], image.pixels[:, columns // 2 :: columns].swapaxes(0, 1)
    near = far = 0.0
    for pixels in lines:
        grey = _unit(pixels[..., pixels.shape[2] // 2], frame)  # (lines, pixels of each); of colours green
        near += _squared(grey, 1)
        far += _squared(grey, _FAR)
    return math.log2((near + _EVEN) / (far + _EVEN))


def _squared(grey: NDArray[np.float32], apart: int) -> float:
    """Mean squared difference along lines; 0 where they are shorter."""
    apart_by = grey[:, apart:] - grey[:, :-apart]
    return float(np.square(apart_by).mean()) if apart_by.size else 0.0
