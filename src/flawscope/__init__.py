"""flawscope learns what good parts look like, then finds, locates and explains what is wrong.

The names below load on first use, so that `import flawscope` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from flawscope.bundle import Bundle
    from flawscope.calibration import Calibration
    from flawscope.errors import FlawscopeError
    from flawscope.images import Frame, read_image
    from flawscope.inspector import Inspector
    from flawscope.overlay import heatmap_overlay
    from flawscope.prediction import Decision, Finding, Prediction, Region

_HOMES = {
    "Bundle": "flawscope.bundle",
    "Calibration": "flawscope.calibration",
    "Decision": "flawscope.prediction",
    "Finding": "flawscope.prediction",
    "FlawscopeError": "flawscope.errors",
    "Frame": "flawscope.images",
    "Inspector": "flawscope.inspector",
    "Prediction": "flawscope.prediction",
    "Region": "flawscope.prediction",
    "heatmap_overlay": "flawscope.overlay",
    "read_image": "flawscope.images",
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
