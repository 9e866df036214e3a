"""Object and ground, for single objects on plain ground: no labels, no downloads.

The ground is what the pictures' borders show: one Gaussian of their colours. Otsu's threshold (A Threshold
Selection Method from Gray-Level Histograms, 1979) on all pictures' distances tells object from ground.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from flawscope.data.ground import CLEAR, FEWEST, MOST, SEPARATE
from flawscope.data.pictures import Pictures
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch, batches
from flawscope.runtime.images import Frame
from flawscope.segmenters.segmenter import Segmenter, SegmenterOptions, spread

GROUND, OBJECT = 0, 1
_BATCH = 8
_LEVEL = 1 / 255  # noise that even an ideal 8-bit ground has
_NEAR = 3.0  # deviations up to which distances count about as they are, beyond by their logarithm
_FARTHEST = math.log1p(math.sqrt(3) / _LEVEL / _NEAR)  # of the largest possible distance
_BINS = 512
_KEPT = 0.75  # share of the border that is trusted to be ground while its colours are estimated
_ROUNDS = 5
_BORDER, _BRUSH = 1 / 32, 1 / 128  # of the shorter side: the border's width, and the largest speck


class ObjectGroundOptions(SegmenterOptions):
    """Options of `ObjectGround`."""

    kind: Literal["object"] = "object"


class ObjectGround(Segmenter):
    """Segment 0 is the ground, 1 the object.

    Where no ground can be told (textures, objects that fill the picture, several objects at the border), all
    is object, and the watch is told so.
    """

    Options: ClassVar = ObjectGroundOptions
    mean: Tensor
    whitening: Tensor
    limit: Tensor

    def __init__(self, options: ObjectGroundOptions, frame: Frame) -> None:
        super().__init__(options, frame)
        self.shares = torch.zeros(2)
        self.border = max(1, round(min(frame.height, frame.width) * _BORDER))
        self.reach = max(1, round(min(frame.height, frame.width) * _BRUSH))
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("whitening", torch.eye(3))  # (3, 3)
        self.register_buffer("limit", torch.tensor(-1.0))  # squared distance beyond which object begins

    @property
    def names(self) -> tuple[str, ...]:
        """See `Segmenter.names`."""
        return ("the background", "the object")

    def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
        """See `Segmenter.learn`: the ground's colours from the borders, the limit from all distances."""
        del parts
        device = run.torch_device()
        self.to(device)
        chosen = spread(pictures)
        border = self._border(chosen, run, watch)
        mean, covariance = _trusted(border.double())
        noise = _LEVEL**2 * torch.eye(3, dtype=torch.float64, device=device)
        factor = torch.linalg.cholesky(covariance + noise)
        self.whitening = torch.linalg.inv(factor).float()  # W: W^T W is the inverse of the covariance
        self.mean = mean.float().view(3, 1, 1)
        limit, reason = self._limit(self._histogram(chosen, run, watch), border)
        self.limit = torch.tensor(-1.0 if limit is None else limit, device=device)
        if limit is not None:
            self.shares = self.measure(pictures, run, watch, 2)
            if not FEWEST <= float(self.shares[OBJECT]) <= MOST:
                reason = f"the object would take {float(self.shares[OBJECT]):.1%} of the pictures"
        if reason is not None:
            self.limit = torch.tensor(-1.0, device=device)
            self.shares = torch.tensor([0.0, 1.0])
            watch.say(f"Object and ground cannot be told apart, {reason}: all counts as object.")

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """See `Segmenter.forward`."""
        del maps
        found = (self._squared(pixels) > self.limit).float().unsqueeze(1)  # (N, 1, H, W)
        closed = self._shrunk(self._grown(found))
        return self._grown(self._shrunk(closed)).squeeze(1).long()  # (N, H, W)

    def _squared(self, pixels: Tensor) -> Tensor:
        """Squared Mahalanobis distance from the ground's colours, slightly smoothed: (N, H, W)."""
        smooth = F.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
        return F.conv2d(smooth - self.mean, self.whitening.view(3, 3, 1, 1)).square().sum(1)

    def _grown(self, found: Tensor) -> Tensor:
        return F.max_pool2d(found, 2 * self.reach + 1, 1, self.reach)

    def _shrunk(self, found: Tensor) -> Tensor:
        return -self._grown(-found)

    def _border(self, pictures: Pictures, run: Run, watch: Watch) -> Tensor:
        """Smoothed colours of all border pixels, (P, 3)."""
        wide = self.border
        colours = []
        for pixels in batches(pictures, run, watch, "reading the border", _BATCH):
            smooth = F.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
            inner = smooth[:, :, wide:-wide]
            sides = (smooth[:, :, :wide], smooth[:, :, -wide:], inner[..., :wide], inner[..., -wide:])
            colours += [side.permute(0, 2, 3, 1).reshape(-1, 3) for side in sides]  # (n * h * w, 3)
        return torch.cat(colours)

    @torch.inference_mode()
    def _histogram(self, pictures: Pictures, run: Run, watch: Watch) -> Tensor:
        """How often each log(1 + distance / 3) occurs, (512,) float64."""
        total = torch.zeros(_BINS, dtype=torch.float64)
        for pixels in batches(pictures, run, watch, "telling object from ground", _BATCH):
            far = (self._squared(pixels).sqrt() / _NEAR).log1p()
            total += torch.histc(far.cpu(), _BINS, 0.0, _FARTHEST).double()
        return total

    def _limit(self, histogram: Tensor, border: Tensor) -> tuple[float | None, str | None]:
        """The squared distance that divides the two, or None and the reason why there is none."""
        cut, separate = _otsu(histogram)
        if separate < SEPARATE:
            return None, f"for colours do not fall into two groups ({separate:.0%} of their variance)"
        limit = (_NEAR * math.expm1(cut * _FARTHEST / _BINS)) ** 2
        whitened = (border - self.mean.view(3)) @ self.whitening.T  # (P, 3)
        clear = float((whitened.square().sum(1) <= limit).float().mean())
        if clear < CLEAR:
            return None, f"for only {clear:.0%} of the border is of one kind"
        return limit, None


def _trusted(colours: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3,) and covariance (3, 3) of colours (P, 3), of the three quarters that lie nearest together.

    Whatever of the object touches the border is so left out (concentration steps of the minimum covariance
    determinant, Rousseeuw and Van Driessen 1999, from the median).
    """
    count = max(1, int(_KEPT * len(colours)))
    unit = _LEVEL**2 * torch.eye(3, dtype=colours.dtype, device=colours.device)
    mean, inverse = colours.median(0).values, torch.linalg.inv(unit)
    covariance = unit
    for _ in range(_ROUNDS):
        apart = colours - mean
        distances = ((apart @ inverse) * apart).sum(1)
        near = colours[distances.argsort()[:count]]
        mean = near.mean(0)
        covariance = (near - mean).T @ (near - mean) / count
        inverse = torch.linalg.inv(covariance + unit)
    return mean, covariance


def _otsu(histogram: Tensor) -> tuple[int, float]:
    """The bin from which the upper class begins, and the share of the variance between the classes."""
    levels = torch.arange(len(histogram), dtype=torch.float64)
    weights = histogram / histogram.sum()
    below = weights.cumsum(0)
    mean_below = (weights * levels).cumsum(0)
    mean = mean_below[-1]
    variance = float((weights * (levels - mean).square()).sum())
    between = (mean * below - mean_below).square() / (below * (1 - below)).clamp_min(1e-12)
    best = int(between.argmax())
    return best + 1, float(between[best]) / variance if variance else 0.0
