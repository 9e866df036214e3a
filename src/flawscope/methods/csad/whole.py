"""Wholes: joined components that look like good ones of a class are of that class as wholes.

Not in the paper. A piece of a long bolt looks as a short one does there, so a segmenter takes it for that
now and then. Its shape as a whole tells which of the two it is, and then histograms and counts tell it, too:
in them that piece would be half a bolt that is extra, and half another that is missing.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from flawscope.methods.csad.figures import Figures
from flawscope.methods.csad.shapes import Shapes

_NONE = 1e4  # distance to what it cannot be
_REACH = 1.0  # times what good pictures reach, to which a component is taken for a good one
_WAY = 1.0  # of that reach, over which it comes to be none: engines differ where a little changes much


def as_wholes(shapes: Shapes, found: Figures, shares: Tensor) -> tuple[Figures, Tensor]:
    """Components and shares with each component that looks like good ones of a class as that class alone.

    Good ones of no other class may be shaped so. Whether it looks as that class does is for colours to say.
    Classes that are parts of components alone, as holes, stay. Exports to ONNX.

    Args:
        shapes: which have learnt, with joined components.
        found: the components of the shares.
        shares: (N, K + 1, H, W) how far each pixel shows each class.
    """
    labels, several = shapes.labels, found.areas.unsqueeze(2)  # (V,), (N, M, 1)
    distances = shapes.gaussian.distances(found.vectors.flatten(0, 1)).reshape(*found.areas.shape, -1)
    judged = shapes.judged(several.expand_as(distances), labels.expand(distances.shape))  # (N, M, V)
    distances = torch.where(judged > 0, distances, _NONE)
    nearest, place = distances.min(2)  # (N, M)
    own = torch.arange(len(labels), device=place.device) == place.unsqueeze(2)  # (N, M, V)
    ahead = torch.where(own, _NONE, distances).amin(2).square() - nearest.square()
    reach = shapes.reach[1].clamp_min(1e-6)
    alike = ((_REACH - nearest / reach) / _WAY + 1).clamp(0, 1)
    alone = (2 * ahead / reach.square() - 1).clamp(0, 1)
    weights = alike * alone * judged.gather(2, place.unsqueeze(2)).squeeze(2)
    kinds = torch.where(weights > 0, labels[place], found.kinds)

    weight, kind = (  # (N, 1, H, W) each
        F.interpolate(_with_edges(found, values), shares.shape[-2:], mode="nearest")
        for values in (weights, kinds * (weights > 0).float())
    )
    classes = torch.arange(shares.shape[1], device=shares.device)  # the background's first
    moved = (classes.unsqueeze(1) == labels).any(1).view(1, -1, 1, 1)  # (1, K + 1, 1, 1)
    whole = (shares * moved).sum(1, keepdim=True)
    own = torch.where(moved, whole * (kind == classes.view(1, -1, 1, 1)), shares)
    return replace(found, kinds=kinds), shares + weight * (own - shares)


def _with_edges(found: Figures, values: Tensor) -> Tensor:
    """Values (N, M) of components on their squares and on those of ground that touch them: (N, 1, h, w)."""
    there = found.spread(found.places, values)
    ground = (found.weights == 0).reshape(-1, 1, *found.grid)
    return torch.where(ground, F.max_pool2d(there, 3, 1, 1), there)
