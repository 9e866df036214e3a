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
from flawscope.nn.student_teacher.networks import ALL, Networks, at_centres, taps, touched
from flawscope.nn.training.loop import Loop, Patience
from flawscope.nn.training.reading import Ahead
from flawscope.nn.watch import Watch

Taps = Callable[[nn.Sequential, Tensor, int, slice], list[Tensor]]

DECAY_FROM, DECAY = 0.95, 0.1


class Objective:
    """The sum of the four losses for one batch, at the run's precision."""

    def __init__(
        self, networks: Networks, options: EfficientADOptions, normalise: Callable[[Tensor], Tensor], run: Run
    ) -> None:
        self.networks, self.options, self.normalise, self.run = networks, options, normalise, run
        self.depth = len(options.hierarchy)
        # the student's first half of channels imitates the teacher, its second the autoencoder
        self.local, self.whole = slice(options.channels), slice(options.channels, None)
        self.taps: Taps = torch.compile(taps) if options.compile else taps
        self.rebuild = torch.compile(networks.autoencoder) if options.compile else networks.autoencoder

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name; `total` is their weighted sum. A loss whose coefficient is 0 is not computed.

        L_Hard, L_AE and L_STAE see pictures without synthetic defects, L_CDO alone those with them: the three
        components of the thesis's chapter 4.
        """
        options = self.options
        both = batch.varied is None and options.stae_weight > 0
        target, output = self._both(batch.pixels, self.taps, ALL if both else self.local)
        whole = output.pop() if both else None
        losses: dict[str, Tensor] = {}
        if options.hard_weight:
            losses["hard"] = hard_loss(target[-1], output[-1], options.hard_quantile)
        if options.penalty != "none" and options.penalty_weight:
            losses["penalty"] = (
                self._cdo(batch, target, output) if options.penalty == "cdo" else self._natural(batch)
            )
        losses |= self._global(batch, target[-1], whole)
        return {"total": self._sum(losses), **losses}

    def _both(self, pixels: Tensor, read: Taps, channels: slice) -> tuple[list[Tensor], list[Tensor]]:
        """The last maps of teacher and student (N, C, h, w) in float32; the student's have gradients.

        Where all channels of the student are asked for, its last map is two, one of each half.
        """
        networks, depth = self.networks, self.depth
        with self.run.autocast():
            seen = self.normalise(pixels)
            with torch.no_grad():
                target = read(networks.teacher, seen, depth, ALL)
            output = read(networks.student, seen, depth, channels)
            output[-1:] = torch.split(output[-1], self.options.channels, 1)
        return [level.float() for level in target], [level.float() for level in output]

    def _sum(self, losses: Mapping[str, Tensor]) -> Tensor:
        coefficients = {
            "hard": self.options.hard_weight,
            "penalty": self.options.penalty_weight,
            "autoencoder": self.options.autoencoder_weight,
            "stae": self.options.stae_weight,
        }
        return torch.stack([coefficients[name] * loss for name, loss in losses.items()]).sum()

    def _cdo(self, batch: Batch, target: list[Tensor], output: list[Tensor]) -> Tensor:
        """L_CDO of the pictures with defects, over the levels of equation 4.11 weighted by their α_h.

        A cell is a defect where its centre lies in one, and normal where it sees none of any; between the two
        it counts as neither. Of a normal cell both networks say what they say of it in the picture without
        defects (`target` and `output`), so that only the defects need a pass of their own, over their crops.
        """
        normal = _discrepancies(target, output)
        defective = [distances.new_empty(0) for distances in normal]
        if batch.defects is not None and batch.crops is not None and batch.crop_defects is not None:
            places = self.networks.cells[-self.depth :]
            # not compiled: that would be done again for each number of crops
            cropped = _discrepancies(*self._both(batch.crops, taps, self.local))  # (D, h, w) each
            defective = [
                distances[at_centres(batch.crop_defects, where, _grid(distances))]  # (cells,)
                for where, distances in zip(places, cropped, strict=True)
            ]
            normal = [
                distances[~touched(batch.defects, where, _grid(distances))]  # (cells,)
                for where, distances in zip(places, normal, strict=True)
            ]
        losses = [
            weight * cdo_loss(near.flatten(), far, self.options.gamma)
            for weight, near, far in zip(self.options.hierarchy, normal, defective, strict=True)
        ]
        return torch.stack(losses).sum()

    def _natural(self, batch: Batch) -> Tensor:
        """L_OOD: the student's mean squared output on natural pictures."""
        if batch.natural is None:
            raise RuntimeError("L_OOD without natural pictures")  # fit checks this
        with self.run.autocast():
            output = self.taps(self.networks.student, self.normalise(batch.natural), 1, self.local)[-1]
        return output.float().square().mean()

    def _global(self, batch: Batch, target: Tensor, output: Tensor | None) -> dict[str, Tensor]:
        """L_AE and L_STAE (equations 4.3, 4.4), on the pictures of varied appearance where there are such."""
        options, networks = self.options, self.networks
        if not (options.autoencoder_weight or options.stae_weight):
            return {}
        seen = batch.pixels if batch.varied is None else batch.varied
        with self.run.autocast():
            pixels = self.normalise(seen)
            if batch.varied is not None:
                with torch.no_grad():
                    target = self.taps(networks.teacher, pixels, 1, ALL)[-1].float()
                if options.stae_weight:
                    output = self.taps(networks.student, pixels, 1, self.whole)[-1].float()
            rebuilt = self.rebuild(pixels).float()
        losses = {}
        if options.autoencoder_weight:
            losses["autoencoder"] = mean_square(rebuilt, target)
        if output is not None:
            losses["stae"] = mean_square(rebuilt, output)
        return losses


def _discrepancies(target: list[Tensor], output: list[Tensor]) -> list[Tensor]:
    """d of each level (N, h, w), of the student's first channels where it has more than the teacher."""
    return [
        discrepancy(teacher, student[:, : teacher.shape[1]])
        for teacher, student in zip(target, output, strict=True)
    ]


def _grid(distances: Tensor) -> tuple[int, int]:
    return distances.shape[1], distances.shape[2]


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
