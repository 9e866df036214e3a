"""Detectors that good pictures may give nothing to compare; where there are others, one does without them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from flawscope.data.training import TrainingData
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch


@runtime_checkable
class MayBeIdle(Protocol):
    """A detector that can be fitted and have nothing to compare."""

    def idle(self) -> str:
        """Why it has nothing to compare though it is fitted, as users read it; mostly empty."""


@runtime_checkable
class LooksFirst(Protocol):
    """A detector that sees in a few pictures, before a long fit, when it would have nothing to compare."""

    def unsuited(self, data: TrainingData, run: Run, watch: Watch) -> str:
        """Why it would have nothing to compare, as users read it, from a look at some of `data.normal`.

        Empty where it would, or where only the fit can tell.

        Raises:
            InputError: a picture that cannot be read.
            Stopped: the stop signal was set.
        """
