"""One training of students and autoencoder against a frozen teacher, by EfficientAD's schedule."""

from __future__ import annotations

from contextlib import closing
from typing import Protocol

import torch
from torch import nn

from flawscope.nn.run import Run
from flawscope.nn.student_teacher.objective import Objective
from flawscope.nn.student_teacher.pictures import TrainingPictures
from flawscope.nn.training.loop import Loop, Patience
from flawscope.nn.training.reading import Ahead
from flawscope.nn.watch import Watch

DECAY_FROM, DECAY = 0.95, 0.1  # of the learning rate (EfficientAD, appendix A)


class Schedule(Protocol):
    """Options of the training.

    Attributes:
        steps: how many.
        learning_rate: Adam's; a tenth of it over the last 5 % of the steps.
        weight_decay: Adam's.
    """

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


def train(
    pictures: TrainingPictures,
    objective: Objective,
    learners: nn.Module,
    options: Schedule,
    *,
    run: Run,
    watch: Watch,
    name: str,
    patience: Patience | None = None,
) -> list[dict[str, float]]:
    """Train the learners, which lie on the run's device, in place; returns the loss curve.

    `name` is the checkpoint's; `patience` may end the training early.

    Raises:
        OptionError: a loss that is not finite.
        Stopped: the stop signal was set; the same call with the same run's checkpoints goes on from there.
    """
    device = run.torch_device()
    patience = patience or Patience(0, lambda: 0.0)
    batches = Ahead(pictures.batch, options.steps)
    loop = Loop(
        name=name,
        steps=options.steps,
        network=learners,
        optimiser=torch.optim.Adam(
            learners.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        ),
        run=run,
        watch=watch,
        step=lambda number: objective(batches(number).to(device)),
        schedule=lambda number: DECAY if number >= int(DECAY_FROM * options.steps) else 1.0,
        finished=patience,
        memory=patience.memory,
    )
    with closing(batches):
        return loop.go()
