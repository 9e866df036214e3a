"""One training of EfficientAD's student and autoencoder against a frozen teacher (equation 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing

import torch
from torch import Tensor, nn

from flawscope.methods.efficientad.options import EfficientADOptions
from flawscope.methods.efficientad.pictures import Batch, TrainingPictures
from flawscope.nn.run import Run
from flawscope.nn.student_teacher.losses import cdo_loss, discrepancy, hard_loss, mean_square
from flawscope.nn.student_teacher.networks import Networks, at_centres, taps
from flawscope.nn.training.loop import Loop, Patience
from flawscope.nn.training.reading import Ahead
from flawscope.nn.watch import Watch

DECAY_FROM, DECAY = 0.95, 0.1


class Objective:
    """The sum of the four losses for one batch, at the run's precision."""

    def __init__(
        self, networks: Networks, options: EfficientADOptions, normalise: Callable[[Tensor], Tensor], run: Run
    ) -> None:
        self.networks, self.options, self.normalise, self.run = networks, options, normalise, run
        self.levels = options.hierarchy or (1.0,)
        self.depth = len(self.levels)
        self.taps = torch.compile(taps) if options.compile else taps
        self.rebuild = torch.compile(networks.autoencoder) if options.compile else networks.autoencoder

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name; `total` is their weighted sum. A loss whose coefficient is 0 is not computed."""
        options, networks = self.options, self.networks
        with self.run.autocast():
            pixels = self.normalise(batch.pixels)
            with torch.no_grad():
                target = [level.float() for level in self.taps(networks.teacher, pixels, self.depth)]
            output = [level.float() for level in self.taps(networks.student, pixels, self.depth)]
        channels = target[-1].shape[1]
        grid = (target[-1].shape[2], target[-1].shape[3])
        normal = None
        if batch.defects is not None and options.defects_reach == "penalty":
            normal = ~at_centres(batch.defects, networks.cells[-1], grid)
        losses: dict[str, Tensor] = {}
        if options.hard_weight:
            losses["hard"] = hard_loss(target[-1], output[-1][:, :channels], options.hard_quantile, normal)
        if options.penalty != "none" and options.penalty_weight:
            losses["penalty"] = (
                self._cdo(target, output, batch.defects)
                if options.penalty == "cdo"
                else self._natural(batch, channels)
            )
        losses |= self._global(batch, target[-1], output[-1], normal)
        return {"total": self._sum(losses), **losses}

    def _sum(self, losses: Mapping[str, Tensor]) -> Tensor:
        coefficients = {
            "hard": self.options.hard_weight,
            "penalty": self.options.penalty_weight,
            "autoencoder": self.options.autoencoder_weight,
            "stae": self.options.stae_weight,
        }
        return torch.stack([coefficients[name] * loss for name, loss in losses.items()]).sum()

    def _cdo(self, target: list[Tensor], output: list[Tensor], mask: Tensor | None) -> Tensor:
        """L_CDO, over the levels of equation 4.11 weighted by their α_h."""
        losses = []
        levels = zip(self.levels, self.networks.cells[-self.depth :], target, output, strict=True)
        for weight, where, teacher, student in levels:
            distances = discrepancy(teacher, student[:, : teacher.shape[1]])  # (N, h, w)
            defects = torch.zeros_like(distances, dtype=torch.bool)
            if mask is not None:
                defects = at_centres(mask, where, (distances.shape[1], distances.shape[2]))
            losses.append(weight * cdo_loss(distances, defects, self.options.gamma))
        return torch.stack(losses).sum()

    def _natural(self, batch: Batch, channels: int) -> Tensor:
        """L_OOD: the student's mean squared output on natural pictures."""
        if batch.natural is None:
            raise RuntimeError("L_OOD without natural pictures")  # fit checks this
        with self.run.autocast():
            output = self.taps(self.networks.student, self.normalise(batch.natural), 1)[-1]
        return output[:, :channels].float().square().mean()

    def _global(
        self, batch: Batch, target: Tensor, output: Tensor, normal: Tensor | None
    ) -> dict[str, Tensor]:
        """L_AE and L_STAE, on the pictures of varied appearance where there are such."""
        options, networks = self.options, self.networks
        if not (options.autoencoder_weight or options.stae_weight):
            return {}
        seen = batch.pixels if batch.varied is None else batch.varied
        with self.run.autocast():
            pixels = self.normalise(seen)
            if batch.varied is not None:
                normal = None
                with torch.no_grad():
                    target = self.taps(networks.teacher, pixels, 1)[-1].float()
                if options.stae_weight:
                    output = self.taps(networks.student, pixels, 1)[-1].float()
            rebuilt = self.rebuild(pixels).float()
        losses = {}
        if options.autoencoder_weight:
            losses["autoencoder"] = mean_square(target, rebuilt, normal)
        if options.stae_weight:
            losses["stae"] = mean_square(rebuilt, output[:, target.shape[1] :], normal)
        return losses


def train(
    pictures: TrainingPictures,
    objective: Objective,
    tuning_loss: Callable[[], float],
    watch: Watch,
    *,
    name: str,
) -> list[dict[str, float]]:
    """Train student and autoencoder in place; returns the loss curve. `name` is the checkpoint's.

    Raises:
        Stopped: the stop signal was set; the same call with the same run's checkpoints goes on from there.
    """
    options, run, networks = objective.options, objective.run, objective.networks
    device = run.torch_device()
    learners = nn.ModuleDict({"student": networks.student, "autoencoder": networks.autoencoder})
    patience = Patience(options.early_stop, tuning_loss)
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
