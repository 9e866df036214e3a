"""Distillation of pretrained features into a small network: Algorithm 1 of the thesis.

Khanjani, Politecnico di Torino 2025, section 4.3, after Batzner, Heckler, König: EfficientAD, WACV 2024: the
student learns by squared error to predict the normalised features of other networks, which see the same
picture at a larger size.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from flawscope.distill.features import Targets
from flawscope.distill.options import DistillOptions
from flawscope.distill.pictures import PictureCache, views
from flawscope.distill.students import Student
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.moments import Moments
from flawscope.nn.run import Run, full_float32
from flawscope.nn.training.loop import Loop
from flawscope.nn.training.reading import Ahead
from flawscope.nn.training.stores import shuffled
from flawscope.nn.watch import UNWATCHED, Watch

EVALUATION_BATCH = 8
_CONSTANT = 1e-10  # variance below which a channel is constant but for rounding
_EPOCH, _HELD_OUT, _STATISTICS = 0xD15, 0xD16, 0xD17  # purposes of random numbers


@dataclass(frozen=True, slots=True)
class Distilled:
    """What a distillation made.

    Attributes:
        student: the trained network, on the CPU.
        mean, std: (C,) of the targets over training pictures.
        r2: share of the held-out pictures' target variance that the student explains, by layer and for `all`;
            empty where nothing was held out.
        history: losses at every few steps.
        trained_on, held_out: indices of pictures.
    """

    student: Student
    mean: Tensor
    std: Tensor
    r2: dict[str, float]
    history: list[dict[str, float]]
    trained_on: tuple[int, ...]
    held_out: tuple[int, ...]


def split(count: int, options: DistillOptions, run: Run) -> tuple[list[int], list[int]]:
    """Indices to train on and those held out, at least one where a share is asked for; sorted, disjoint."""
    order = torch.randperm(count, generator=run.generator(_HELD_OUT)).tolist()
    kept = min(max(round(options.held_out * count), 1), count - 1) if options.held_out else 0
    return sorted(order[kept:]), sorted(order[:kept])


@full_float32()
def distill(
    targets: Targets,
    student: Student,
    pictures: PictureCache,
    options: DistillOptions,
    run: Run,
    *,
    watch: Watch = UNWATCHED,
) -> Distilled:
    """Train the student on the targets; with `run.checkpoints`, from where an earlier run ended.

    Raises:
        Stopped: the stop signal was set; a checkpoint holds what was done.
    """
    trained_on, held_out = split(len(pictures), options, run)
    device = run.torch_device()
    taught = copy.deepcopy(targets).to(device).to(memory_format=torch.channels_last)
    student = student.to(device)
    quick = copy.deepcopy(taught)
    for backbone in quick.backbones:
        cast(Backbone, backbone).body.to(run.training_dtype)
    mean, std = _statistics(quick, pictures, trained_on, options, run=run, watch=watch)
    see, imitate = (torch.compile(network) if options.compile else network for network in (quick, student))
    rows = torch.tensor(trained_on)

    def read(number: int) -> dict[int, Tensor]:
        drawn = shuffled(len(rows), options.batch, number, run, stream=_EPOCH)
        return pictures.batch(rows[drawn].tolist())

    batches = Ahead(read, options.steps)

    def step(number: int) -> dict[str, Tensor]:
        inputs, pixels = views(batches(number), options)
        with run.autocast():
            with torch.no_grad():
                target = (see(pixels) - _column(mean)) / _column(std)  # (N, C, h, w)
            output = imitate(inputs).float()
        return {"total": F.mse_loss(output, _fitted(target, output))}

    adam = torch.optim.Adam(student.parameters(), options.learning_rate, weight_decay=options.weight_decay)

    def schedule(number: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * number / options.steps)) if options.schedule == "cosine" else 1.0

    with closing(batches):
        history = Loop("distillation", options.steps, student.body, adam, run, watch, step, schedule).go()
    r2 = {}
    if held_out:
        r2 = measure(
            taught, student, pictures, held_out, statistics=(mean, std), options=options, run=run, watch=watch
        )
    return Distilled(student.cpu(), mean.cpu(), std.cpu(), r2, history, tuple(trained_on), tuple(held_out))


@full_float32()
def measure(
    targets: Targets,
    student: Student,
    pictures: PictureCache,
    indices: Sequence[int],
    *,
    statistics: tuple[Tensor, Tensor],
    options: DistillOptions,
    run: Run,
    watch: Watch = UNWATCHED,
) -> dict[str, float]:
    """R² of the student on pictures, by layer of the targets and for `all`, at the run's feature precision.

    One less the summed squared error over the summed squared deviation of the normalised targets from their
    mean over these pictures, channel by channel; both are summed over those of a layer's channels that vary.
    """
    mean, std = (value.to(run.torch_device()) for value in statistics)
    moments, error = Moments(), torch.zeros(targets.channels, dtype=torch.float64)
    for inputs, pixels in _whole(pictures, indices, options, run=run, watch=watch, title="measuring"):
        with torch.no_grad(), run.autocast(features=True):
            output = student(inputs).float()
            target = _fitted((targets(pixels) - _column(mean)) / _column(std), output)
        moments.add(target)
        error += (output - target).double().square().sum((0, 2, 3)).cpu()
    spread = moments.squares.cpu()  # (C,)
    alive = spread > _CONSTANT * moments.count
    spread, error = spread * alive, error * alive
    groups = {**targets.groups, "all": (0, targets.channels)}
    return {
        name: 1 - float(error[first:last].sum() / spread[first:last].sum().clamp_min(_CONSTANT))
        for name, (first, last) in groups.items()
    }


def _statistics(
    targets: Targets,
    pictures: PictureCache,
    indices: Sequence[int],
    options: DistillOptions,
    *,
    run: Run,
    watch: Watch,
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) float32 of the targets, over whole pictures in colour."""
    device = run.torch_device()
    kept = run.checkpoints.load("statistics") if run.checkpoints else None
    if kept is not None:
        return kept["mean"].to(device), kept["std"].to(device)
    order = torch.randperm(len(indices), generator=run.generator(_STATISTICS)).tolist()
    chosen = [indices[position] for position in order[: options.statistics]]
    moments = Moments()
    title = "measuring the teacher's features"
    for _, pixels in _whole(pictures, chosen, options, run=run, watch=watch, title=title):
        with torch.no_grad(), run.autocast():
            moments.add(targets(pixels))
    mean, std = moments.mean.float(), moments.std.float()
    if run.checkpoints:
        run.checkpoints.save("statistics", {"mean": mean, "std": std})
    return mean, std


def _whole(
    pictures: PictureCache,
    indices: Sequence[int],
    options: DistillOptions,
    *,
    run: Run,
    watch: Watch,
    title: str,
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Views of whole pictures in colour, a few at a time, in a stage of that title."""
    chunks = (indices[start : start + EVALUATION_BATCH] for start in range(0, len(indices), EVALUATION_BATCH))
    with watch.stage(title, len(indices)) as stage:
        for batch in pictures.batches(chunks):
            watch.check_stop(run)
            inputs, pixels = views(batch, options.unchanged)
            yield inputs, pixels
            stage.advance(len(inputs))


def _column(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)


def _fitted(target: Tensor, output: Tensor) -> Tensor:
    """The target at the student's resolution."""
    if target.shape[2:] == output.shape[2:]:
        return target
    return F.interpolate(target, size=output.shape[2:], mode="bilinear", align_corners=False)
