"""The fine-tuning of Mask R-CNN on annotated pictures (SADSeM, section 3.1)."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.nn.run import Run
from flawscope.nn.training.loop import Loop, Losses
from flawscope.nn.training.reading import Ahead
from flawscope.nn.training.stores import PixelStore, shuffled
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.instances.annotations import Annotated, instances, resized, target
from flawscope.segmenters.instances.network import MaskRCNN, Target
from flawscope.segmenters.instances.options import InstancesOptions

_ORDER, _DRAWN = 71, 72


@dataclass(frozen=True)
class _Batch:
    """Pictures (n, 3, h, w) of 8 bits and what they show."""

    pixels: Tensor
    targets: list[Target]


class _Sized:
    """The annotated pictures at one size, with their instances numbered."""

    def __init__(self, annotated: Annotated, smallest: int, run: Run, watch: Watch) -> None:
        self.store = PixelStore(annotated.pictures, run, watch)
        self.numbered = [
            instances(labels, pieces, smallest)
            for labels, pieces in zip(annotated.maps, annotated.pieces, strict=True)
        ]

    def cut(
        self, row: int, crop: int | None, random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int64]]:
        """Pixels (3, h, w) and numbers (h, w) of a piece anywhere in picture `row`, and the classes."""
        pixels, (numbers, classes) = self.store.picture(row).numpy(), self.numbered[row]
        sides = [side if crop is None else min(crop, side) for side in numbers.shape]
        y, x = (
            int(random.integers(0, whole - side + 1))
            for whole, side in zip(numbers.shape, sides, strict=True)
        )
        piece = np.s_[y : y + sides[0], x : x + sides[1]]
        return pixels[:, *piece], numbers[piece], classes


class Training:
    """One training of a network, on the run's device, on annotated pictures at the sizes of the options.

    Raises:
        InputError, DataError: pictures or annotations that cannot be read.
        Stopped: the stop signal was set while they were read.
    """

    def __init__(
        self, network: MaskRCNN, annotated: Annotated, options: InstancesOptions, run: Run, watch: Watch
    ) -> None:
        self.network, self.options, self.run, self.watch = network, options, run, watch
        self.lower = network.lower(options.frozen)
        self.count = len(annotated.pictures)
        frame = annotated.pictures.frame
        self.sized = []
        for longest in options.sizes or (max(frame.height, frame.width),):
            own = sized(frame, longest)
            same = (own.height, own.width) == (frame.height, frame.width)
            there = annotated if same else resized(annotated, own, run, watch)
            self.sized.append(_Sized(there, options.smallest, run, watch))

    def go(self, name: str) -> list[dict[str, float]]:
        """Train the network in place; returns the loss curve. `name` is the checkpoint's.

        Raises:
            OptionError: a loss that is not finite.
            Stopped: the stop signal was set; the same call with the run's checkpoints goes on from there.
        """
        batches = Ahead(self._batch, self.options.steps)
        loop = Loop(
            name=name,
            steps=self.options.steps,
            network=self.network,
            optimiser=self._optimiser(),
            run=self.run,
            watch=self.watch,
            step=lambda number: self._losses(batches(number)),
            schedule=self._factor,
        )
        with closing(batches):
            return loop.go()

    def _optimiser(self) -> torch.optim.Optimizer:
        options = self.options
        fixed = {id(parameter) for parameter in self.lower}
        learning = [one for one in self.network.parameters() if id(one) not in fixed]
        rate, decay = options.learning_rate, options.weight_decay
        if options.optimiser == "adamw":
            return torch.optim.AdamW(learning, rate, weight_decay=decay, fused=True)
        return torch.optim.SGD(learning, rate, momentum=options.momentum, weight_decay=decay, fused=True)

    def _factor(self, number: int) -> float:
        """Of the learning rate at a step: half a cosine from 1 to the final rate."""
        last = min(1.0, self.options.final_rate / self.options.learning_rate)
        return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * number / self.options.steps))

    def _batch(self, number: int) -> _Batch:
        """What step `number` learns from; it follows from the number and the seed."""
        random = np.random.default_rng((self.run.seed, _DRAWN, number))
        there = self.sized[random.integers(len(self.sized))]
        pictures, targets = [], []
        for row in shuffled(self.count, self.options.batch, number, self.run, stream=_ORDER).tolist():
            pixels, numbers, classes = there.cut(row, self.options.crop, random)
            for way in self.options.mirrored:
                if random.random() < 0.5:
                    axis = -1 if way == "left_right" else -2
                    pixels, numbers = np.flip(pixels, axis), np.flip(numbers, axis)
            pictures.append(pixels)
            targets.append(target(numbers, classes, self.options.smallest))
        return _Batch(torch.from_numpy(np.stack(pictures)), targets)

    def _losses(self, batch: _Batch) -> Losses:
        device = self.run.torch_device()
        self.network.backbone.eval()  # batch norms keep their statistics
        for parameter in self.lower:
            parameter.requires_grad_(False)
        pixels = (batch.pixels.to(device).float() / 255).contiguous(memory_format=torch.channels_last)
        targets = [{name: value.to(device) for name, value in one.items()} for one in batch.targets]
        losses = self.network.losses(pixels, targets, self.run)
        return {"total": torch.stack(list(losses.values())).sum(), **losses}


def sized(frame: Frame, longest: int) -> Frame:
    """The frame with its proportions, and sides of up to `longest`."""
    factor = longest / max(frame.height, frame.width)
    return replace(frame, height=round(frame.height * factor), width=round(frame.width * factor))
