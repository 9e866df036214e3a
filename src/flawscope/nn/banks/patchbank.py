"""One memory bank of patch features: filled, thinned, searched."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from flawscope.nn.banks.coreset import continue_coreset, select_coreset
from flawscope.nn.banks.features import PatchGrid, patch_rows
from flawscope.nn.banks.neighbours import MemoryBank, resolution
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch

BLOCK_BYTES = 2 * 2**20  # of one picture's distances, which stay in a core's cache until they are compared


class PatchBank(nn.Module):
    """How far each patch lies from the nearest good one.

    Args:
        grid: makes the patches.
        around: how many of each member's nearest members `neighbours` holds, itself first.
        levelled: for distances that levels are taken of. Those below `least` count as that: they are
            rounding, which a picture that the bank has learnt from would be scored by otherwise. And members
            are rounded, so that half precision finds them where float32 does.
        axes: on how many principal axes of the bank distances are found; None: on all dimensions.

    Attributes:
        cells: patches of a picture.
        neighbours: (M, around) indices.
        least: () smallest distance; what float32 resolves in the worst order of summation
            (`flawscope.nn.banks.neighbours`), or 0.
    """

    neighbours: Tensor
    least: Tensor

    def __init__(
        self, grid: PatchGrid, *, around: int = 1, levelled: bool = False, axes: int | None = None
    ) -> None:
        super().__init__()
        self.grid, self.around, self.levelled, self.axes = grid, around, levelled, axes
        self.register_buffer("least", torch.zeros(()), persistent=levelled)
        self.cells = grid.shape[0] * grid.shape[1]
        self.memory = self._memory(torch.zeros(1, grid.dim))
        self.register_buffer("neighbours", torch.zeros(1, 1, dtype=torch.int64))

    @property
    def size(self) -> int:
        """Its members."""
        return len(self.memory.bank)

    def forward(self, maps: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Distances (N, h, w), and the patches (N, h * w, D), of a backbone's maps."""
        patches = patch_rows(self.grid(maps))  # (N * h * w, D)
        return self.distances(self.extended(patches)), patches.reshape(-1, self.cells, self.grid.dim)

    def extended(self, patches: Tensor) -> Tensor:
        """Patches (N * h * w, D) as `distances` takes them: (N, h * w, `memory.width`)."""
        return self.memory.extended(patches).reshape(-1, self.cells, self.memory.width)

    def distances(self, rows: Tensor) -> Tensor:
        """Distances (N, h, w) of patches (N, h * w, `memory.width`) that `extended` made."""
        distances = self.memory.distances(rows.flatten(0, 1))  # (N * h * w,)
        if self.levelled:
            distances = torch.maximum(distances, self.least)
        return distances.reshape(-1, *self.grid.shape)

    def _memory(self, members: Tensor) -> MemoryBank:
        return MemoryBank(
            members,
            budget_bytes=BLOCK_BYTES,
            queries=self.cells,
            rounded=self.levelled,
            axes=self.axes,
        )

    def keep(
        self,
        patches: Tensor,
        count: int,
        *,
        projection: int | None,
        run: Run,
        watch: Watch = UNWATCHED,
        name: str,
    ) -> Tensor:
        """Fill the bank with the coreset of `count` of the patches (P, D), and tell which they are.

        The selection is kept under `name` in the run's checkpoints, and taken up again from there.
        """
        chosen = select_patches(patches, count, projection=projection, run=run, watch=watch, name=name)
        self.memory = self._memory(patches[chosen])
        self.neighbours = self.memory.neighbours(self.around)
        if self.levelled:
            self.least = resolution(self.memory.bank)
        return chosen

    def grow(
        self,
        patches: Tensor,
        most: int,
        *,
        projection: int | None,
        run: Run,
        watch: Watch = UNWATCHED,
    ) -> None:
        """Add those of further patches (P, D) that the bank does not cover, up to `most` members in all.

        Members that are there stay; see `continue_coreset`. The projection is that of the selection where the
        run has its seed.
        """
        chosen = further_members(
            self.memory.members, patches, most, projection=projection, run=run, watch=watch
        )
        self.memory.grow(patches[chosen])
        self.neighbours = self.memory.neighbours(self.around)
        if self.levelled:
            self.least = torch.maximum(self.least, resolution(self.memory.bank))

    def left_out(self, patches: Tensor, groups: Tensor, owners: Tensor) -> Tensor:
        """Distances (P,) of patches (P, D) of groups (P,) to members (M,) whose `owners` are other groups."""
        distances = torch.empty(len(patches), device=patches.device)
        for group in torch.unique(groups):
            those = groups == group
            distances[those] = self.memory.distances_to_others(patches[those], owners == group)
        return torch.maximum(distances, self.least)


def select_patches(
    patches: Tensor, count: int, *, projection: int | None, run: Run, watch: Watch = UNWATCHED, name: str
) -> Tensor:
    """Indices (count,) of a coreset of the patches (P, D); kept under `name` in the run's checkpoints.

    What is chosen is kept there once it is whole, too, for whatever comes after may fail.

    Raises:
        Stopped: the stop signal was set; the same call resumes where the selection was.
    """
    key = _fingerprint(patches, count, projection, run.seed)
    kept = run.checkpoints.load(name) if run.checkpoints else None
    resume = kept["chosen"] if kept and torch.equal(kept.get("key", key[:0]), key) else None

    def save(chosen: Tensor) -> None:
        if run.checkpoints:
            run.checkpoints.save(name, {"chosen": chosen, "key": key})

    with watch.stage("selecting the coreset", count) as stage:

        def advance(chosen: int) -> None:
            stage.advance(chosen)
            watch.check_stop(run)

        chosen = select_coreset(
            patches,
            count,
            seed=run.seed,
            projection=projection,
            device=run.torch_device(),
            progress=advance,
            resume=resume,
            on_checkpoint=save,
        )
    save(chosen)
    return chosen


def most_members(size: int, limit: int | None, share: int, growth: float) -> int:
    """How many members a bank of `size` may have once it is taught.

    With a limit, so much more than that; without, so much more than its size, or `share` more, the coreset of
    what is taught, where that is larger.
    """
    return size + max(share, round(size * growth)) if limit is None else round(limit * (1 + growth))


def further_members(
    members: Tensor,
    patches: Tensor,
    most: int,
    *,
    projection: int | None,
    run: Run,
    watch: Watch = UNWATCHED,
) -> Tensor:
    """Indices of the patches (P, D) with which a bank of members (M, D) goes on, up to `most` in all.

    Raises:
        Stopped: the stop signal was set; the work is short and starts afresh.
    """
    room = max(0, most - len(members))
    with watch.stage("growing the bank", room) as stage:

        def advance(chosen: int) -> None:
            stage.advance(chosen)
            watch.check_stop(run)

        return continue_coreset(
            members,
            patches,
            room,
            seed=run.seed,
            projection=projection,
            device=run.torch_device(),
            progress=advance,
        )


def _fingerprint(patches: Tensor, count: int, projection: int | None, seed: int) -> Tensor:
    """What a kept selection must have been made from: (32,) bytes."""
    probe = patches[:: max(1, len(patches) // 4096)].float().contiguous().numpy()
    facts = f"{tuple(patches.shape)} {count} {projection} {seed}"
    digest = hashlib.sha256(facts.encode() + probe.tobytes()).digest()
    return torch.frombuffer(bytearray(digest), dtype=torch.uint8)
