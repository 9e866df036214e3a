"""The machine that this runs on: processor, its units, cores."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_UNITS = (  # of x86, then of ARM
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimdhp", "asimddp", "bf16", "i8mm", "sve", "sme"),
)


def hardware() -> str:
    """Processor, cores, system and architecture of this machine, in one line."""
    return f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def units() -> tuple[str, ...]:
    """Units of the processor that speed a model up, by the system's names; empty where it does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    told = (line.split(":", 1)[1] for line in lines if line.startswith(("flags", "Features")))
    found = set(next(told, "").split())
    return tuple(name for name in _UNITS if name in found)
