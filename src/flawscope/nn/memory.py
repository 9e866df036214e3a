"""Memory of this machine: what is free, what a run may take of it, and the refusal of what cannot fit."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from flawscope.errors import OptionError
from flawscope.nn.run import Run

_SHARE = 2  # at most one part in so many of the free memory is taken
_TRIM, _MAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's mallopt
_NEVER = 2**31 - 1
_DEFAULTS = {_MAP: 32 << 20, _TRIM: 64 << 20}  # where glibc's own thresholds end up as large blocks are freed


@contextmanager
def memory_kept() -> Iterator[None]:
    """Within, memory that is freed stays with the process; afterwards it goes back to the system.

    glibc gives large blocks back as soon as they are free. A step of training asks for the same ones again,
    and gets them page by page: EfficientAD's 30 000 pages, which took a twentieth of the step. Without glibc
    this does nothing.
    """
    glibc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if glibc is None or not hasattr(glibc, "mallopt"):
        yield
        return
    for threshold, default in _DEFAULTS.items():
        # an older glibc refuses more than 32 MiB; left alone it would go on mapping blocks of 128 KiB
        if not glibc.mallopt(threshold, _NEVER):
            glibc.mallopt(threshold, default)
    try:
        yield
    finally:
        for threshold, default in _DEFAULTS.items():
            glibc.mallopt(threshold, default)
        glibc.malloc_trim(0)


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
