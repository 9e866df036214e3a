"""Memory banks for parts of the picture: what is good in one place need not be good in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from flawscope.nn.banks.features import PatchGrid, patch_rows
from flawscope.nn.banks.neighbours import MemoryBank
from flawscope.nn.banks.patchbank import BLOCK_BYTES, further_members, select_patches
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch


class PlacedBanks(nn.Module):
    """How far each patch lies from the nearest good one of the same part of the picture.

    It is filled, asked and taught as `flawscope.nn.banks.patchbank.PatchBank` is.

    Args:
        grid: makes the patches.
        positions: parts of the picture, in rows and columns: as even as the grid allows, and at most its
            cells.

    Attributes:
        rows, columns: cells of each row and column of parts.
    """

    def __init__(self, grid: PatchGrid, positions: tuple[int, int]) -> None:
        super().__init__()
        self.grid, self.cells = grid, grid.shape[0] * grid.shape[1]
        self.rows, self.columns = (_even(*pair) for pair in zip(grid.shape, positions, strict=True))
        empty = torch.zeros(1, grid.dim)
        self.memories = nn.ModuleList(self._memory(empty) for _ in range(positions[0] * positions[1]))

    @property
    def size(self) -> int:
        """Members of all banks together."""
        return sum(len(memory.bank) for memory in self._each())

    def forward(self, maps: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Distances (N, h, w), and the patches (N, h * w, D), of a backbone's maps."""
        features, memories = self.grid(maps), self._each()  # (N, D, h, w)
        lines = []
        for part in torch.split(features, self.rows, 2):
            found = []
            for own in torch.split(part, self.columns, 3):
                memory = next(memories)
                distances = memory.distances(memory.extended(patch_rows(own)))  # (N * r * c,)
                found.append(distances.reshape(-1, *own.shape[2:]))  # (N, r, c)
            lines.append(torch.cat(found, 2))  # (N, r, w)
        return torch.cat(lines, 1), patch_rows(features).reshape(-1, self.cells, self.grid.dim)

    def keep(
        self,
        patches: Tensor,
        count: int,
        *,
        projection: int | None,
        run: Run,
        watch: Watch = UNWATCHED,
        name: str,
    ) -> None:
        """Fill each bank with the coreset of its part of the patches (P, D), picture by picture.

        Each has its share of `count`; its selection is kept under `name` with its number in the run's
        checkpoints, and taken up again from there.
        """
        filled = list[MemoryBank]()
        for index, own in enumerate(self._by_part(patches)):
            chosen = select_patches(
                own,
                min(self._share(count), len(own)),
                projection=projection,
                run=run,
                watch=watch,
                name=f"{name}-{index}",
            )
            filled.append(self._memory(own[chosen]))
        self.memories = nn.ModuleList(filled)

    def grow(
        self,
        patches: Tensor,
        most: int,
        *,
        projection: int | None,
        run: Run,
        watch: Watch = UNWATCHED,
    ) -> None:
        """Add to each bank those of its part of further patches (P, D) that it does not cover.

        Each may have its share of `most` members, where it has not more already.
        """
        for memory, own in zip(self._each(), self._by_part(patches), strict=True):
            chosen = further_members(
                memory.members, own, self._share(most), projection=projection, run=run, watch=watch
            )
            memory.grow(own[chosen])

    def _share(self, count: int) -> int:
        return max(1, count // len(self.memories))

    def _by_part(self, patches: Tensor) -> Iterator[Tensor]:
        """The patches (P, D) of each part, picture by picture."""
        placed = patches.reshape(-1, *self.grid.shape, self.grid.dim)  # (n, h, w, D)
        for part in torch.split(placed, self.rows, 1):
            for own in torch.split(part, self.columns, 2):
                yield own.reshape(-1, self.grid.dim)  # (n * r * c, D)

    def _each(self) -> Iterator[MemoryBank]:
        return (memory for memory in self.memories if isinstance(memory, MemoryBank))

    def _memory(self, members: Tensor) -> MemoryBank:
        queries = self.rows[0] * self.columns[0]
        return MemoryBank(members, budget_bytes=BLOCK_BYTES, queries=queries)


def _even(cells: int, parts: int) -> list[int]:
    """How many cells each of the parts has, the larger ones first.

    >>> _even(32, 3)
    [11, 11, 10]
    """
    return [cells // parts + (index < cells % parts) for index in range(parts)]
