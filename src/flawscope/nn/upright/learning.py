"""What good parts show around their centre, learnt from good pictures in which they lie at any angle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.nn.run import Run
from flawscope.nn.upright.halves import half_turned
from flawscope.nn.upright.pose import ANGLES, FREQUENCIES, RADII, Upright, stand_out
from flawscope.nn.watch import Watch, batches

FEWEST = 20  # parts of which it can be told how they lie
_MOST = 100  # good pictures that are looked at
_STARTS, _EQUAL = 3, 2  # first pictures, and numbers of equal parts, that are tried
_ROUNDS, _UNEVEN = 10, 6  # in all, and those in which some frequencies alone count
_TOGETHER, _ALIKE, _GAIN, _LOST = 0.9, 0.5, 0.2, 0.01  # bounds of `Turning.tells`
_RARE = 1e-3  # share of the parts' pixels on each side that does not decide where their middle is
_FLOOR, _NOISE = 1 / 255, 0.05  # spread of colours, and of what stands out, that every part is taken to have
_EVERY = 37  # of colours that their spread is taken of
_SOLID = 1.25  # of the edge's difference from the ground, beyond which a pixel is of no shadow
_OPPONENT = ((1 / 3, 1.0, 0.5), (1 / 3, -1.0, 0.5), (1 / 3, 0.0, -1.0))  # light, red-green, yellow-blue
_TURN = 15  # degrees between the ways that parts are tried to lie
_BATCH = 8
_DRAWN = 0x0B19


@dataclass(frozen=True, slots=True)
class Turning:
    """What good pictures tell about how parts lie.

    Attributes:
        together: 1 where all lie alike, 0 where all angles are as frequent.
        alike: mean correlation of a part with what the others show, all turned to lie alike.
        unturned: the same of parts as they lie.
        lost: share of the parts that turned pictures do not show.
    """

    together: float
    alike: float
    unturned: float
    lost: float

    @property
    def tells(self) -> bool:
        """Whether parts lie at any angle, are alike once they are turned, and fit into the picture then.

        Of five products of that kind the least alike have 0.60, and as much beyond what they have as they
        lie; one had 0.33 beyond it by what was compared before. Of eleven others none gains more than 0.10.
        """
        alike = self.alike >= max(_ALIKE, self.unturned + _GAIN)
        return self.together <= _TOGETHER and alike and self.lost <= _LOST


def lie_anywhere(pictures: Pictures, run: Run, watch: Watch) -> bool:
    """Whether good pictures show parts at any angle that are alike once they are turned (`Turning.tells`)."""
    upright = Upright((pictures.frame.height, pictures.frame.width))
    return learn_upright(upright, pictures, run, watch).tells


def learn_upright(upright: Upright, pictures: Pictures, run: Run, watch: Watch) -> Turning:
    """Fill a new `upright` from good pictures, and tell how parts lie in them.

    From a picture the filter is made that finds it, all are turned by it, and then by what they show
    together, time and again (expectation and maximisation, with the likeliest angle alone). Several pictures
    begin, with all frequencies or with those that tell between equal parts (`_uneven`); what leaves the least
    spread is kept. Where hues tell which way round parts lie, and all are more alike then, that is taken.
    """
    drawn = torch.randperm(len(pictures), generator=run.generator(_DRAWN))[:_MOST].sort().values
    chosen = pictures.subset(drawn.tolist())
    seen = batches(chosen, run, watch, "looking how parts lie", _BATCH)
    small = torch.cat([upright.shrunk(pixels).cpu() for pixels in seen])  # (n, 3, h, w)
    device = upright.edge.device
    upright.cpu()
    upright.edge = _edge(upright.difference(small))
    circles = upright.circles(small, upright.centre(small))  # (n, A, R, 3)
    upright.white = _whitening(circles)
    shown = torch.complex(*upright.spectrum(circles @ upright.white))  # (n, K, R * 3)
    masks, starts = _uneven(shown), np.linspace(0, len(shown) - 1, _STARTS).round().astype(int)
    still = torch.zeros(len(shown), dtype=torch.int64)
    begun = [_Aligned(still, shown[index], _spread(shown)) for index in starts]
    found = [_aligned(upright, shown, one, used) for used in masks for one in begun]
    best = min(found, key=lambda one: one.left)
    other = _template(shown, half_turned(circles, best.angles))
    best = max((best, other), key=lambda one: _likeness(_turned(shown, one.angles)))
    _fill(upright, _certain(best, len(shown), hues=best is other), best.spread)
    best = _template(shown, upright.likelihood((shown.real, shown.imag)).argmax(1))
    turning = best.turning(shown, _framed(upright, small))
    upright.to(device)
    return turning


@dataclass(frozen=True, slots=True, eq=False)
class _Aligned:
    """Angles (n,) in steps by which parts are turned, what they show then, and by how much they differ.

    `template` and `spread` are (K, R * 3).
    """

    angles: Tensor
    template: Tensor
    spread: Tensor

    @property
    def left(self) -> float:
        return float(self.spread.log().sum())

    def turning(self, shown: Tensor, lost: float) -> Turning:
        direction = torch.polar(torch.ones(len(shown)), 2 * math.pi / ANGLES * self.angles.float())
        alike = _likeness(_turned(shown, self.angles))
        return Turning(float(direction.mean().abs()), alike, _likeness(shown), lost)


def _aligned(upright: Upright, shown: Tensor, found: _Aligned, used: Tensor | None = None) -> _Aligned:
    """All of the spectra (n, K, R * 3) turned to lie as a template; only `used` (K,) counts at first."""
    for number in range(_ROUNDS):
        _fill(upright, found.template, found.spread, used if number < _UNEVEN else None)
        found = _template(shown, upright.likelihood((shown.real, shown.imag)).argmax(1))
    return found


def _template(shown: Tensor, angles: Tensor) -> _Aligned:
    """What the spectra (n, K, R * 3) show together, turned by angles (n,) in steps."""
    turned = _turned(shown, angles)
    template = turned.mean(0)
    return _Aligned(angles, template, _spread(turned - template))


def _certain(found: _Aligned, count: int, *, hues: bool) -> Tensor:
    """The template (K, R * 3) of so many parts, each frequency and colour shrunk by what chance gives of it.

    That is the spread's share 1 / count of its mean square around the circles. Where `hues` tell which way
    round parts lie, light, whose shadows lie otherwise with each turn, tells nothing of it.
    """
    template, spread = (one.reshape(-1, RADII, 3) for one in (found.template, found.spread))
    power = template.abs().square().mean(1, keepdim=True).clamp_min(_FLOOR**2)  # (K, 1, 3)
    kept = template * (1 - spread[:, :1] / count / power).clamp_min(0)
    if hues:
        kept[0::2, :, 0] = 0  # odd frequencies, from 1 on
    return kept.flatten(1)


def _fill(upright: Upright, template: Tensor, spread: Tensor, used: Tensor | None = None) -> None:
    """The matched filter of what parts show and differ by, (K, R * 3) each; `used` (K,) tells what counts."""
    radii = (torch.arange(RADII) + 1).repeat_interleave(3)  # (R * 3,)
    filtered = template.conj() * radii / spread
    if used is not None:
        filtered = filtered * used[:, None]
    length = filtered.abs().square().sum().sqrt().clamp_min(_FLOOR)
    upright.real, upright.imaginary = (filtered.real / length).float(), (filtered.imag / length).float()


def _framed(upright: Upright, small: Tensor) -> float:
    """Have turned pictures show the parts of shrunk ones (n, 3, h, w) whole, or as far as they can.

    They may all be turned by one more angle, and moved: to where the box around them is smallest, so that
    what is long lies along rows or columns of cells. What is lost of the parts then is told.
    """
    pose = upright.pose(small)
    x, y = (upright.places(small) - pose[:, None, 2:]).unbind(2)  # (n, h * w) each
    cosine, sine = pose[:, None, 0], pose[:, None, 1]
    lying = torch.stack([cosine * x + sine * y, cosine * y - sine * x])  # (2, n, h * w)
    solid = upright.difference(small) > _SOLID * upright.edge  # (n, h, w)
    weight = solid.flatten()[::_EVERY].float()  # (m,)
    boxes = [_box(lying.flatten(1)[:, ::_EVERY], weight, turn, upright.size) for turn in range(0, 180, _TURN)]
    lost, _, turn, middle = min(boxes, key=lambda box: box[:2])
    angle = math.radians(turn) * torch.arange(1, FREQUENCIES + 1)[:, None]
    turned = torch.complex(upright.real, upright.imaginary) * torch.polar(torch.ones_like(angle), angle)
    upright.real, upright.imaginary, upright.middle = turned.real, turned.imag, torch.tensor(middle)
    return lost


def _box(
    places: Tensor, weight: Tensor, turn: int, size: tuple[int, int]
) -> tuple[float, float, int, list[float]]:
    """Where parts lie that are turned by some degrees more, of places (2, m) and what they weigh (m,).

    Returns:
        the share of them that is beyond a picture of `size` around their middle, in percents; the area of
        the box around them, in twentieths of the picture's; the degrees; and their middle.
    """
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    sides, area, middle, inside = (size[1], size[0]), 1.0, list[float](), torch.ones_like(weight)
    for values, side in zip(
        (cosine * places[0] - sine * places[1], sine * places[0] + cosine * places[1]), sides, strict=True
    ):
        order = values.argsort()
        below = weight[order].cumsum(0) / weight.sum().clamp_min(_FLOOR)
        ends = torch.searchsorted(below, torch.tensor([_RARE, 1 - _RARE])).clamp_max(len(order) - 1)
        low, high = values[order[ends]].tolist()
        middle.append((low + high) / 2)
        area *= (high - low) / side
        inside = inside * ((values - middle[-1]).abs() <= side / 2)
    lost = 1 - float((weight * inside).sum() / weight.sum().clamp_min(_FLOOR))
    return round(lost, 2), round(20 * area) / 20, turn, middle


def _uneven(shown: Tensor) -> list[Tensor]:
    """Which frequencies (K,) count at first: all, or those that neither light nor equal parts decide.

    Equal parts around the centre, such as blades, show at multiples of their number; light from a side at the
    lowest frequencies, and beside those multiples.
    """
    power = shown.abs().square().mean((0, 2)).add(_NOISE).log()  # (K,)
    found = []
    for equal in range(4, FREQUENCIES // 3 + 1):
        away = _away(equal)
        own, between = (power[away == distance][:4] for distance in (0, equal // 2))
        least = min(len(own), len(between))
        found.append((float((own[:least] - between[:least]).mean()), equal))
    best = [equal for _, equal in sorted(found, reverse=True)[:_EQUAL]]
    return [torch.ones(FREQUENCIES), *((_away(equal) > (2 if equal > 5 else 1)).float() for equal in best)]


def _away(equal: int) -> Tensor:
    """How far each frequency (K,) is from a multiple of `equal`."""
    over = torch.arange(1, FREQUENCIES + 1) % equal
    return torch.minimum(over, equal - over)


def _edge(difference: Tensor) -> Tensor:
    """Otsu's threshold of differences (n, h, w) in [0, 1] from the ground, mean over the pictures."""
    found = [
        cv2.threshold(picture, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0]
        for picture in (difference.clamp(0, 1) * 255).byte().numpy()
    ]
    return torch.tensor(max(1.0, float(np.mean(found))) / 255)


def _whitening(circles: Tensor) -> Tensor:
    """(3, 3): light and two hues, each divided by its usual spread, to which rare ones add little."""
    axes = torch.tensor(_OPPONENT)
    high = stand_out((circles @ axes).permute(0, 3, 2, 1).flatten(1, 2))  # (n, 3 * R, A)
    colours = high.reshape(-1, 3, RADII, ANGLES).transpose(0, 1).flatten(1)  # (3, m)
    white: Tensor = axes / (1.4826 * colours[:, ::_EVERY].abs().median(1).values + _FLOOR)
    return white


def _spread(shown: Tensor) -> Tensor:
    """Mean squares of spectra (n, K, R * 3) by frequency and colour, (K, R * 3), alike for all radii."""
    squares = shown.abs().square().mean(0).reshape(-1, RADII, 3)  # (K, R, 3)
    spread: Tensor = squares.mean(1, keepdim=True) + _NOISE
    return spread.expand(-1, RADII, -1).flatten(1)


def _turned(shown: Tensor, angles: Tensor) -> Tensor:
    """Spectra (n, K, R * 3) turned back by angles (n,) in steps."""
    turns = 2 * math.pi / ANGLES * angles[:, None] * torch.arange(1, FREQUENCIES + 1)  # (n, K)
    return shown * torch.polar(torch.ones_like(turns), turns)[:, :, None]


def _likeness(shown: Tensor) -> float:
    """Mean correlation of each of the spectra (n, K, R * 3) with the mean of the others."""
    others = (shown.sum(0) - shown) / (len(shown) - 1)
    both = (shown * others.conj()).real.sum((1, 2))
    lengths = shown.abs().square().sum((1, 2)).sqrt() * others.abs().square().sum((1, 2)).sqrt()
    return float((both / lengths.clamp_min(_FLOOR)).mean())
