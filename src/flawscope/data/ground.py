"""Where the product is on plain ground, told by intensity, and when such an answer is trusted."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.images import LUMA

CLEAR = 0.9  # share of the border on one side of the threshold from which that side is ground
SEPARATE = 0.7  # share of the variance that lies between the two sides; one bell curve reaches 0.64
TOLD = 0.9  # share of the pictures that must tell product from ground where the ground is called plain
FEWEST, MOST = 0.01, 0.97  # share of what is seen outside which a product is a mistake

_GREY = np.array([LUMA], np.float32) * 255  # intensity of R, G, B on a scale to 255
_FLAT = 8  # grey levels between the 1st and 99th percentile below which a picture shows no product
_BRUSH = 1 / 64  # of the shorter side: specks and holes below it are smoothed away


def foreground(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the product is, estimated from intensity, for a picture (3, H, W) in [0, 1]: (H, W).

    Otsu's threshold divides the pixels; the side that the picture's border is mostly on is background.
    Opening and closing with a disc then take specks and holes away. All True where there is nothing to tell
    apart: an even picture, one whose intensities do not fall into two groups, a border that both groups share
    (textures, products larger than the picture), or a foreground that is almost everything or nothing.
    """
    grey = cv2.transform(np.ascontiguousarray(image.transpose(1, 2, 0)), _GREY)  # (3, H, W) -> (H, W)
    grey = cv2.medianBlur(np.clip(grey + 0.5, 0, 255).astype(np.uint8), 5)
    everywhere = np.ones(grey.shape, np.bool_)
    low, high = np.percentile(grey[::2, ::2], (1, 99))
    if high - low < _FLAT:
        return everywhere
    _, bright = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)  # (H, W) of 0 and 1
    border = np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]]).mean()
    if max(border, 1 - border) < CLEAR or _separability(grey, bright) < SEPARATE:
        return everywhere
    product = 1 - bright if border > 0.5 else bright
    reach = max(round(min(grey.shape) * _BRUSH), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    product = cv2.morphologyEx(product, cv2.MORPH_CLOSE, disc)
    product = cv2.morphologyEx(product, cv2.MORPH_OPEN, disc).astype(np.bool_)
    return product if FEWEST <= product.mean() <= MOST else everywhere


def on_plain_ground(pictures: Iterable[NDArray[np.float32]]) -> bool:
    """Whether a product lies on plain ground, as pictures of it (3, H, W) in [0, 1] show.

    It does where `foreground` tells product from ground in nine of ten of them.
    """
    told = [not foreground(picture).all() for picture in pictures]
    return bool(told) and sum(told) >= TOLD * len(told)


def _separability(grey: NDArray[np.uint8], bright: NDArray[np.uint8]) -> float:
    """Variance between the two sides over the variance of all pixels, 0 to 1 (Otsu 1979, eta)."""
    share = float(bright.mean())
    difference = cv2.mean(grey, bright)[0] - cv2.mean(grey, 1 - bright)[0]
    deviation = float(cv2.meanStdDev(grey)[1][0, 0])
    return share * (1 - share) * difference**2 / deviation**2
