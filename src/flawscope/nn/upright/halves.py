"""Which way round parts lie whose outline is the same after half a turn, as their colours tell it."""

from __future__ import annotations

import torch
from torch import Tensor

from flawscope.nn.upright.pose import ANGLES, FREQUENCIES, RADII

_DARK = 0.05  # of colours, whose hue is noise below


def half_turned(circles: Tensor, angles: Tensor) -> Tensor:
    """Angles (n,) in steps, at most half of them by half a turn more, so that parts are alike in their hues.

    Of a tray, say, that lies at any angle, its outline and the shadow beside it tell the angle but for half a
    turn: turned by that, the shadow of another part falls alike. Light and shadow leave hues as they are, and
    so these tell the rest. Of a part turned by half a turn all odd frequencies around its centre change their
    sign. Signs that make the parts alike are those of the first eigenvector of their products (Singer 2011,
    "Angular synchronization by eigenvectors and semidefinite programming", for turns by halves).

    Args:
        circles: (n, ANGLES, RADII, 3) what parts show around their centre, in colours of [0, 1].
        angles: by which they are turned to lie alike, or half a turn from it.
    """
    colours = (circles + _DARK).log()
    hues = (colours - colours.mean(3, keepdim=True)).flatten(2)  # (n, ANGLES, RADII * 3)
    odd = torch.arange(1, FREQUENCIES + 1, 2)
    along = torch.arange(ANGLES)[:, None] * odd + angles[:, None, None] * -odd  # (n, ANGLES, K)
    turns = 2 * torch.pi / ANGLES * along
    radii = (torch.arange(RADII) + 1).sqrt().repeat_interleave(3)
    shown = torch.cat([(wave.mT @ hues) * radii for wave in (turns.cos(), turns.sin())], 1).flatten(1)
    products = (shown @ shown.T).fill_diagonal_(0)
    _, axes = torch.linalg.eigh(products.double())
    other = axes[:, -1] < 0
    fewer = other if 2 * int(other.sum()) <= len(other) else ~other  # no sign is the right one
    return torch.remainder(angles + ANGLES // 2 * fewer, ANGLES)
