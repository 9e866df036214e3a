"""The header of every result: which machine, which versions, which command.

Interpreters without flawscope import it too, for the versions.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from importlib.metadata import version
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, memory, load before the run, system, Python."""
    from flawscope.runtime.engines import usable_cores
    from flawscope.runtime.machine import processor

    return {
        "processor": processor(),
        "cores": usable_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def hardware(device: str = "cpu") -> str:
    """Name of the processor, after that of the GPU where that is the device."""
    import torch

    from flawscope.runtime.machine import processor

    if torch.device(device).type != "cuda":
        return processor()
    return f"{torch.cuda.get_device_name(device)}, {processor()}"


def versions(*packages: str) -> dict[str, str]:
    """Of Python and the packages, by name."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def command() -> str:
    """The command line that is running."""
    return shlex.join(["python", *sys.argv])
