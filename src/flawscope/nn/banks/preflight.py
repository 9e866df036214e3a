"""What a memory bank will cost on this machine, in seconds and bytes, before the work starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from flawscope.nn.banks.coreset import BLOCK_COLUMNS, BLOCK_ROWS, POOL, PROJECTION
from flawscope.nn.memory import available_bytes, gib, require_memory

_PROBE_ROWS = 2048
_PROBE_PICTURES = 4  # side by side, as fit sees them: one alone keeps a busy machine's cores waiting
_PROBE_QUERIES = 256
_FLOAT = 4
_WORKSPACE_BYTES = 64 * 2**20  # chunks on their way, and the buffers of the matrix library


@dataclass(frozen=True, slots=True)
class Preflight:
    """Estimated cost of filling a memory bank.

    Attributes:
        seconds: of the selection, without the backbone's share.
        bytes: peak memory beyond what the process holds already.
        available_bytes: what the machine has free; None: unknown.
        seconds_a_picture: the backbone's share, for each time that it sees a picture; 0: not measured.
        lasting: those of `bytes` that lie there while others are filled, too: features and the bank.
        seconds_a_search: what scoring a picture takes beyond that; 0: not measured.
    """

    seconds: float
    bytes: int
    available_bytes: int | None
    seconds_a_picture: float = 0.0
    lasting: int = 0
    seconds_a_search: float = 0.0

    def require(self) -> None:
        """Refuse what cannot fit.

        Raises:
            OptionError: the estimate exceeds the memory available.
        """
        require_memory(
            self.bytes,
            self.available_bytes,
            what="memory bank",
            got=f"an estimate of {gib(self.bytes)}",
            fix="Lower the coreset ratio, the picture size or the number of pictures, or add memory.",
        )


def estimate(
    patches: int, dim: int, count: int, *, projection: int | None = PROJECTION, stored: bool = True
) -> Preflight:
    """Estimate `select_coreset` on the CPU from a probe of some tens of milliseconds.

    Args:
        patches: N.
        dim: D, features of a patch.
        count: patches to choose.
        projection: dimensions of the projection, as in `select_coreset`.
        stored: whether the (N, D) float32 features lie in memory; otherwise in a file, or made on the way.
    """
    low = dim if projection is None else min(projection, dim)
    data = torch.rand(_PROBE_ROWS, dim)
    matrix = torch.rand(dim, low)
    project = fastest(lambda: data @ matrix) / _PROBE_ROWS if low < dim else 0.0
    rows, columns = torch.rand(BLOCK_ROWS, low + 2), torch.rand(low + 2, BLOCK_COLUMNS)
    cover = fastest(lambda: (rows @ columns).amin(1)) / (BLOCK_ROWS * BLOCK_COLUMNS)
    pool, centre = torch.rand(POOL, low + 2), torch.rand(low + 2)
    choose = fastest(lambda: pool @ centre)
    projected = low if low < dim else 0  # without a projection the features themselves are read
    lasting = (patches * dim if stored else 0) + 2 * count * dim  # the bank, and its copy in the model
    passing = patches * (projected + low + 8)  # besides rows on the grid: distances, masks, indices
    return Preflight(
        seconds=patches * (project + count * cover) + count * choose,
        bytes=_FLOAT * (lasting + passing + 3 * BLOCK_ROWS * BLOCK_COLUMNS) + _WORKSPACE_BYTES,
        available_bytes=available_bytes(),
        lasting=_FLOAT * lasting,
    )


def together(costs: Iterable[Preflight], *, seconds_a_picture: float = 0.0) -> Preflight:
    """Several banks' costs as one: selected one after the other, with all patches side by side."""
    each = tuple(costs)
    lasting = sum(cost.lasting for cost in each)
    return Preflight(
        seconds=sum(cost.seconds for cost in each),
        bytes=lasting + max(cost.bytes - cost.lasting for cost in each),
        available_bytes=each[0].available_bytes,
        seconds_a_picture=seconds_a_picture,
        lasting=lasting,
    )


def in_turn(costs: Sequence[Preflight]) -> Preflight:
    """The costs of detectors that are trained one after the other, as one."""
    return Preflight(
        sum(cost.seconds for cost in costs),
        max(cost.bytes for cost in costs),
        costs[0].available_bytes,
        sum(cost.seconds_a_picture for cost in costs),
        seconds_a_search=sum(cost.seconds_a_search for cost in costs),
    )


def after_seeing(cost: Preflight, seeing: int) -> Preflight:
    """The cost with that of the network's pass before, which takes `seeing` bytes beside what lasts.

    Either may be the peak: the selection of many pictures' patches, or a large network's maps of a few.
    """
    return replace(cost, bytes=max(cost.bytes, cost.lasting + seeing + _WORKSPACE_BYTES))


def seconds_a_picture(network: nn.Module, size: Sequence[int]) -> float:
    """How long a network takes for one picture of a size (height, width) on the CPU; leaves it as it was."""
    training = network.training
    try:
        with torch.inference_mode():
            pixels = torch.zeros(_PROBE_PICTURES, 3, *size)
            return fastest(lambda: network.eval()(pixels), repeats=1) / _PROBE_PICTURES
    finally:
        network.train(training)


def seconds_a_search(cells: int, dim: int, count: int) -> float:
    """How long a picture of so many cells takes to be held against a bank (count, dim) on the CPU."""
    queries, members = torch.rand(_PROBE_QUERIES, dim), torch.rand(count, dim)
    return fastest(lambda: F.linear(queries, members).amin(1)) * cells / _PROBE_QUERIES


def fastest(work: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of the fastest of so many times, after a first one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
