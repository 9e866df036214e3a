"""What known defects look like to a detector's network: a linear classifier, whose margin joins the features.

Not in the paper, whose statistics tell how high a heatmap is and how it is spread, not what lies below it.
The looks of a picture are, by layer of the frozen network, the mean of its features, and their mean where the
heatmap is highest. Pictures that are learnt from get margins of classifiers that have not learnt from them.
Margins below those of good pictures in the mean count as that mean: what is unlike known defects need not be
good.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from flawscope.nn.backbones.build import Backbone
from flawscope.nn.upright.turned import Turned
from flawscope.runtime.frozen import Frozen

Looks = NDArray[np.float32]
Maps = Mapping[str, Tensor]

_LEAST = (
    0.01  # of the median deviation, that every other counts as at least: nearly dead channels weigh little
)


class AppearanceOptions(Frozen):
    """Settings of the linear classifier."""

    strength: float = Field(
        0.01,
        gt=0,
        description="weight of the summed losses against half the sum of squared coefficients, as "
        "scikit-learn's C; good and defective pictures weigh alike",
    )
    share: float = Field(
        0.02,
        gt=0,
        le=1,
        description="share of the network's cells, highest in the heatmap, whose features are averaged",
    )
    folds: int = Field(
        5,
        ge=2,
        description="parts of the pictures, each judged by a classifier of the others, so that the final "
        "classifier learns from honest margins; no more than there are defective pictures",
    )


@dataclass(frozen=True, slots=True)
class Direction:
    """A fitted linear classifier over E looks.

    Attributes:
        centre: (E,) mean over good pictures.
        weight: (E,) of each.
        bias: margin of a picture that looks as good ones do in the mean.
        floor: what lower margins count as.
    """

    centre: Looks
    weight: Looks
    bias: float
    floor: float = -math.inf

    def margins(self, looks: Looks) -> NDArray[np.float32]:
        """Margins (N,) of looks (N, E): above 0 where a known defect is the likelier."""
        found = (looks - self.centre) @ self.weight + self.bias
        return np.maximum(found, self.floor).astype(np.float32)


def fit_direction(looks: Looks, defective: NDArray[np.bool_], options: AppearanceOptions) -> Direction:
    """The regression of truth (N,), of both kinds, on `looks` (N, E)."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - takes a second

    rows = looks.astype(np.float64)
    centre, scale = rows[~defective].mean(0), rows.std(0)
    scale = np.maximum(scale, _LEAST * np.median(scale))
    scale = np.where(scale > 0, scale, 1.0)
    model = LogisticRegression(C=options.strength, class_weight="balanced", max_iter=1000)
    model.fit((rows - centre) / scale, defective)
    weight = (model.coef_[0] / scale).astype(np.float32)
    return Direction(centre.astype(np.float32), weight, float(model.intercept_[0]))


def apart_margins(
    looks: Looks, defective: NDArray[np.bool_], fold_of: NDArray[np.int64], options: AppearanceOptions
) -> NDArray[np.float32]:
    """Margins (N,) of looks (N, E), each by a classifier of the other folds (N,).

    Where those show no defect, or nothing else, they tell nothing: then the mean of good pictures elsewhere.
    """
    found = np.full(len(looks), np.nan, np.float32)
    for fold in np.unique(fold_of):
        held = fold_of == fold
        if defective[~held].any() and not defective[~held].all():
            found[held] = fit_direction(looks[~held], defective[~held], options).margins(looks[held])
    told = found[~defective & ~np.isnan(found)]
    return np.where(np.isnan(found), told.mean() if len(told) else 0.0, found).astype(np.float32)


class Appearance(nn.Module):
    """A fitted `Direction` as tensors."""

    centre: Tensor
    weight: Tensor
    bias: Tensor
    floor: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("centre", "weight"):
            self.register_buffer(name, torch.zeros(1))  # (E,)
        for name in ("bias", "floor"):
            self.register_buffer(name, torch.zeros(()))

    def take(self, found: Direction) -> None:
        """Take over a fitted classifier."""
        for name in ("centre", "weight"):
            self.register_buffer(name, torch.from_numpy(getattr(found, name)))
        self.bias, self.floor = torch.tensor(found.bias), torch.tensor(found.floor)

    def forward(self, looks: Tensor) -> Tensor:
        """Margins (N,) of looks (N, E)."""
        return torch.maximum((looks - self.centre) @ self.weight + self.bias, self.floor)


def networks_of(detector: nn.Module) -> list[Backbone]:
    """The frozen networks that a detector may read."""
    return [one for one in detector.modules() if isinstance(one, Backbone) and not one.trainable]


def _as_it_came(values: Tensor) -> Tensor:
    return values


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """Maps {layer: (N, C, h, w)} of a pass, and how the network saw what the picture shows.

    `seen` turns values (N, H, W) over the picture as the network sees the picture.
    """

    maps: Maps
    seen: Callable[[Tensor], Tensor] = _as_it_came


@contextmanager
def overheard(detector: nn.Module | None) -> Iterator[list[Heard]]:
    """Within, the maps of the detector's frozen networks are collected, as they are made; of None nothing.

    A committee has several networks, and some have one that is never asked, for it reads another's maps.
    """
    found: list[Heard] = []

    def keep(module: Backbone, _pixels: Sequence[Any], maps: Maps) -> None:
        seen = partial(module.seen, maps) if isinstance(module, Turned) else _as_it_came
        found.append(Heard({layer: maps[layer] for layer in module.layers}, seen))

    hooks = [one.register_forward_hook(keep) for one in ([] if detector is None else networks_of(detector))]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def looks_of(heard: Heard, heatmap: Tensor, share: float, kept: Tensor | None = None) -> Tensor:
    """Looks (N, E) of what was heard, E twice its channels, below a heatmap (N, H, W).

    With `kept` (N, H, W), 1 where a place counts and 0 where it does not, means are over those that count.
    """
    found, heatmap = [], heard.seen(heatmap)
    kept = None if kept is None else heard.seen(kept)
    for grid in heard.maps.values():
        values = grid.flatten(2)  # (N, C, h*w)
        heights = F.interpolate(heatmap.unsqueeze(1), grid.shape[2:], mode="bilinear").flatten(1)  # (N, h*w)
        top = heights.topk(max(1, round(share * heights.shape[1])), 1).indices.unsqueeze(1)  # (N, 1, k)
        highest = values.gather(2, top.expand(-1, values.shape[1], -1))  # (N, C, k)
        if kept is None:
            found += [values.mean(2), highest.mean(2)]
            continue
        counts = _cells(kept, (grid.shape[2], grid.shape[3]))  # (N, 1, h*w)
        found += [_weighed(values, counts), _weighed(highest, counts.gather(2, top))]
    return torch.cat(found, 1)


def _cells(kept: Tensor, size: tuple[int, int]) -> Tensor:
    """What share of each cell of a grid counts (N, 1, h*w), of places (N, H, W) that are 1 or 0."""
    sides = [max(1, whole // cells) for whole, cells in zip(kept.shape[1:], size, strict=True)]
    pooled = F.avg_pool2d(kept.unsqueeze(1), sides, sides)
    return F.interpolate(pooled, size).flatten(2)


def _weighed(values: Tensor, counts: Tensor) -> Tensor:
    """Means (N, C) of values (N, C, k) by what they count (N, 1, k); 0 where nothing counts."""
    return (values * counts).sum(2) / counts.sum(2).clamp(min=1e-6)
