"""The heatmap of the patch histogram branch: which pixels are too much, and where something is missing.

Appendix D. What a picture lacks has no pixels in it; they are looked up in the good picture most like it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flawscope.methods.csad.cells import Grid, members

KEPT, SIDE = 300, 64  # good label maps that are looked up, and their largest height and width


class HistogramMap(nn.Module):
    """Spreads differences of histograms over the pixels that they stand for.

    Args:
        size: height and width H, W of the label maps.
        grids: rows and columns of each, G of them.
        entries: entries of each grid's vector, D in all.
        first: the first class that counts, 0 or 1.

    Attributes:
        histograms: (n, D) of up to 300 good pictures.
        maps: (n, h, w) uint8, their label maps, at most 64×64.
    """

    histograms: Tensor
    maps: Tensor
    down: Tensor
    across: Tensor

    def __init__(
        self, size: tuple[int, int], grids: Sequence[Grid], entries: Sequence[int], *, first: int
    ) -> None:
        super().__init__()
        self.size, self.entries, self.first = size, list(entries), first
        self.grids = list(grids)
        small = (min(SIDE, size[0]), min(SIDE, size[1]))
        for index, (rows, columns) in enumerate(grids):
            for name, (height, width) in (("", size), ("kept_", small)):
                down = members(height, rows).argmax(0)  # (h,)
                self.register_buffer(f"{name}rows{index}", down, persistent=False)
                self.register_buffer(f"{name}columns{index}", members(width, columns), persistent=False)
        self.register_buffer("down", torch.arange(size[0]) * small[0] // size[0], persistent=False)
        self.register_buffer("across", torch.arange(size[1]) * small[1] // size[1], persistent=False)
        self.register_buffer("histograms", torch.zeros(1, sum(entries)))
        self.register_buffer("maps", torch.zeros(1, *small, dtype=torch.uint8))

    def learn(self, labels: Tensor, histograms: Tensor) -> None:
        """Keep good pictures, spread evenly over all: their label maps (n, H, W) and histograms (n, D)."""
        kept = _spread(len(labels))
        self.histograms = histograms[kept.to(histograms.device)].to(self.histograms)
        self.maps = self._small(labels[kept.to(labels.device)])

    def teach(self, labels: Tensor, histograms: Tensor) -> None:
        """Keep further good pictures beside those of before, or of both some, spread evenly over all."""
        kept = _spread(len(self.maps) + len(labels)).to(self.maps.device)
        self.histograms = torch.cat([self.histograms, histograms.to(self.histograms)])[kept]
        self.maps = torch.cat([self.maps, self._small(labels)])[kept]

    def _small(self, labels: Tensor) -> Tensor:
        """Label maps (n, h, w) of label maps (n, H, W), by the middle of each cell."""
        rows, columns = (
            ((torch.arange(small) + 0.5) * large / small).long().to(labels.device)
            for large, small in zip(self.size, self.maps.shape[1:], strict=True)
        )
        return labels[:, rows][:, :, columns].to(self.maps)

    def forward(self, masks: Tensor, histograms: Tensor, away: Tensor) -> Tensor:
        """The map (N, H, W), at least 0.

        Args:
            masks: (N, K', H, W) how far each pixel shows each class that counts.
            histograms: (N, D) of these.
            away: (N, D) how much more than good pictures they show, below 0 how much less.
        """
        total = torch.zeros_like(masks[:, 0])
        classes = torch.arange(self.first, self.first + masks.shape[1], device=masks.device).view(-1, 1, 1)
        parts = (torch.split(values, self.entries, 1) for values in (histograms, self.histograms, away))
        for index, (own, good, apart) in enumerate(zip(*parts, strict=True)):
            nearest = (own.unsqueeze(1) - good).square().sum(2).argmin(1)  # (N,)
            alike = self.maps.index_select(0, nearest).unsqueeze(1) == classes  # (N, K', h, w)
            extra = self._spread(index, apart.clamp(min=0), masks, "")
            missing = self._spread(index, (-apart).clamp(min=0), alike.float(), "kept_")  # (N, h, w)
            enlarged = missing.index_select(2, self.across).index_select(1, self.down)  # (N, H, W)
            total = total + extra + enlarged
        return total

    def _spread(self, grid: int, values: Tensor, masks: Tensor, kind: str) -> Tensor:
        """Each pixel's entry of `values` (N, R * C * K'), by its cell and by masks (N, K', h, w): (N, h, w).

        Whole lines are looked up: single entries take engines many times as long.
        """
        rows, columns = self.get_buffer(f"{kind}rows{grid}"), self.get_buffer(f"{kind}columns{grid}")
        table = values.reshape(-1, *self.grids[grid], masks.shape[1]).permute(0, 3, 1, 2)  # (N, K', R, C)
        lines = torch.matmul(table, columns)  # (N, K', R, w), of one entry each
        return (lines.index_select(2, rows) * masks).sum(1)


def _spread(count: int) -> Tensor:
    """Up to 300 indices, evenly spread over so many pictures."""
    return torch.linspace(0, count - 1, min(count, KEPT)).round().long()
