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

    Args:
        grid: makes the patches.
        positions: rows and columns of parts, as even as the grid allows; no more than the grid has.

    Attributes:
        rows, columns: how many cells each row and column of parts has.
        memories: the bank of each part, line by line.
    """

    def __init__(self, grid: PatchGrid, positions: tuple[int, int]) -> None:
        super().__init__()
        self.grid, self.cells = grid, grid.shape[0] * grid.shape[1]
        self.rows, self.columns = (_even(*pair) for pair in zip(grid.shape, positions, strict=True))
        empty = torch.zeros(1, grid.dim)
        self.memories = nn.ModuleList(self._memory(empty) for _ in range(positions[0] * positions[1]))

    @property
    def largest(self) -> int:
        """Cells of the largest part."""
        return self.rows[0] * self.columns[0]

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

        Each has its share of `count`, by its cells, and at least one; its selection is kept under `name` with
        its number in the run's checkpoints, and taken up again from there.

        Raises:
            Stopped: the stop signal was set; the same call resumes where the selection was.
        """
        filled, parts = list[MemoryBank](), self._by_part(patches)
        for index, share in enumerate(self._shares(count)):
            own = next(parts)
            chosen = select_patches(
                own,
                min(share, len(own)),
                projection=projection,
                run=run,
                watch=watch,
                name=f"{name}-{index}",
            )
            filled.append(self._memory(own[chosen]))
            del own  # before the next part is copied
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

        Raises:
            Stopped: the stop signal was set; banks before have grown.
        """
        parts = self._by_part(patches)
        for memory, share in zip(self._each(), self._shares(most), strict=True):
            own = next(parts)
            chosen = further_members(memory.members, own, share, projection=projection, run=run, watch=watch)
            memory.grow(own[chosen])
            del own

    def _shares(self, count: int) -> list[int]:
        """How many members of `count` each part has."""
        cells = (down * across for down in self.rows for across in self.columns)
        return [max(1, count * own // self.cells) for own in cells]

    def _by_part(self, patches: Tensor) -> Iterator[Tensor]:
        """The patches (P, D) of each part, picture by picture: a copy, as long as it is held."""
        placed = patches.reshape(-1, *self.grid.shape, self.grid.dim)  # (n, h, w, D)
        for part in torch.split(placed, self.rows, 1):
            for own in torch.split(part, self.columns, 2):
                yield own.reshape(-1, self.grid.dim)  # (n * r * c, D)

    def _each(self) -> Iterator[MemoryBank]:
        return (memory for memory in self.memories if isinstance(memory, MemoryBank))

    def _memory(self, members: Tensor) -> MemoryBank:
        return MemoryBank(members, budget_bytes=BLOCK_BYTES, queries=self.largest)


def _even(cells: int, parts: int) -> list[int]:
    """How many cells each of the parts has, the larger ones first.

    >>> _even(32, 3)
    [11, 11, 10]
    """
    return [cells // parts + (index < cells % parts) for index in range(parts)]
