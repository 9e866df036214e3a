"""Options under check, small enough for every run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from flawscope.nn.run import RunPrecision

# timm's smallest networks, quick to build, to train and above all to export
SMALL = {"size": (64, 64), "weights": "random", "backbone": "test_resnet"}
NETWORK = {"weights": "random", "backbone": "test_resnet"}
BLOCKS = {"aspect": "pad", "backbone": "test_efficientnet", "weights": "random"}


@dataclass(frozen=True)
class Kept:
    """A method's options under check, whether its graph is checked too, and why a check need not hold.

    The checks named in `slow` are made with `--all` alone: the same method keeps them in every run at options
    that cost less.
    """

    options: Mapping[str, Any]
    export: bool = True
    exceptions: Mapping[str, str] = field(default_factory=dict)
    slow: Collection[str] = ()
    precision: RunPrecision = "auto"


TUNED = {"tuning_pictures_teach_nothing": "forest and classifier learn from them; its detectors do not"}


# that hold at other options if they hold at a method's defaults, as long as a resumed training gives the same
REPEATED = (
    "fitting_again_gives_the_same",
    "another_seed_gives_another_model",
    "tuning_pictures_teach_nothing",
)


GRAPH = (
    "every_engine_agrees",
    "scalars_turn_the_graph",
    "the_inspector_answers_plain_pictures",
    "large_pictures_are_answered_in_tiles",
)
