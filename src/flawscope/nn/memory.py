"""Memory of this machine: what is free, what a run may take of it, and the refusal of what cannot fit."""

from __future__ import annotations

from pathlib import Path

import torch

from flawscope.errors import OptionError
from flawscope.nn.run import Run

_SHARE = 2  # at most one part in so many of the free memory is taken


def require_memory(needed: int, available: int | None, *, what: str, got: str, fix: str) -> None:
    """Refuse work that takes more bytes than are available; None: unknown, and never refused.

    Raises:
        OptionError: on `what`, with `got` as what was asked for.
    """
    if available is not None and needed > available:
        raise OptionError(what, expected=f"at most {gib(available)} of memory", got=got, fix=fix)


def budget(run: Run, *, on_device: bool = False) -> int:
    """Bytes that pictures or features may take: the run's limit and half of what is free at most.

    With `on_device` on a GPU: half of what is free there.
    """
    if on_device and run.torch_device().type == "cuda":
        free, _ = torch.cuda.mem_get_info(run.torch_device())
        return int(free) // _SHARE
    free_here = available_bytes()
    return run.memory if free_here is None else min(run.memory, free_here // _SHARE)


def available_bytes() -> int | None:
    """Memory that this process may still take, by the kernel and its control group; None: unknown."""
    limits = [_meminfo(), _control_group()]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def _meminfo() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _control_group() -> int | None:
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = (group / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else None


def gib(size: int) -> str:
    """Bytes as `1.5 GiB`."""
    return f"{size / 2**30:.1f} GiB"
