"""The good patches of one scale: collected, thinned where asked for, searched."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flawscope.nn.banks.coreset import coreset_size
from flawscope.nn.banks.features import patch_rows
from flawscope.nn.banks.neighbours import MemoryBank
from flawscope.nn.banks.patchbank import select_patches
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch

_RESOLUTION = 1e-3  # of the embeddings' root mean square length: below lies what engines round differently


class EmbeddingBank(nn.Module):
    """The nearest good patch of each patch, and how far away it is (equation 6).

    Distances below a thousandth of the embeddings' spread count as that, for they are rounding: without it
    pictures that the model has learnt from, whose distances are all 0, would score by rounding alone.

    Args:
        dim: D.
        grid: rows and columns of a picture's patches.

    Attributes:
        numbers: (M,) number of each member among all good patches, picture by picture, line by line.
        least: () smallest distance.
    """

    numbers: Tensor
    least: Tensor

    def __init__(self, dim: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.cells = grid[0] * grid[1]
        self.memory = MemoryBank(torch.zeros(1, dim), queries=self.cells)
        self.register_buffer("numbers", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("least", torch.zeros(()))

    def forward(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Distances and numbers of the nearest members (N, h, w), for embeddings (N, D, h, w)."""
        height, width = embeddings.shape[2:]
        rows = patch_rows(embeddings)  # (N * h * w, D)
        _, members = self.memory(rows)
        distances = self.memory.distance_to(rows, members.unsqueeze(1)).squeeze(1)  # exact where it is small
        distances = torch.maximum(distances, self.least)
        return distances.reshape(-1, height, width), self.numbers[members].reshape(-1, height, width)

    def keep(
        self, rows: Tensor, share: float, limit: int | None, *, run: Run, watch: Watch = UNWATCHED, name: str
    ) -> None:
        """Fill the bank with that share of the rows (P, D), at most `limit` of them, spread as a coreset."""
        count = coreset_size(len(rows), share)
        count = min(count, limit or count)
        self.numbers = torch.arange(len(rows))
        if count < len(rows):
            self.numbers = select_patches(rows, count, projection=None, run=run, watch=watch, name=name)
        self.memory = MemoryBank(rows[self.numbers], queries=self.cells)
        self.least = _RESOLUTION * self.memory.bank.square().sum(1).mean().sqrt()
