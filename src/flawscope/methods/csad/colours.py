"""Colours: whether a component's are those of good ones of its class, which cracks and rust change.

Not in the paper. A patch of a loose part is like few others, for how it lies, what light falls on it and what
covers it differ from picture to picture. Here a component is read in rings around its middle. Of each ring
mean, deviation and roughness count, or its colours sorted, so that it does not matter which way round the
component lies. There is no map: where on a component the flaw lies is not known, and a long wire that is lit
as a whole would hide it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from flawscope.data.samples import spread
from flawscope.methods.csad.figures import MOST, Figures
from flawscope.methods.csad.fused import ENOUGH, USUAL
from flawscope.methods.csad.gaussian import Gaussian, GaussianOptions
from flawscope.methods.csad.rings import SAID, Rings
from flawscope.nn.moments import Levels
from flawscope.runtime.frozen import Frozen

FEWEST = 20  # good components of a class
TOLD = 3  # components of a picture, of which findings can speak
NAMES = tuple(f"{index}/{name}" for index in range(TOLD) for name in ("distance", *SAID))
_SPARE = 4  # components more than a quarter more than good pictures have
_BESIDE = -8.0  # level of what is not judged, lower than that of any good component


class ColoursOptions(Frozen):
    """Options of `Colours`."""

    rings: int = Field(8, ge=1, le=32, description="rings of equal width in which a component is read")
    ranks: Literal[2, 4, 6, 8, 12, 16, 24] | None = Field(
        None,
        description="means over a ring's 48 places, sorted from the darkest to the lightest, that describe "
        "it; null: mean, deviation and roughness of red, green, blue and of what tells hues do",
    )
    reach: float = Field(
        2.2,
        gt=0,
        description="outermost radius, in standard deviations of the component along its length: a disc ends "
        "at 2, a bar at 1.7",
    )
    floor: float = Field(
        0.002,
        gt=0,
        description="standard deviation that is added to each entry, a logarithm of light: 0.2 %. More of it "
        "hides in what few ways good components differ",
    )
    least: float = Field(
        0.5,
        ge=0,
        description="standard deviation that is added to that of the distances of each class before the "
        "classes are brought to one scale",
    )
    components: int = Field(
        2500, ge=FEWEST, description="most components of a class that are learnt from, and kept for `update`"
    )


@dataclass(frozen=True, slots=True)
class JudgedColours:
    """What `Colours` says of N pictures.

    Attributes:
        scores: (N,) the largest level of a component.
        order: (N, T) which components are the most unusual.
        told: (N, T · E) `NAMES` of these: the distance, then light, red, blue and contrast in units of good
            ones'; 0 where there are fewer.
        low: (N, T · E) from where, and
        high: (N, T · E) to where these lie in good pictures; of the distance, the largest of each picture.
    """

    scores: Tensor
    order: Tensor
    told: Tensor
    low: Tensor
    high: Tensor


class Colours(nn.Module):
    """Distance of each component's colours to those of good ones of its class; the largest counts.

    Of each class the largest distance in a picture is brought to the scale of good pictures, so that a class
    of which there are many, or whose components differ by nature, is no more often the largest.

    Args:
        classes: K, beside the background 0.
        options: see there.

    Attributes:
        known: (K,) 1 for classes of which good pictures show at least 20 components.
        usual: (2, K) from where to where the largest distances of 90 % of the good pictures lie.
        ranges: (2, K, E - 1) from where to where light, red, blue and contrast of 90 % of the components do.
        slots: (m,) as many as components are looked at, the largest, so that no time goes into those that
            good pictures do not have; the values mean nothing.
        seen, held_out: (r, 2 + D) what `learn` was given; `teach` goes on from there.
    """

    known: Tensor
    usual: Tensor
    ranges: Tensor
    slots: Tensor
    seen: Tensor
    held_out: Tensor

    def __init__(self, classes: int, options: ColoursOptions) -> None:
        super().__init__()
        self.options = options
        self.rings = Rings(options.rings, options.ranks, options.reach)
        self.size = self.rings.size
        plain = GaussianOptions(shrinkage=True)
        self.gaussians = nn.ModuleList(Gaussian(self.size, plain, options.floor) for _ in range(classes))
        self.levels = Levels(classes, "moments", least=options.least)
        self.register_buffer("known", torch.zeros(classes))
        self.register_buffer("usual", torch.zeros(2, classes))
        self.register_buffer("ranges", torch.zeros(2, classes, len(SAID)))
        self.register_buffer("slots", torch.zeros(MOST))
        for name in ("seen", "held_out"):
            self.register_buffer(name, torch.zeros(0, 2 + self.size))

    def described(self, pixels: Tensor, figures: Figures, most: int = MOST) -> Tensor:
        """What logarithms of light are on the rings of the largest components of pictures (N, 3, H, W).

        Returns:
            (N, M, D), or (N, most, D) where there may be more.
        """
        described: Tensor = self.rings(pixels, figures, most)
        return described

    @torch.no_grad()
    def learn(self, good: Tensor, held_out: Tensor | None = None, most: int = MOST) -> None:
        """Learn what components look like.

        Args:
            good: (r, 2 + D) of each judged component of good pictures: picture, class, vector (`rows_of`).
            held_out: the same of good pictures that nothing has learnt from, for the scale. Where a class
                shows in fewer than 20 of these, the others count, too, each component against all others.
            most: components of a good picture, from the largest to the last that can be judged.
        """
        good = torch.cat([_fewer(own, self.options.components) for own in self._by_class(good)])
        shown = good[:0] if held_out is None else held_out
        left_out, apart = torch.zeros(len(good)), torch.zeros(len(shown))
        for index, gaussian in enumerate(self._gaussians()):
            mine, others = good[:, 1] == index + 1, shown[:, 1] == index + 1
            self.known[index] = float(mine.sum() >= FEWEST)
            if self.known[index]:
                left_out[mine] = gaussian.learn(good[mine, 2:])
                apart[others] = gaussian(shown[others, 2:].to(gaussian.mean)).to(apart)
                self.ranges[:, index] = self.rings.said(good[mine, 2:].to(gaussian.mean)).quantile(
                    self._ends, 0
                )
        self._level(self._peaks(good, left_out), self._peaks(shown, apart))
        self.seen, self.held_out = good.to(self.seen), shown.to(self.seen)
        self.slots = self.slots.new_zeros(min(MOST, most + most // 4 + _SPARE))

    def teach(self, good: Tensor, held_out: Tensor | None = None, most: int = 0) -> None:
        """Learn anew from the components of before and those of further good pictures, as of one lot.

        Those of before make room where there are too many. For `held_out` see `learn`; None: those of before.
        Where more components are looked at already than for `most`, as many still are.
        """
        slots = self.slots
        seen, good = self.seen.cpu(), good.float().clone()
        good[:, 0] += seen[:, 0].max() + 1 if len(seen) else 0
        kept = list[Tensor]()
        for old, new in zip(self._by_class(seen), self._by_class(good), strict=True):
            kept += [_fewer(old, self.options.components - len(new), FEWEST - len(new)), new]
        self.learn(torch.cat(kept), self.held_out.cpu() if held_out is None else held_out, most)
        self.slots = max(slots, self.slots, key=len)

    def forward(self, pixels: Tensor, figures: Figures, judged: Tensor) -> JudgedColours:
        """Judge components of pictures (N, 3, H, W); exports to ONNX.

        Args:
            pixels: in [0, 1].
            figures: of their components.
            judged: (N, M) from 0 to 1, how far each is one that can be judged.
        """
        most = len(self.slots)
        vectors, places = self.described(pixels, figures, most), figures.kinds[:, :most] - 1
        each = torch.stack([one(vectors.flatten(0, 1)) for one in self._gaussians()], 1)  # (N * M, K)
        distances = each.gather(1, places.reshape(-1, 1)).reshape(places.shape)
        levels = (distances - self.levels.zero[places]) * self.levels.gain[places]
        weights = judged[:, :most] * self.known[places]
        levels = levels * weights + _BESIDE * (1 - weights)
        order = levels.topk(TOLD, 1).indices  # (N, T)
        return JudgedColours(
            levels.amax(1),
            order,
            *self._told(vectors, distances * (weights > 0), places, order),
        )

    def _told(self, vectors: Tensor, distances: Tensor, places: Tensor, order: Tensor) -> Iterator[Tensor]:
        """`told`, `low`, `high` of `JudgedColours`."""
        own = vectors.gather(1, order.unsqueeze(2).expand(-1, -1, vectors.shape[2]))  # (N, T, D)
        away, kinds = distances.gather(1, order), places.gather(1, order)  # (N, T) each
        means = torch.cat([one.mean for one in self._gaussians()])  # (K, D)
        usual = self.rings.said(means)[kinds]  # (N, T, 4)
        found = [(away, self.rings.said(own))]
        found += [(peak[kinds], ends[kinds]) for peak, ends in zip(self.usual, self.ranges, strict=True)]
        for first, rest in found:
            row = torch.cat([first.unsqueeze(2), torch.exp(rest - usual)], 2)  # (N, T, 5)
            yield (row * (away > 0).unsqueeze(2)).flatten(1)

    def _level(self, good: Tensor, held_out: Tensor) -> None:
        """Bring the classes to one scale by their largest distances in pictures, (n, K) and (m, K)."""
        signals = list[Tensor]()
        for mine, others in zip(good.unbind(1), held_out.unbind(1), strict=True):
            signal = others[others > 0]
            if len(signal) < ENOUGH:
                signal = torch.cat([mine[mine > 0], signal])
            signals.append(signal if len(signal) else torch.zeros(2))
        self.levels.learn(signals)
        ends = [signal.quantile(self._ends.to(signal)) for signal in signals]
        self.usual = torch.stack(ends, 1).to(self.usual)

    def _peaks(self, rows: Tensor, distances: Tensor) -> Tensor:
        """The largest distance of each class (n, K) in each picture, 0 for none, of components (r,)."""
        pictures = rows[:, 0].long()
        peaks = torch.zeros(int(pictures.max()) + 1 if len(rows) else 0, len(self.known))
        where = pictures * len(self.known) + rows[:, 1].long() - 1
        peaks.view(-1).scatter_reduce_(0, where, distances, "amax")
        return peaks[torch.from_numpy(np.unique(pictures.numpy()))]

    @property
    def _ends(self) -> Tensor:
        return torch.tensor(USUAL).to(self.usual)

    def _by_class(self, rows: Tensor) -> list[Tensor]:
        """The rows (r, 2 + D) of each class."""
        return [rows[rows[:, 1] == index + 1] for index in range(len(self.known))]

    def _gaussians(self) -> list[Gaussian]:
        return [one for one in self.gaussians if isinstance(one, Gaussian)]


def rows_of(vectors: Tensor, kinds: Tensor, judged: Tensor) -> Tensor:
    """Rows (r, 2 + D) of `Colours.learn` for vectors (n, M, D) of components, classes and weights (n, M)."""
    picture, place = (judged > 0.5).nonzero(as_tuple=True)
    own = torch.stack([picture.float(), kinds[picture, place].float()], 1)
    return torch.cat([own, vectors[picture, place].float()], 1)


def _fewer(rows: Tensor, most: int, least: int = FEWEST) -> Tensor:
    """The rows of pictures that are spread evenly: about `most`, no fewer than `least` if there are."""
    if len(rows) <= max(most, 0):
        return rows
    pictures = np.unique(rows[:, 0].numpy())
    count = max(most, 0) * len(pictures) // len(rows)
    while True:
        kept = rows[torch.from_numpy(np.isin(rows[:, 0].numpy(), spread(pictures.tolist(), count)))]
        if len(kept) >= least or count >= len(pictures):
            return kept
        count += 1
