"""Synthetic defects: square patches of Gaussian noise in good pictures, with their masks.

EfficientAD with collaborative discrepancy optimisation, section 4.1.3 (and 4.6, "several square regions"):
with probability 0.4 a picture receives 1 to 4 patches, each 1/40 to 1/10 of the picture long, on demand
only where the part is. Neither section says what the noise is drawn from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flawscope.data.ground import foreground
from flawscope.errors import OptionError


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

    def longest(self, height: int, width: int) -> tuple[int, int]:
        """Most rows and columns of one patch in a picture of that size."""
        side = min(max(round(self.side[1] * min(height, width)), self.smallest), height, width)
        return side, side


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
