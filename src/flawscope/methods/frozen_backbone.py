"""Gradient descent on the maps of a frozen backbone, which runs once for each picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from flawscope.data.training import TrainingData
from flawscope.methods.detector import BackboneOptions, Detector, Learnt
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.run import Run
from flawscope.nn.training.fingerprint import fingerprint
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


class DescentDetector(Detector):
    """Learns from good pictures by Adam on the maps of a frozen backbone."""

    options: DescentOptions

    @abstractmethod
    def losses(self, maps: Mapping[str, Tensor]) -> Losses:
        """Of maps {layer: (n, C, h, w)} float32; `total` is descended."""

    def descend(
        self, network: nn.Module, backbone: Backbone, data: TrainingData, run: Run, watch: Watch, **adam: Any
    ) -> Learnt:
        """Train `network`, new and on the run's device, on the backbone's maps of `data.normal`.

        Products are in the run's training format; `adam` are further settings of the optimiser.

        Raises:
            WeightsError: no weights for the backbone.
        """
        options = self.options
        if options.weights == "pretrained":
            load_pretrained(backbone)
        store = FeatureStore(backbone, data.normal, run, watch)
        optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True, **adam)
        name = f"{self.name}-{fingerprint(options, run, (data.normal,), backbone)}"

        def step(number: int) -> Losses:
            maps = store.batch(shuffled(len(store), options.batch, number, run))
            with run.autocast():
                return self.losses(maps)

        steps = options.steps_for(len(store))
        return Learnt(history=Loop(name, steps, network, optimiser, run, watch, step).go())
