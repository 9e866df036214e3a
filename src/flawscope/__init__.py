"""flawscope learns what good parts look like, then finds, locates and explains what is wrong.

The names below load on first use, so that `import flawscope` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from flawscope.errors import FlawscopeError
    from flawscope.runtime.bundle import Bundle
    from flawscope.runtime.calibration import Calibration
    from flawscope.runtime.images import Frame, read_image
    from flawscope.runtime.inspector import Inspector
    from flawscope.runtime.overlay import heatmap_overlay
    from flawscope.runtime.prediction import Decision, Finding, Prediction, Region

_HOMES = {
    "Bundle": "flawscope.runtime.bundle",
    "Calibration": "flawscope.runtime.calibration",
    "Decision": "flawscope.runtime.prediction",
    "Finding": "flawscope.runtime.prediction",
    "FlawscopeError": "flawscope.errors",
    "Frame": "flawscope.runtime.images",
    "Inspector": "flawscope.runtime.inspector",
    "Prediction": "flawscope.runtime.prediction",
    "Region": "flawscope.runtime.prediction",
    "heatmap_overlay": "flawscope.runtime.overlay",
    "read_image": "flawscope.runtime.images",
}

__all__ = [
    "Bundle",
    "Calibration",
    "Decision",
    "Finding",
    "FlawscopeError",
    "Frame",
    "Inspector",
    "Prediction",
    "Region",
    "__version__",
    "heatmap_overlay",
    "read_image",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
