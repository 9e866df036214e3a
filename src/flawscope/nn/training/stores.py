"""Pictures and frozen features for many epochs: read once, kept where memory allows, drawn by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.banks.features import BATCH, map_batches, ready
from flawscope.nn.memory import budget
from flawscope.nn.run import Run, full_float32
from flawscope.nn.watch import UNWATCHED, Watch, batches

_SHUFFLE = 0x5AFF


def shuffled(count: int, batch: int, step: int, run: Run, *purpose: int, stream: int = _SHUFFLE) -> Tensor:
    """Indices (batch,) int64 of the pictures of training step `step`, all of them within [0, count).

    Every epoch is a permutation drawn by seed, cut into batches that may reach into the next epoch. All of it
    follows from the step's number, so that training resumes exactly. `stream` and `purpose` tell
    streams of one training apart.
    """
    wanted = torch.arange(step * batch, (step + 1) * batch)
    indices = torch.empty_like(wanted)
    epochs = wanted.div(count, rounding_mode="floor")
    for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
        order = torch.randperm(count, generator=run.generator(stream, *purpose, epoch))
        inside = epochs == epoch
        indices[inside] = order[wanted[inside] - epoch * count]
    return indices


def steps_of(epochs: int, count: int, batch: int) -> int:
    """Training steps in so many epochs over `count` pictures, the last batch filled up."""
    return max(1, -(-epochs * count // batch))


class PixelStore:
    """Pixels of all pictures, 8 bits a channel in memory where they fit, decoded when asked for elsewhere.

    Raises:
        InputError: a picture that cannot be read.
        Stopped: the stop signal was set while pictures were read.
    """

    def __init__(self, pictures: Pictures, run: Run, watch: Watch = UNWATCHED) -> None:
        self.pictures, self.device = pictures, run.torch_device()
        self.kept: Tensor | None = None
        shape = (len(pictures), 3, pictures.frame.height, pictures.frame.width)
        if int(np.prod(shape)) <= budget(run):
            self.kept = torch.empty(shape, dtype=torch.uint8)
            self._fill(self.kept, run, watch)

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Pictures (n, 3, H, W) float32 in [0, 1] on the run's device, to 1/255."""
        rows = torch.as_tensor(indices)
        kept = (
            self.kept[rows]
            if self.kept is not None
            else torch.stack([self.picture(int(row)) for row in rows])
        )
        return kept.to(self.device).float() / 255

    def picture(self, index: int) -> Tensor:
        """Picture (3, H, W) uint8 in this machine's memory, not to be changed."""
        if self.kept is not None:
            return self.kept[index]
        return _bytes(torch.from_numpy(self.pictures[index]))

    def _fill(self, kept: Tensor, run: Run, watch: Watch) -> None:
        done = 0
        for pixels in batches(self.pictures, run, watch, "reading pictures", BATCH):
            kept[done : done + len(pixels)] = _bytes(pixels)
            done += len(pixels)


class FeatureStore:
    """Maps of a frozen backbone for all pictures: computed once and kept where they fit, else when asked for.

    The backbone moves to the run's device.

    Raises:
        InputError: a picture that cannot be read.
        Stopped: the stop signal was set while features were computed.
    """

    def __init__(self, backbone: Backbone, pictures: Pictures, run: Run, watch: Watch = UNWATCHED) -> None:
        self.backbone, self.pictures, self.device = backbone, pictures, run.torch_device()
        backbone.to(self.device).eval()
        self.kept: dict[str, Tensor] = {}
        values = sum(
            backbone.channels[name] * height * width for name, (height, width) in backbone.grids.items()
        )
        if 4 * values * len(pictures) <= budget(run):
            self._fill(run, watch)
        else:
            self._network = ready(backbone, run)

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, indices: Sequence[int] | Tensor) -> dict[str, Tensor]:
        """Maps {layer: (n, C, h, w)} float32 on the run's device."""
        rows = torch.as_tensor(indices)
        if self.kept:
            return {layer: maps[rows].to(self.device) for layer, maps in self.kept.items()}
        pixels = torch.stack([torch.from_numpy(self.pictures[int(row)]) for row in rows])
        pixels = pixels.to(self.device).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), full_float32():
            found: dict[str, Tensor] = self._network(pixels)
        return found

    def _fill(self, run: Run, watch: Watch) -> None:
        shapes = {
            layer: (self.backbone.channels[layer], *self.backbone.grids[layer])
            for layer in self.backbone.layers
        }
        self.kept = {layer: torch.empty(len(self), *shape) for layer, shape in shapes.items()}
        done = 0
        for maps in map_batches(self.backbone, self.pictures, run, watch):
            for layer, values in maps.items():
                self.kept[layer][done : done + len(values)] = values.cpu()
            done += len(next(iter(maps.values())))


def _bytes(pixels: Tensor) -> Tensor:
    return (pixels * 255 + 0.5).to(torch.uint8)
