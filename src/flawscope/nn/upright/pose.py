"""Where a part lies in a picture and how far it is turned, and pictures and maps turned by that.

This package's own. The part's centre is the centroid of what differs from the picture's border. Around it the
picture is read along circles, as P(α, r, c): angle, radius, colour. A part that is turned by θ shows
P(α, ·) = T(α - θ, ·), with T what good parts show, so that

    θ = argmax Σ_k Re(e^{ikθ} Σ_{r,c} P_k(r, c) · T_k*(r, c) · r / σ²_k(c)),

where k counts the frequencies around the circle, and σ² is how much good parts that are turned so differ at
them: the matched filter of a shift in coloured noise. All of it is tensor code in float32, and continuous but
where two angles are equally likely.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ANGLES, RADII, FREQUENCIES = 360, 40, 90
SLOPE = (
    0.7,
    3.0,
)  # at which share of the edge's difference a pixel begins to count, and how soon it does wholly
EARLIER = (0.5, 1.0)  # what models had before
COARSE = 128  # pixels that the shorter side of the picture is shrunk to, or a little more
_RING = 4  # pixels of the border, of the small picture, that show the ground
_NEAR = 90  # degrees to either side whose mean is what something stands out from
_FEW = 1e-6


class Upright(nn.Module):
    """Turns pictures of one size to how the part lies in one of them, and maps back.

    A pose (N, 4) holds cosine and sine of the angle by which the part is turned, and where the middle of the
    turned picture lies, right of and below the picture's, in pixels.

    Args:
        size: height and width of the pictures, in pixels.
        slope: how pixels come to count as the part's, see `SLOPE`.

    Attributes:
        edge: () how far from the ground the part's colours begin, in [0, 1].
        middle: (2,) of the turned picture, right of and below the part's centre in it, in pixels.
        white: (3, 3) makes colours around a circle equally spread.
        real, imaginary: (FREQUENCIES, RADII * 3) of the matched filter.
    """

    edge: Tensor
    middle: Tensor
    white: Tensor
    real: Tensor
    imaginary: Tensor
    around: Tensor
    pixels: Tensor
    waves: Tensor
    standing: Tensor

    def __init__(self, size: tuple[int, int], slope: tuple[float, float] = SLOPE) -> None:
        super().__init__()
        self.size, self.step, self.slope = size, max(1, min(size) // COARSE), slope
        angles = 2 * math.pi / ANGLES * torch.arange(ANGLES, dtype=torch.float64)
        radii = (torch.arange(RADII, dtype=torch.float64) + 0.5) / RADII * min(size) / 2
        around = torch.stack([torch.cos(angles), torch.sin(angles)], 1)[:, None] * radii[:, None]  # (A, R, 2)
        turns = angles[:, None] * torch.arange(1, FREQUENCIES + 1)  # (A, K)
        self.register_buffer("around", around.float(), persistent=False)
        self.register_buffer("waves", torch.stack([turns.cos(), turns.sin()]).float(), persistent=False)
        self.register_buffer("standing", stand_out(self.waves.mT).mT, persistent=False)
        self.register_buffer("pixels", _places(*size), persistent=False)
        self.register_buffer("edge", torch.ones(()))
        self.register_buffer("middle", torch.zeros(2))
        self.register_buffer("white", torch.eye(3))
        self.register_buffer("real", torch.zeros(FREQUENCIES, RADII * 3))
        self.register_buffer("imaginary", torch.zeros(FREQUENCIES, RADII * 3))

    def forward(self, pixels: Tensor) -> Tensor:
        """The pose (N, 4) of pixels (N, 3, H, W)."""
        return self.pose(self.shrunk(pixels))

    def pose(self, small: Tensor) -> Tensor:
        """The same of shrunk pixels (N, 3, h, w)."""
        centre = self.centre(small)
        turn = _direction(self.likelihood(self.spectrum(self.circles(small, centre))))
        cosine, sine = turn.unbind(1)
        x, y = self.middle
        return torch.cat([turn, centre + torch.stack([cosine * x - sine * y, sine * x + cosine * y], 1)], 1)

    def shrunk(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) at about `COARSE` pixels a side."""
        return F.avg_pool2d(pixels, self.step)

    def difference(self, small: Tensor) -> Tensor:
        """How far each pixel (N, 3, h, w) is from the border's mean colour: (N, h, w)."""
        smooth = F.avg_pool2d(small, 3, 1, 1, count_include_pad=False)
        return (smooth - self.ground(small)).abs().amax(1)

    def ground(self, small: Tensor) -> Tensor:
        """The border's mean colour (N, 3, 1, 1) in shrunk pixels (N, 3, h, w)."""
        smooth = F.avg_pool2d(small, 3, 1, 1, count_include_pad=False)
        sides = (
            smooth[:, :, :_RING].flatten(2),
            smooth[:, :, -_RING:].flatten(2),
            smooth[:, :, :, :_RING].flatten(2),
            smooth[:, :, :, -_RING:].flatten(2),
        )
        return torch.cat(sides, 2).mean(2)[:, :, None, None]

    def centre(self, small: Tensor) -> Tensor:
        """The part's centre (N, 2), right of and below the picture's, in pixels."""
        weight = self.weight(small)
        return weight @ self.places(small) / (weight.sum(1, keepdim=True) + _FEW)

    def weight(self, small: Tensor) -> Tensor:
        """How far each pixel (N, 3, h, w) is of the part, 0 to 1: (N, h * w)."""
        return self.of_part(self.difference(small)).flatten(1)

    def of_part(self, difference: Tensor) -> Tensor:
        """How far what differs so from the ground is of the part, 0 to 1."""
        begins, steep = self.slope
        return ((difference / self.edge - begins) * steep).clamp(0, 1)

    def places(self, small: Tensor) -> Tensor:
        """Where pixels (N, 3, h, w) lie in the picture, right of and below its middle: (h * w, 2)."""
        return _places(small.shape[2], small.shape[3]).to(small) * self.step - self._beyond(small)

    def _beyond(self, small: Tensor) -> Tensor:
        """How far the picture's middle lies right of and below that of what is shrunk (2,), in pixels."""
        rest = [side - self.step * cells for side, cells in zip(self.size, small.shape[2:], strict=True)]
        return torch.tensor(rest[::-1]).to(small) / 2

    def circles(self, small: Tensor, centre: Tensor) -> Tensor:
        """Circles around the centre in even colours: (N, ANGLES, RADII, 3)."""
        places = self.around + centre[:, None, None] + self._beyond(small)  # (N, A, R, 2)
        shrunk = self.step * small.shape[2], self.step * small.shape[3]
        return _sampled(small, places, shrunk).permute(0, 2, 3, 1) @ self.white

    def spectrum(self, circles: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part (N, FREQUENCIES, RADII * 3) of what stands out along `circles`."""
        circles = circles.flatten(2)  # (N, A, R * 3)
        return self.standing[0].T @ circles, -(self.standing[1].T @ circles)

    def likelihood(self, spectrum: tuple[Tensor, Tensor]) -> Tensor:
        """How well each angle fits, (N, ANGLES), up to a factor and what is the same for all."""
        real, imaginary = spectrum
        even = (real * self.real - imaginary * self.imaginary).sum(2)  # (N, K)
        odd = (real * self.imaginary + imaginary * self.real).sum(2)
        return even @ self.waves[0].T - odd @ self.waves[1].T

    def turned(self, pixels: Tensor, pose: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) turned to how the part of the filter lies; beyond the border, its colours.

        Where these are the part's, which the border cuts or touches, the ground's take their place.
        """
        places = self._lying(pose)
        sampled, ground = _sampled(pixels, places, self.size), self.ground(self.shrunk(pixels))
        halves = torch.tensor([self.size[1] / 2, self.size[0] / 2]).to(places)
        beyond = (places.abs() > halves).any(3).to(pixels)  # (N, H, W)
        part = beyond * self.of_part((sampled - ground).abs().amax(1))
        return sampled + part.unsqueeze(1) * (ground - sampled)

    def moved(self, values: Tensor, pose: Tensor) -> Tensor:
        """Values (N, C, H, W) of pixels, moved as `turned` moves those; beyond the border, its values."""
        return _sampled(values, self._lying(pose), self.size)

    def _lying(self, pose: Tensor) -> Tensor:
        """Where each pixel of the turned picture lies in the picture, (N, H, W, 2)."""
        cosine, sine, centre = pose[:, None, 0], pose[:, None, 1], pose[:, None, 2:]
        x, y = self.pixels.unbind(1)
        places = torch.stack([cosine * x - sine * y, sine * x + cosine * y], 2) + centre  # (N, H * W, 2)
        return places.reshape(-1, *self.size, 2)

    def back(self, maps: Tensor, pose: Tensor) -> Tensor:
        """Maps (N, h, w) of turned pictures over the pictures as they came; their least where none is."""
        height, width = maps.shape[1:]
        scale = torch.tensor([self.size[1] / width, self.size[0] / height]).to(maps)
        x, y = (_places(height, width).to(maps) * scale - pose[:, None, 2:]).unbind(2)  # (N, h * w) each
        cosine, sine = pose[:, None, 0], pose[:, None, 1]
        places = torch.stack([cosine * x + sine * y, cosine * y - sine * x], 2)  # (N, h * w, 2)
        least = maps.flatten(1).amin(1)[:, None, None]
        places = places.reshape(-1, height, width, 2)
        return _sampled((maps - least)[:, None], places, self.size, "zeros")[:, 0] + least


def stand_out(circles: Tensor) -> Tensor:
    """Values (M, C, ANGLES) less their mean over the near ones to either side."""
    ends = torch.cat([circles[:, :, -_NEAR:], circles, circles[:, :, :_NEAR]], 2)
    return circles - F.avg_pool1d(ends, 2 * _NEAR + 1, 1)


def _places(height: int, width: int) -> Tensor:
    """Right of and below the middle, of each pixel line by line: (height * width, 2)."""
    rows, columns = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), 2).flatten(0, 1).float()


def _sampled(values: Tensor, places: Tensor, size: tuple[int, int], beyond: str = "border") -> Tensor:
    """Values (N, C, h, w) at places (N, a, b, 2), which are pixels of a picture of `size`: (N, C, a, b)."""
    halves = torch.tensor([size[1] / 2, size[0] / 2]).to(places)
    return F.grid_sample(values, places / halves, mode="bilinear", padding_mode=beyond, align_corners=False)


def _direction(likelihood: Tensor) -> Tensor:
    """Cosine and sine (N, 2) of the likeliest angle, by the parabola through it and its neighbours."""
    best = likelihood.argmax(1, keepdim=True)  # (N, 1)
    before, at, after = (likelihood.gather(1, torch.remainder(best + step, ANGLES)) for step in (-1, 0, 1))
    bend = (2 * at - before - after).clamp_min(_FEW)
    angle = (best + ((after - before) / (2 * bend)).clamp(-0.5, 0.5)) * (2 * math.pi / ANGLES)
    return torch.cat([angle.cos(), angle.sin()], 1)
