"""Gradient descent on the maps of a frozen backbone, which runs once for each picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from flawscope.methods.detector import BackboneOptions
from flawscope.nn.run import Run
from flawscope.nn.training.loop import Loop, Losses
from flawscope.nn.training.stores import FeatureStore, shuffled, steps_of
from flawscope.nn.watch import Watch


class DescentOptions(BackboneOptions):
    """Options of methods that learn by gradient descent on a frozen backbone's maps."""

    epochs: int = Field(ge=1, description="passes over the training pictures")
    steps: int | None = Field(
        None, ge=1, description="training steps in place of the epochs, for shortened training"
    )
    batch: int = Field(ge=2, description="pictures a step")
    learning_rate: float = Field(gt=0, description="Adam's")

    def steps_for(self, count: int) -> int:
        """Training steps over `count` pictures."""
        return self.steps or steps_of(self.epochs, count, self.batch)


def descend(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    losses: Callable[[Mapping[str, Tensor]], Losses],
    store: FeatureStore,
    *,
    options: DescentOptions,
    run: Run,
    watch: Watch,
    name: str,
) -> list[dict[str, float]]:
    """Train `network` in place on the run's device; returns the loss curve.

    Args:
        network: what learns, in channels-last order while it does; afterwards frozen, in evaluation mode.
        optimiser: over its parameters.
        losses: of maps {layer: (n, C, h, w)} float32; `total` is descended. Products are in the run's
            training format.
        store: the pictures' maps.
        options: batch and number of steps.
        run: seed, device, checkpoints.
        name: of the checkpoint.

    Raises:
        Stopped: the stop signal was set; the same call with the same run's checkpoints goes on from there.
    """

    def step(number: int) -> Losses:
        maps = store.batch(shuffled(len(store), options.batch, number, run))
        with run.autocast():
            return losses(maps)

    return Loop(name, options.steps_for(len(store)), network, optimiser, run, watch, step).go()
