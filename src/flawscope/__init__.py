"""flawscope learns what good parts look like, then finds, locates and explains what is wrong.

The names below load on first use, so that `import flawscope` costs next to nothing. `train`, `learn` and
their recipes need the extra `train`; all others run without PyTorch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# flawscope calls nobody. These libraries would, and keep a number in the user's folder; they look here once,
# as they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from flawscope.data.layouts import read_dataset
    from flawscope.errors import FlawscopeError
    from flawscope.nn.run import Run
    from flawscope.nn.watch import Watch
    from flawscope.runtime.bundle import Bundle
    from flawscope.runtime.calibration import Calibration
    from flawscope.runtime.images import Frame, read_image
    from flawscope.runtime.inspector import Inspector
    from flawscope.runtime.overlay import heatmap_overlay
    from flawscope.runtime.prediction import Decision, Finding, Prediction, Region
    from flawscope.runtime.record import Record
    from flawscope.station.calibrate import calibrate
    from flawscope.station.deploy import deploy
    from flawscope.station.evaluate import evaluate
    from flawscope.station.inspection import inspect_pictures
    from flawscope.station.picture import inspect_one
    from flawscope.training.learn import learn
    from flawscope.training.recipe import LearnRecipe, Recipe
    from flawscope.training.train import train

_HOMES = {
    "Bundle": "flawscope.runtime.bundle",
    "Calibration": "flawscope.runtime.calibration",
    "Decision": "flawscope.runtime.prediction",
    "Finding": "flawscope.runtime.prediction",
    "FlawscopeError": "flawscope.errors",
    "Frame": "flawscope.runtime.images",
    "Inspector": "flawscope.runtime.inspector",
    "LearnRecipe": "flawscope.training.recipe",
    "Prediction": "flawscope.runtime.prediction",
    "Recipe": "flawscope.training.recipe",
    "Record": "flawscope.runtime.record",
    "Region": "flawscope.runtime.prediction",
    "Run": "flawscope.nn.run",
    "Watch": "flawscope.nn.watch",
    "calibrate": "flawscope.station.calibrate",
    "deploy": "flawscope.station.deploy",
    "evaluate": "flawscope.station.evaluate",
    "heatmap_overlay": "flawscope.runtime.overlay",
    "inspect_one": "flawscope.station.picture",
    "inspect_pictures": "flawscope.station.inspection",
    "learn": "flawscope.training.learn",
    "read_dataset": "flawscope.data.layouts",
    "read_image": "flawscope.runtime.images",
    "train": "flawscope.training.train",
}

__all__ = [
    "Bundle",
    "Calibration",
    "Decision",
    "Finding",
    "FlawscopeError",
    "Frame",
    "Inspector",
    "LearnRecipe",
    "Prediction",
    "Recipe",
    "Record",
    "Region",
    "Run",
    "Watch",
    "__version__",
    "calibrate",
    "deploy",
    "evaluate",
    "heatmap_overlay",
    "inspect_one",
    "inspect_pictures",
    "learn",
    "read_dataset",
    "read_image",
    "train",
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
