"""Synthetic defects: patches of Gaussian noise in good pictures, with their masks.

EfficientAD with collaborative discrepancy optimisation, section 4.1.3 (and 4.6, "several square regions"):
with probability 0.4 a picture receives 1 to 4 patches, each 1/40 to 1/10 of the picture long, on demand
only where the part is. Neither section says what the noise is drawn from. The published code of CDO (Cao et
al., IEEE Transactions on Industrial Informatics 2023) draws the two halves of a patch's sides apart, each
1/40 to 1/10 of the picture, and uniform noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from flawscope.data.ground import foreground
from flawscope.errors import OptionError, unknown


def _require(fits: bool, name: str, expected: str, got: object) -> None:
    if not fits:
        raise OptionError(name, expected=expected, got=repr(got), fix="Leave it out for the paper's value.")


@dataclass(frozen=True, slots=True)
class Sides:
    """How long patches are.

    Attributes:
        shares: shortest and longest side as a share of the picture.
        square: squares, of shares of the picture's shorter side; otherwise rectangles, whose sides are drawn
            apart, each of the picture's side along it.

    Raises:
        OptionError: a share out of range.
    """

    shares: tuple[float, float] = (1 / 40, 1 / 10)
    square: bool = True

    def __post_init__(self) -> None:
        low, high = self.shares
        _require(0 < low <= high <= 1, "side", "shares of 1, shortest first", self.shares)

    def draw(self, size: tuple[int, int], smallest: int, random: np.random.Generator) -> tuple[int, int]:
        """Height and width of one patch in a picture of that size."""
        drawn = [random.uniform(*self.shares) for _ in range(1 if self.square else 2)]
        return self._pixels((drawn[0], drawn[-1]), size, smallest)

    def longest(self, size: tuple[int, int], smallest: int) -> tuple[int, int]:
        """Most rows and columns of a patch."""
        return self._pixels((self.shares[1], self.shares[1]), size, smallest)

    def _pixels(self, shares: tuple[float, float], size: tuple[int, int], smallest: int) -> tuple[int, int]:
        whole = (min(size), min(size)) if self.square else size
        wanted = [max(round(share * length), smallest) for share, length in zip(shares, whole, strict=True)]
        return min(wanted[0], size[0]), min(wanted[1], size[1])


SIDES: Mapping[str, Sides] = MappingProxyType(
    {"thesis": Sides(), "cdo": Sides(shares=(1 / 20, 1 / 5), square=False)}
)


def sides_named(name: str) -> Sides:
    """Sides of that name, one of `SIDES`: the thesis's squares, or CDO's rectangles of twice the length.

    Raises:
        OptionError: an unknown name.
    """
    if name not in SIDES:
        raise unknown("sides of defects", name, SIDES)
    return SIDES[name]


@dataclass(frozen=True, slots=True)
class SyntheticDefects:
    """Noise patches put into pictures at random; one object serves any number of pictures.

    Attributes:
        probability: how often a picture receives any patch.
        patches: fewest and most patches of a picture that receives some; they may overlap.
        sides: how long they are.
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
    sides: Sides = SIDES["thesis"]
    skip_background: bool = False
    noise_mean: float = 0.45
    noise_std: float = 0.225
    smallest: int = 1

    def __post_init__(self) -> None:
        _require(0 <= self.probability <= 1, "defect probability", "0 to 1", self.probability)
        _require(1 <= self.patches[0] <= self.patches[1], "patches", "1 or more, fewest first", self.patches)
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
            rows, columns = self.sides.draw((height, width), self.smallest, random)
            top, left = _place((height, width), (rows, columns), allowed, random)
            patch = np.s_[top : top + rows, left : left + columns]
            noise = random.standard_normal((3, rows, columns), np.float32) * np.float32(self.noise_std)
            changed[:, *patch] = np.clip(noise + np.float32(self.noise_mean), 0.0, 1.0)
            mask[patch] = True
        return changed, mask


def _place(
    size: tuple[int, int], patch: tuple[int, int], allowed: NDArray[np.intp], random: np.random.Generator
) -> tuple[int, int]:
    """Top and left of a patch that lies wholly in the picture; `allowed` are flat indices of centres."""
    room = size[0] - patch[0], size[1] - patch[1]
    if not len(allowed):
        return int(random.integers(room[0] + 1)), int(random.integers(room[1] + 1))
    row, column = divmod(int(allowed[random.integers(len(allowed))]), size[1])
    return min(max(row - patch[0] // 2, 0), room[0]), min(max(column - patch[1] // 2, 0), room[1])
