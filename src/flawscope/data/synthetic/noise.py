"""Synthetic defects: square patches of Gaussian noise in good pictures, with their masks.

EfficientAD with collaborative discrepancy optimisation, section 4.1.3 (and 4.6, "several square regions"):
with probability 0.4 a picture receives 1 to 4 patches, each 1/40 to 1/10 of the picture long, on demand
only where the part is. Neither section says what the noise is drawn from.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.errors import OptionError

_GREY = np.array([[0.299, 0.587, 0.114]], np.float32) * 255  # intensity of R, G, B on a scale to 255
_FLAT = 8  # grey levels between the 1st and 99th percentile below which a picture shows no part
_CLEAR = 0.9  # share of the border on one side of the threshold from which that side is background
_SEPARATE = 0.7  # share of the variance that lies between the two sides; one bell curve reaches 0.64
_FEWEST, _MOST = 0.01, 0.97  # share of the picture outside which an estimated foreground is a mistake
_BRUSH = 1 / 64  # of the shorter side: specks and holes below it are smoothed away


@dataclass(frozen=True, slots=True)
class SyntheticDefects:
    """Noise patches put into pictures at random; one object serves any number of pictures.

    Attributes:
        probability: how often a picture receives any patch.
        patches: fewest and most patches of a picture that receives some; they may overlap.
        side: shortest and longest side of a square patch, as a share of the picture's shorter side.
        skip_background: centre patches on the estimated foreground (see `foreground`) only.
        noise_mean, noise_std: each channel of each pixel is drawn from this normal distribution and clipped
            to [0, 1]. The default is about that of natural pictures: zero mean and unit variance once the
            picture is normalised by ImageNet's statistics, as the teacher sees it.
        smallest: pixels below which no patch's side falls, so that a coarse map does not miss it.

    Raises:
        OptionError: a value out of range.
    """

    probability: float = 0.4
    patches: tuple[int, int] = (1, 4)
    side: tuple[float, float] = (1 / 40, 1 / 10)
    skip_background: bool = False
    noise_mean: float = 0.45
    noise_std: float = 0.225
    smallest: int = 1

    def __post_init__(self) -> None:
        _require(0 <= self.probability <= 1, "defect probability", "0 to 1", self.probability)
        _require(1 <= self.patches[0] <= self.patches[1], "patches", "1 or more, fewest first", self.patches)
        _require(0 < self.side[0] <= self.side[1] <= 1, "side", "shares of 1, shortest first", self.side)
        _require(0 <= self.noise_mean <= 1, "noise mean", "0 to 1", self.noise_mean)
        _require(self.smallest >= 1, "smallest side", "1 pixel or more", self.smallest)
        _require(0 < self.noise_std <= 1, "noise std", "above 0, to 1", self.noise_std)

    def __call__(
        self,
        image: NDArray[np.float32],
        random: np.random.Generator,
        *,
        where: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The picture with its defects, and where they are.

        Args:
            image: (3, H, W) in [0, 1]; never changed.
            random: source of all randomness.
            where: (H, W), where patches may be centred, in place of the estimate that `skip_background`
                asks for: computed once for a picture that is used many times. Where nothing is True, patches
                lie anywhere.

        Returns:
            (3, H, W) in [0, 1], the same object where there is no defect, and (H, W), True in the patches.
        """
        height, width = image.shape[1:]
        mask = np.zeros((height, width), np.bool_)
        if random.random() >= self.probability:
            return image, mask
        if where is None and self.skip_background:
            where = foreground(image)
        allowed = np.empty(0, np.intp) if where is None else np.flatnonzero(where)
        changed = image.copy()
        for _ in range(random.integers(*self.patches, endpoint=True)):
            side = round(random.uniform(*self.side) * min(height, width))
            side = min(max(side, self.smallest), height, width)
            top, left = _place(height, width, side, allowed, random)
            patch = np.s_[top : top + side, left : left + side]
            noise = random.standard_normal((3, side, side), np.float32) * np.float32(self.noise_std)
            changed[:, *patch] = np.clip(noise + np.float32(self.noise_mean), 0.0, 1.0)
            mask[patch] = True
        return changed, mask


def foreground(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the part is, estimated from intensity, for a picture (3, H, W) in [0, 1]: (H, W).

    Otsu's threshold divides the pixels; the side that the picture's border is mostly on is background.
    Opening and closing with a disc then take specks and holes away. All True where there is nothing to tell
    apart: an even picture, one whose intensities do not fall into two groups, a border that both groups share
    (textures, parts larger than the picture), or a foreground that is almost everything or nothing.
    """
    grey = cv2.transform(np.ascontiguousarray(image.transpose(1, 2, 0)), _GREY)  # (3, H, W) -> (H, W)
    grey = cv2.medianBlur(np.clip(grey + 0.5, 0, 255).astype(np.uint8), 5)
    everywhere = np.ones(grey.shape, np.bool_)
    low, high = np.percentile(grey[::2, ::2], (1, 99))
    if high - low < _FLAT:
        return everywhere
    _, bright = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)  # (H, W) of 0 and 1
    border = np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]]).mean()
    if max(border, 1 - border) < _CLEAR or _separability(grey, bright) < _SEPARATE:
        return everywhere
    product = 1 - bright if border > 0.5 else bright
    reach = max(round(min(grey.shape) * _BRUSH), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    product = cv2.morphologyEx(product, cv2.MORPH_CLOSE, disc)
    product = cv2.morphologyEx(product, cv2.MORPH_OPEN, disc).astype(np.bool_)
    return product if _FEWEST <= product.mean() <= _MOST else everywhere


def _separability(grey: NDArray[np.uint8], bright: NDArray[np.uint8]) -> float:
    """Variance between the two sides over the variance of all pixels, 0 to 1 (Otsu 1979, eta)."""
    share = float(bright.mean())
    difference = cv2.mean(grey, bright)[0] - cv2.mean(grey, 1 - bright)[0]
    deviation = float(cv2.meanStdDev(grey)[1][0, 0])
    return share * (1 - share) * difference**2 / deviation**2


def _place(
    height: int, width: int, side: int, allowed: NDArray[np.intp], random: np.random.Generator
) -> tuple[int, int]:
    """Top and left of a patch that lies wholly in the picture; `allowed` are flat indices of centres."""
    if not len(allowed):
        return int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
    row, column = divmod(int(allowed[random.integers(len(allowed))]), width)
    return min(max(row - side // 2, 0), height - side), min(max(column - side // 2, 0), width - side)


def _require(fits: bool, name: str, expected: str, got: object) -> None:
    if not fits:
        raise OptionError(name, expected=expected, got=repr(got), fix="Leave it out for the paper's value.")
