"""Appearance augmentation: light, colour and sharpness change, the part does not.

Every operation is defined as torchvision's of that name (`adjust_brightness` and so on) on float pictures:
(3, H, W) in [0, 1] in and out, the input never changed, factor or exponent 1 changing nothing. torchvision
itself is not used: sheets of pictures are drawn without torch, and on one core its sharpness takes about 40
times as long (256x256: 12 ms), its gamma 2.5 times, the others the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.errors import unknown

Picture = NDArray[np.float32]
Appearance = Callable[[Picture, np.random.Generator], Picture]

COLOUR_RANGE = (0.8, 1.2)  # EfficientAD's factors (Batzner et al., WACV 2024, section 3.3)
SHARPNESS_RANGE = (0.5, 2.0)  # half way to a 3 x 3 blur, to as much contrast again at edges
GAMMA_RANGE = (0.8, 1.25)  # drawn evenly in the logarithm, so that lighter and darker are as likely

_GREY = np.array([[0.2989, 0.587, 0.114]], np.float32)  # torchvision's weights of R, G, B


def appearance_named(name: str) -> Appearance:
    """The augmentation of that name, one of `APPEARANCES`.

    Raises:
        OptionError: an unknown name.
    """
    if name not in APPEARANCES:
        raise unknown("appearance", name, APPEARANCES)
    return APPEARANCES[name]


def thesis_appearance(image: Picture, random: np.random.Generator) -> Picture:
    """Exactly one of colour jitter, sharpness and gamma (EfficientAD with CDO, section 4.1.3).

    Colour jitter changes brightness, contrast and saturation in random order, each by a factor of its own.
    The section gives no ranges: `COLOUR_RANGE`, `SHARPNESS_RANGE` and `GAMMA_RANGE` are modest choices.
    """
    return _THESIS[random.integers(len(_THESIS))](image, random)


def efficientad_appearance(image: Picture, random: np.random.Generator) -> Picture:
    """Exactly one of brightness, contrast and saturation, by a factor from 0.8 to 1.2 (EfficientAD)."""
    adjust = _COLOURS[random.integers(len(_COLOURS))]
    return adjust(image, random.uniform(*COLOUR_RANGE))


def unchanged(image: Picture, random: np.random.Generator) -> Picture:
    """The picture itself."""
    del random
    return image


def brightness(image: Picture, factor: float) -> Picture:
    """The picture times `factor`, clipped to [0, 1]."""
    return _clipped(image * np.float32(factor))


def contrast(image: Picture, factor: float) -> Picture:
    """Away from (`factor` above 1) or towards the mean grey of the whole picture."""
    mean = float(_GREY[0] @ image.reshape(3, -1).mean(axis=1))  # (3, H, W) -> (3, H * W) -> (3,)
    return _blended(image, factor, np.float32(mean))


def saturation(image: Picture, factor: float) -> Picture:
    """Away from (`factor` above 1) or towards each pixel's own grey."""
    grey = (_GREY @ image.reshape(3, -1)).reshape(image.shape[1:])  # (3, H * W) -> (1, H * W) -> (H, W)
    return _blended(image, factor, grey)


def sharpness(image: Picture, factor: float) -> Picture:
    """Away from (`factor` above 1) or towards a 3 x 3 blur; the outermost pixels stay as they are."""
    if min(image.shape[1:]) < 3:
        return image.copy()
    sharp = image * np.float32(factor)
    for target, plane in zip(sharp, image, strict=True):
        sums = cv2.boxFilter(np.ascontiguousarray(plane), -1, (3, 3), normalize=False)
        blurred = np.asarray(sums, np.float32)
        blurred += 4 * plane  # the nine weights are 1, in the centre 5
        blurred *= np.float32((1 - factor) / 13)
        target[1:-1, 1:-1] += blurred[1:-1, 1:-1]
        for edge in (np.s_[0], np.s_[-1], np.s_[1:-1, 0], np.s_[1:-1, -1]):
            target[edge] = plane[edge]
    return _clipped(sharp)


def gamma(image: Picture, exponent: float) -> Picture:
    """The picture to the power of `exponent`: above 1 darkens, below 1 lightens the middle tones."""
    powered = np.empty(image.shape, np.float32)
    cv2.pow(np.ascontiguousarray(image).reshape(3, -1), exponent, powered.reshape(3, -1))  # (3, H * W)
    return _clipped(powered)


def _jitter(image: Picture, random: np.random.Generator) -> Picture:
    for index in random.permutation(len(_COLOURS)):
        image = _COLOURS[index](image, random.uniform(*COLOUR_RANGE))
    return image


def _sharpened(image: Picture, random: np.random.Generator) -> Picture:
    return sharpness(image, random.uniform(*SHARPNESS_RANGE))


def _gamma_corrected(image: Picture, random: np.random.Generator) -> Picture:
    return gamma(image, float(np.exp(random.uniform(*np.log(GAMMA_RANGE)))))


def _blended(image: Picture, factor: float, other: Picture | np.float32) -> Picture:
    """`factor` parts of the picture and 1 - `factor` parts of `other`, which may be grey (H, W)."""
    result = image * np.float32(factor)
    result += other * np.float32(1 - factor)  # in place: a second temporary costs more than the sum
    return _clipped(result)


def _clipped(image: Picture) -> Picture:
    return np.clip(image, 0.0, 1.0, out=image)


_COLOURS: tuple[Callable[[Picture, float], Picture], ...] = (brightness, contrast, saturation)
_THESIS: tuple[Appearance, ...] = (_jitter, _sharpened, _gamma_corrected)

APPEARANCES: Mapping[str, Appearance] = MappingProxyType(
    {"thesis": thesis_appearance, "efficientad": efficientad_appearance, "none": unchanged}
)
