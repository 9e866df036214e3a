"""Milliseconds that a picture may take: a detector of several parts leaves some out until they are kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from flawscope.data.pictures import Pictures
from flawscope.methods.detector import Detector
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.engines import Pair
from flawscope.runtime.timing import PICTURES, measured_speeds
from flawscope.training.export import export
from flawscope.training.parity import opened


@runtime_checkable
class KeepsBudget(Protocol):
    """A detector of several parts, which can do with fewer where a picture takes too long."""

    @property
    def budget(self) -> float | None:
        """Most milliseconds that a picture may take; None: any."""

    def within_budget(self, measure: Callable[[Detector], float], watch: Watch) -> Detector:
        """The fitted detector, or one of fewer parts; `watch` is told what is left out, and why.

        `measure` finds the milliseconds a picture of one.
        """


def has_budget(detector: Detector) -> bool:
    """Whether the detector's options name a budget that it can keep."""
    return isinstance(detector, KeepsBudget) and detector.budget is not None


def within_budget(
    detector: Detector, pictures: Pictures, engines: Sequence[Pair], watch: Watch = UNWATCHED
) -> Detector:
    """The fitted detector, or one with fewer parts; each is exported and timed as models are.

    Args:
        detector: fitted.
        pictures: some at its frame, eight of which are answered in turn.
        engines: those that may run the model. The fastest in float32 counts: half precision may only be
            faster, and whether it answers alike is not known yet.
        watch: is told what is left out, and why.
    """
    if not isinstance(detector, KeepsBudget) or detector.budget is None:
        return detector
    some = [pictures[index] for index in range(min(PICTURES, len(pictures)))]
    pairs = [pair for pair in engines if pair[1] == "fp32"] or list(engines)

    def milliseconds(one: Detector) -> float:
        with watch.stage("timing members", 1) as stage, tempfile.TemporaryDirectory() as folder:
            graphs = export(one, Path(folder))
            speeds = measured_speeds(opened(graphs, pairs, {pairs[0]}, watch), some)
            stage.advance()
        return min(row.milliseconds for row in speeds.rows)

    return detector.within_budget(milliseconds, watch)
