"""Outlines of components: how far each mask lies from the good mask nearest to it (sections 2.4 and 2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from flawscope.data.samples import spread
from flawscope.errors import OptionError
from flawscope.runtime.frozen import Frozen

_BATCH = 64


class MaskOptions(Frozen):
    """Options of `MaskBank`."""

    side: int = Field(
        32,
        ge=2,
        le=128,
        description="cells a side of a stored mask (section 2.4: a fixed size, without a number)",
    )
    placed: Literal["picture", "centred"] = Field(
        "picture",
        description="masks as they lie in the picture (section 2.4), or moved until their centre of gravity "
        "is in the middle, for products that lie anywhere (not in the paper)",
    )
    cut: bool = Field(
        True,
        description="compare masks that the border of the picture or tile cuts, too (section 2.4); otherwise "
        "such a component counts as absent in masks: where a tile cuts it follows from how the part lies",
    )
    most: int | None = Field(
        None, ge=1, description="good pictures whose masks are stored, evenly spread (section 2.4: all)"
    )
    least: float = Field(
        0.0,
        ge=0,
        description="mask score that becomes 1 at least, where good pictures' own largest is below it; 1 is "
        "a cell that is wholly wrong (the paper takes the largest, however small)",
    )
    left_out: bool = Field(
        False,
        description="take what becomes 1 from the stored masks, too, each against the others, for there are "
        "more of them than tuning pictures (not in the paper)",
    )

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise an OptionError for a height and width below the side of the masks."""
        if min(size) < self.side:
            raise OptionError(
                "option 'masks.side' of sadsem",
                expected=f"at most the shorter side of the picture, {min(size)}",
                got=str(self.side),
                fix="Lower it.",
            )


class SmallMasks(nn.Module):
    """Brings masks to a grid of `side` × `side` cells, and maps over the grid back to the picture.

    A cell holds the share of its area that the mask covers, so that it changes evenly as an outline moves.

    Args:
        size: height and width H, W of the masks.
        options: see there.
    """

    down: Tensor
    across: Tensor

    def __init__(self, size: tuple[int, int], options: MaskOptions) -> None:
        super().__init__()
        options.check_size(size)
        self.size, self.side, self.centred = size, options.side, options.placed == "centred"
        for name, length in zip(("down", "across"), size, strict=True):
            self.register_buffer(name, torch.arange(length).float(), persistent=False)  # (length,)

    def forward(self, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Masks (N, J, H, W) of 0 and 1 as (N, J, m, m) shares, and where the cells lie, for `back`.

        The places are overlaps in pixels, (N, J, m, H) and (N, J, m, W).
        """
        rows, columns = self._overlap(masks.sum(3), self.down), self._overlap(masks.sum(2), self.across)
        area = self.size[0] * self.size[1] / self.side**2
        return torch.matmul(torch.matmul(rows, masks), columns.transpose(2, 3)) / area, rows, columns

    def back(self, maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Maps (N, J, m, m) over the cells as (N, J, H, W); 0 where there is no cell."""
        return torch.matmul(torch.matmul(rows.transpose(2, 3), maps), columns)

    def _overlap(self, profile: Tensor, places: Tensor) -> Tensor:
        """Overlap of m cells with the pixels along a side, of masks' sums (N, J, length) across it."""
        length = len(places)
        pitch = length / self.side
        starts = pitch * torch.arange(self.side, device=places.device).view(-1, 1)  # (m, 1)
        offset = 0 * profile.sum(2)  # (N, J)
        if self.centred:
            total = profile.sum(2)
            centre = (profile * (places + 0.5)).sum(2) / total.clamp_min(1)
            offset = torch.where(total > 0, centre - length / 2, offset)
        begins = starts + offset[:, :, None, None]  # (N, J, m, 1)
        inside = torch.minimum(begins + pitch, places + 1) - torch.maximum(
            begins, places
        )  # (N, J, m, length)
        return inside.clamp_min(0)


class MaskBank(nn.Module):
    """Stored masks of J components, and the mask scores of new ones; `learn` and `scale` fill buffers only.

    Args:
        components: J.
        size: height and width H, W of the masks.
        options: see there.

    Attributes:
        stored: (n, J, m, m) masks of good pictures.
        rescaling: (n, J) RFM of each: its L1 distance to the nearest other one; 0 for a single one.
        top: (J,) mask score that becomes 1.
    """

    stored: Tensor
    rescaling: Tensor
    top: Tensor

    def __init__(self, components: int, size: tuple[int, int], options: MaskOptions) -> None:
        super().__init__()
        self.options, self.small = options, SmallMasks(size, options)
        self.register_buffer("stored", torch.zeros(1, components, options.side, options.side))
        self.register_buffer("rescaling", torch.zeros(1, components))
        self.register_buffer("top", torch.ones(components))

    @torch.no_grad()
    def learn(self, masks: Sequence[Tensor]) -> None:
        """Store masks (n, J, m, m), as `small` makes them, of good pictures, in batches; and their RFM."""
        self._store(torch.cat(list(masks)))

    @torch.no_grad()
    def teach(self, masks: Sequence[Tensor]) -> None:
        """Store those of further good pictures, too; see `learn`. What becomes 1 stays."""
        self._store(torch.cat([self.stored, *(some.to(self.stored) for some in masks)]))

    def _store(self, stored: Tensor) -> None:
        if self.options.most is not None:
            stored = stored[spread(range(len(stored)), self.options.most)]
        self.stored = stored.to(self.top)
        self.rescaling = torch.stack([_others(one)[0] for one in self.stored.unbind(1)], 1)

    @torch.no_grad()
    def scale(self, tops: Tensor) -> None:
        """Take the scores that become 1 from the largest (m, J) of the tuning pictures' mask scores."""
        tops = tops.to(self.top)
        if self.options.left_out:
            tops = torch.cat([tops, self._left_out()])
        top = tops.amax(0).clamp_min(self.options.least)
        self.top = torch.where(top > 0, top, 1.0)

    def _left_out(self) -> Tensor:
        """Largest score (n, J) of each stored mask against the others."""
        found = []
        for masks, factors in zip(self.stored.unbind(1), self.rescaling.unbind(1), strict=True):
            distances, nearest = _others(masks)
            apart = (masks - masks[nearest]).abs().amax((1, 2))  # (n,)
            found.append((apart * distances - factors[nearest]).clamp_min(0))
        return torch.stack(found, 1)

    def raw(self, small: Tensor) -> Tensor:
        """Mask scores (N, J, m, m) of small masks (N, J, m, m).

        With the nearest stored mask M* by L1 (equation 2): |M − M*| times ‖M − M*‖₁, less the RFM of M*, and
        no less than 0 (section 2.5).
        """
        found = []
        for index, masks in enumerate(small.unbind(1)):  # (N, m, m)
            stored = self.stored[:, index]
            distances = (masks.unsqueeze(1) - stored).abs().sum((2, 3))  # (N, n)
            least, nearest = distances.min(1)
            apart = (masks - stored.index_select(0, nearest)).abs()  # (N, m, m)
            factor = self.rescaling[:, index].index_select(0, nearest)
            found.append((apart * least[:, None, None] - factor[:, None, None]).clamp_min(0))
        return torch.stack(found, 1)

    def forward(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Largest score of each of masks (N, J, H, W), (N, J), and the map (N, H, W); 1 is usual at most."""
        small, rows, columns = self.small(masks)
        maps = self.raw(small) / self.top.view(-1, 1, 1)
        return maps.amax((2, 3)), self.small.back(maps, rows, columns).amax(1)


def uncut(masks: Tensor) -> Tensor:
    """The masks (N, J, H, W), 0 where one touches the border."""
    sides = (masks[:, :, 0], masks[:, :, -1], masks[:, :, :, 0], masks[:, :, :, -1])
    touching = torch.stack([side.amax(2) for side in sides]).amax(0)  # (N, J)
    return masks * (1 - touching)[:, :, None, None]


def _others(masks: Tensor) -> tuple[Tensor, Tensor]:
    """L1 distance (n,) of each of the masks (n, m, m) to the nearest other one, and which that is (n,).

    A single one has itself, at distance 0.
    """
    distances, nearest = [], []
    for start in range(0, len(masks), _BATCH):
        part = masks[start : start + _BATCH]
        apart = torch.cdist(part.flatten(1), masks.flatten(1), p=1)  # (b, n)
        own = torch.arange(len(part), device=masks.device)
        if len(masks) > 1:
            apart[own, own + start] = torch.inf
        least, where = apart.min(1)
        distances.append(least)
        nearest.append(where)
    return torch.cat(distances), torch.cat(nearest)
