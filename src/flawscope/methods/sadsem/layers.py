"""Which of a backbone's layers describe a component, from its area and from how much its features vary.

Section 2.3: components of a small area and a small spread (figure 2, near the origin) are described by layer
1, those farther away by layers 1 and 2, large or complex ones by layer 2, and by layer 3 where a crop zooms
in. The paper draws these regions and gives no number, so that the borders here are options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from flawscope.nn.banks.coreset import coreset_size, select_coreset
from flawscope.nn.moments import Moments
from flawscope.runtime.frozen import Frozen

Layer = Literal[1, 2, 3]
STRIDES: Mapping[int, int] = {1: 4, 2: 8, 3: 16}  # of the layers, as in ResNets
_CHOICES: tuple[tuple[Layer, ...], ...] = ((1,), (1, 2), (2,), (3,))


class LayerOptions(Frozen):
    """Options of the choice of layers."""

    fixed: tuple[Layer, ...] | None = Field(
        None,
        min_length=1,
        description="the same layers for every component, such as [2, 3] (table 1, fixed, as PatchCore's); "
        "by default each component's are chosen (section 2.3)",
    )
    area: float = Field(
        25.0,
        gt=0,
        description="area in per cent of the picture that lies one unit from the origin of figure 2 (the "
        "paper draws its regions and names no number)",
    )
    spread: float = Field(
        1.0,
        gt=0,
        description="WSS, as a share of that of whole pictures, that lies one unit from the origin (ours, as "
        "area)",
    )
    borders: tuple[float, float, float] = Field(
        (1.0, 2.0, 5.5),
        description="units, of area and of spread added, up to which layer 1, layers 1 and 2, and layer 2 "
        "are taken; layer 3 beyond (ours, as area)",
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not 0 <= self.borders[0] <= self.borders[1] <= self.borders[2]:
            raise ValueError("borders must not fall, from 0 on")
        if self.fixed is not None and len(set(self.fixed)) < len(self.fixed):
            raise ValueError("fixed must name each layer once")
        return self

    def chosen(self, area: float, spread: float) -> tuple[Layer, ...]:
        """The layers of a component.

        Args:
            area: of its mask, in per cent of the picture.
            spread: its WSS as a share of that of whole pictures.

        >>> options = LayerOptions()
        >>> [options.chosen(*place) for place in ((5, 0.3), (20, 0.8), (60, 1.0), (100, 1.6))]
        [(1,), (1, 2), (2,), (3,)]
        """
        if self.fixed is not None:
            return self.fixed
        away = area / self.area + spread / self.spread
        return _CHOICES[sum(away > border for border in self.borders)]


@dataclass(frozen=True, slots=True)
class ComponentFacts:
    """What good pictures show of one component.

    Attributes:
        label: its number in label maps.
        name: what findings call it.
        pictures: how many good pictures show it.
        area: mean area of its mask where it shows, in per cent of the picture.
        wss: within-cluster sum of squares of its resampled features of layers 2 and 3, by their number; 0 for
            one too small for a cell of its own there.
        spread: `wss` as a share of that of whole pictures, resampled alike.
        layers: that describe it; none where no good picture has a cell of it.
    """

    label: int
    name: str
    pictures: int = 0
    area: float = 0.0
    wss: float = 0.0
    spread: float = 0.0
    layers: tuple[Layer, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From what `plain` gave."""
        return cls(**{**values, "layers": tuple(values["layers"])})

    def plain(self) -> dict[str, Any]:
        """As plain values, for the manifest."""
        return {**asdict(self), "layers": list(self.layers)}

    def __str__(self) -> str:
        if not self.pictures:
            return f"{called(self.label, self.name)}: no good picture shows it"
        layers = " and ".join(map(str, self.layers))
        taken = f"layer{'s' * (len(self.layers) > 1)} {layers}" if layers else "too small for any layer"
        return (
            f"{called(self.label, self.name)}: {self.area:.3g} % of the picture, WSS {self.wss:.3g}, {taken}"
        )


def called(label: int, name: str) -> str:
    """A component by its number and name.

    >>> called(3, "wheel"), called(2, "component 2")
    ('component 3 (wheel)', 'component 2')
    """
    own = f"component {label}"
    return own if name == own else f"{own} ({name})"


def wss(rows: Tensor) -> float:
    """Mean squared distance of features (n, D) to their centroid: WSS by the number of points; 0 for none."""
    if not len(rows):
        return 0.0
    moments = Moments()
    moments.add(rows)
    return float(moments.variance.sum())


def resampled_wss(rows: Tensor, ratio: float, seed: int) -> float:
    """`wss` of the coreset (PatchCore's, section 2.3) of features (n, D)."""
    if not len(rows):
        return 0.0
    chosen = select_coreset(rows, coreset_size(len(rows), ratio), seed=seed)
    return wss(rows[chosen])


def areas(labels: Tensor, label: int) -> tuple[int, float]:
    """How many label maps (n, H, W) show a component, and its mean area there in per cent of the picture."""
    shares = (labels == label).flatten(1).float().mean(1)  # (n,)
    shown = shares[shares > 0]
    return len(shown), float(100 * shown.mean()) if len(shown) else 0.0


def drawn(rows: Tensor, most: int, random: torch.Generator) -> Tensor:
    """At most so many of the rows (n, D), drawn at random."""
    return rows if len(rows) <= most else rows[torch.randperm(len(rows), generator=random)[:most]]
