"""The early stop of a training."""

from __future__ import annotations

from collections.abc import Callable

import torch

_CHECKS = 4  # looks at the loss within the patience


class Patience:
    """Ends a training once a loss has not become smaller for some steps: `finished` of a `Loop`.

    Args:
        steps: after which the training ends; 0: never.
        loss: on pictures that are not learnt from, asked for four times within those steps.

    Attributes:
        memory: of the `Loop`: the smallest loss, and the step after which it was.
    """

    def __init__(self, steps: int, loss: Callable[[], float]) -> None:
        self.steps, self.loss = steps, loss
        self.memory = {"best": torch.tensor([float("inf"), 0.0], dtype=torch.float64)}

    def __call__(self, done: int) -> bool:
        """Whether to end after `done` steps."""
        if not self.steps or done % max(1, self.steps // _CHECKS):
            return False
        best, best_step = self.memory["best"].tolist()
        loss = self.loss()
        if loss < best:
            self.memory["best"] = torch.tensor([loss, float(done)], dtype=torch.float64)
            return False
        return bool(done - best_step >= self.steps)
