"""Greedy k-centre selection of a memory bank, exact on its projected space.

PatchCore (Roth et al., 2022), section 3.2 and algorithm 1: the bank is thinned by choosing, again and again,
the patch that lies farthest from all patches chosen so far, measured after a random linear projection
(Johnson-Lindenstrauss). Here that sequence is computed without walking over all N patches for each choice:

1. Integers. The projected patches are centred, scaled and rounded to integer coordinates of norm at most
   2048. Each product and each partial sum of a squared distance is then an integer of at most 2**24, which
   float32 holds exactly, so the distances do not depend on the order of summation, the number of threads or
   the device, and the choice below is equal to the plain loop's, not close to it.
2. Pool. Distances to the chosen set only ever fall. After a full update, the patches whose distance is at or
   above the pool's floor form a pool; everything outside lies at or below the floor. While the farthest patch
   of the pool stays above the floor it is the farthest of all, and only the pool has to be updated for it.
3. Blocks. When the pool is used up, all patches catch up with the hundreds of centres chosen meanwhile in one
   blocked matrix product, which runs from the caches instead of from memory.

Ties fall to the lowest index.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from flawscope.errors import DataError, OptionError
from flawscope.nn.run import full_float32

PROJECTION = 64
GRID_NORM = 2048  # 4 * 2048**2 = 2**24: the largest squared distance, exact in float32
POOL = 4096
CHECKPOINT_SECONDS = 5.0
BLOCK_ROWS, BLOCK_COLUMNS = 4096, 512  # one block of distances: 8 MiB, inside the last-level cache
_READ_ROWS = 32768


def coreset_size(patches: int, ratio: float) -> int:
    """Patches that a coreset of `ratio` in (0, 1] keeps: at least one, rounded down.

    Raises:
        OptionError: `ratio` lies outside (0, 1].
    """
    if not 0 < ratio <= 1:
        expected, fix = "a number above 0 and at most 1", "Try 0.1 or 0.01."
        raise OptionError("coreset ratio", expected=expected, got=repr(ratio), fix=fix)
    return max(1, int(patches * ratio))


def select_coreset(
    features: Tensor | Iterable[Tensor],
    count: int,
    *,
    seed: int = 0,
    projection: int | None = PROJECTION,
    device: torch.device | str | None = None,
    progress: Callable[[int], None] | None = None,
    resume: Tensor | None = None,
    on_checkpoint: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Choose `count` patches by greedy k-centre (see the module's text).

    Beside `features`, which is read once and in chunks, no more than 2 N * (projection + 2) float32 values
    are held. A tensor may be memory-mapped (`flawscope.nn.banks.store`); chunks may come from anywhere.

    Args:
        features: (N, D) patches, or chunks of them (n, D) in order.
        count: patches to choose, 1 to N.
        seed: of the projection and of the first choice.
        projection: dimensions of the Gaussian projection; None, or no fewer than D, leaves the patches as
            they are (on the integer grid).
        device: where the search runs; by default where the features are.
        progress: called with how many more centres are chosen; it may raise to stop.
        resume: indices that an interrupted call with the same arguments had chosen; the result is the same.
        on_checkpoint: called with the indices chosen so far, every few seconds.

    Returns:
        (count,) int64 indices on the CPU, in the order of choice.

    Raises:
        OptionError: `count`, `projection` or `resume` does not fit the patches.
        DataError: a patch holds NaN or infinity.
    """
    with full_float32():
        points = _Points(_projected(features, projection, seed, device))
    if not 1 <= count <= points.size:
        expected, fix = f"1 to {points.size} patches", "Lower the ratio or add pictures."
        raise OptionError("coreset", expected=expected, got=str(count), fix=fix)
    first = int(np.random.default_rng(seed).integers(points.size))
    chosen = [first] if resume is None else _checked(resume, first, count, points.size)
    saved = time.monotonic()
    with full_float32():
        if progress is not None:
            progress(len(chosen))
        points.cover(torch.tensor(chosen))
        while len(chosen) < count:
            if on_checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                on_checkpoint(torch.tensor(chosen))
                saved = time.monotonic()
            further = points.farthest(count - len(chosen))
            points.cover(torch.tensor(further))
            chosen += further
            if progress is not None:
                progress(len(further))
    return torch.tensor(chosen)


def continue_coreset(
    members: Tensor,
    patches: Tensor,
    most: int,
    *,
    seed: int = 0,
    projection: int | None = PROJECTION,
    device: torch.device | str | None = None,
    progress: Callable[[int], None] = lambda chosen: None,
) -> Tensor:
    """Choose up to `most` of further patches (P, D) for a bank of members (M, D), the farthest ones first.

    Greedy k-centre goes on from the members, down to the radius that they cover: it leaves no patch farther
    from its choices than the nearest two of these lie from each other, so that none within would be chosen.
    Arguments are otherwise those of `select_coreset`, and so are errors.

    Returns:
        indices of the patches in the order of choice, int64 on the CPU.
    """
    chosen: list[int] = []
    with full_float32():
        points = _Points(_projected(_in_chunks(members, patches), projection, seed, device))
        radius, room = points.spacing(len(members)), min(most, len(patches))
        points.cover(torch.arange(len(members)))
        while len(chosen) < room and (further := points.farthest(room - len(chosen), beyond=radius)):
            points.cover(torch.tensor(further))
            chosen += further
            progress(len(further))
    return torch.tensor(chosen, dtype=torch.int64) - len(members)


class _Points:
    """All patches on the integer grid, and how far each is from the nearest chosen one."""

    def __init__(self, grid: Tensor) -> None:
        # row (-2x, |x|^2, 1) times column (c, 1, |c|^2) is the squared distance of x and c
        self.rows, self.dim = grid, grid.shape[1] - 2
        self.size = len(grid)
        self.nearest = torch.full((self.size,), math.inf, device=grid.device)  # (N,), -1 for the chosen

    def columns(self, indices: Tensor) -> Tensor:
        rows = self.rows[indices.to(self.rows.device)]
        coordinates, norms, ones = rows[:, : self.dim] * -0.5, rows[:, -2:-1], rows[:, -1:]
        return torch.cat([coordinates, ones, norms], 1).T.contiguous()  # (d + 2, n)

    def cover(self, chosen: Tensor) -> None:
        """Bring every patch's distance up to date with newly chosen ones."""
        blocks = [self.columns(some) for some in torch.split(chosen, BLOCK_COLUMNS)]
        for rows, nearest in zip(
            torch.split(self.rows, BLOCK_ROWS), torch.split(self.nearest, BLOCK_ROWS), strict=True
        ):
            for columns in blocks:
                torch.minimum(nearest, (rows @ columns).amin(1), out=nearest)
        self.nearest[chosen.to(self.nearest.device)] = -1

    def spacing(self, count: int) -> float:
        """Smallest squared distance between two of the first `count` patches; 0 for a single one."""
        least, rows = math.inf, self.rows[:count]
        for some in torch.split(torch.arange(count), BLOCK_COLUMNS):
            apart = rows @ self.columns(some)  # (count, n)
            apart[some, torch.arange(len(some))] = math.inf
            least = min(least, float(apart.min()))
        return least if count > 1 else 0.0

    def farthest(self, room: int, beyond: float = -1.0) -> list[int]:
        """The next choices, at most `room`, as long as the pool proves them right; at least one.

        There may be none where the squared distance must lie `beyond` a bound.
        """
        members, floor, tie = self._pool()
        rows = self.rows[members].cpu().numpy()
        columns = np.ascontiguousarray(self.columns(members).T.cpu().numpy())
        nearest, indices = self.nearest[members].cpu().numpy(), members.cpu().numpy()
        found: list[int] = []
        while len(found) < room:
            best = int(nearest.argmax())
            out = nearest[best] < floor or (nearest[best] == floor and indices[best] > tie)
            if out or nearest[best] <= beyond:
                break
            found.append(int(indices[best]))
            np.minimum(nearest, rows @ columns[best], out=nearest)
            nearest[best] = -1
            if len(found) % 32 == 0:
                live = nearest >= floor
                if live.mean() < 0.75:
                    rows, columns, nearest, indices = rows[live], columns[live], nearest[live], indices[live]
            if not len(indices):
                break
        return found

    def _pool(self) -> tuple[Tensor, float, int]:
        """The farthest patches by index, the floor, and the first index outside that is on the floor."""
        floor = float(self.nearest.topk(min(POOL, self.size)).values[-1])
        if floor < 0:  # fewer patches than the pool holds are left
            return (self.nearest >= 0).nonzero().flatten(), 0.0, self.size
        above = (self.nearest > floor).nonzero().flatten()
        ties = (self.nearest == floor).nonzero().flatten()
        taken = POOL - len(above)
        members = torch.cat([above, ties[:taken]]).sort().values
        return members, floor, int(ties[taken]) if len(ties) > taken else self.size


def _in_chunks(*features: Tensor) -> Iterator[Tensor]:
    return itertools.chain.from_iterable(torch.split(each, _READ_ROWS) for each in features)


def _projected(
    features: Tensor | Iterable[Tensor], projection: int | None, seed: int, device: torch.device | str | None
) -> Tensor:
    """The rows (-2x, |x|^2, 1) of all patches, x on the integer grid: (N, d + 2) float32."""
    chunks = iter(_in_chunks(features) if isinstance(features, Tensor) else features)
    first = next(chunks, None)
    if first is None or first.ndim != 2 or not first.shape[1]:
        got = "none" if first is None else f"shape {tuple(first.shape)}"
        raise DataError(
            "patch features", expected="chunks of shape (n, D)", got=got, fix="Pass at least one patch."
        )
    device = torch.device(device) if device is not None else first.device
    matrix = _projection_matrix(first.shape[1], projection, seed)
    matrix = None if matrix is None else matrix.to(device)
    projected = [
        chunk.to(device, torch.float32) if matrix is None else chunk.to(device, torch.float32) @ matrix
        for chunk in itertools.chain([first], chunks)
    ]
    dim = projected[0].shape[1]
    rows = torch.ones(sum(map(len, projected)), dim + 2, device=device)
    centre = sum(
        (chunk.sum(0, dtype=torch.float64) for chunk in projected), torch.zeros((), device=device)
    ) / len(rows)
    for block, chunk in zip(torch.split(rows, [len(chunk) for chunk in projected]), projected, strict=True):
        torch.sub(chunk, centre.float(), out=block[:, :dim])
    del projected
    return _on_grid(rows, dim)


def _on_grid(rows: Tensor, dim: int) -> Tensor:
    """Scale and round centred coordinates in place (column d takes the squared norm, d + 1 stays 1)."""
    largest = max(float(block[:, :dim].norm(dim=1).max()) for block in torch.split(rows, _READ_ROWS))
    if not math.isfinite(largest):
        raise DataError(
            "patch features",
            expected="finite numbers",
            got="NaN or infinity",
            fix="Check the backbone's weights, or use float32 precision.",
        )
    scale = (
        (GRID_NORM - math.sqrt(dim) / 2) / largest if largest else 1.0
    )  # rounding adds sqrt(d) / 2 at most
    for block in torch.split(rows, _READ_ROWS):
        coordinates = block[:, :dim].mul_(scale).round_()
        block[:, dim] = coordinates.square().sum(1)
        coordinates.mul_(-2)
    return rows


def _projection_matrix(dim: int, projection: int | None, seed: int) -> Tensor | None:
    if projection is not None and projection < 1:
        expected = "a positive number of dimensions, or none"
        raise OptionError("projection", expected=expected, got=str(projection), fix="Try 64.")
    if projection is None or projection >= dim:
        return None
    return torch.randn(dim, projection, generator=torch.Generator().manual_seed(seed)) / math.sqrt(projection)


def _checked(resume: Tensor, first: int, count: int, size: int) -> list[int]:
    chosen = [int(index) for index in resume.tolist()]
    fits = (
        chosen[:1] == [first]
        and len(set(chosen)) == len(chosen) <= count
        and min(chosen) >= 0
        and max(chosen) < size
    )
    if not fits:
        raise OptionError(
            "resumed coreset",
            expected=f"up to {count} different indices below {size} that begin with {first}",
            got=f"{len(chosen)} indices of another selection",
            fix="Delete the checkpoint and start again.",
        )
    return chosen
