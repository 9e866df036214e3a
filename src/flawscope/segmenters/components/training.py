"""The training of a decoder on labelled pictures, and after a while on unlabelled ones too (appendix B.1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flawscope.data.tiles import units_of
from flawscope.errors import UnsuitedError
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.backbones.folding import folded
from flawscope.nn.run import Run
from flawscope.nn.training.loop import Loop, Losses
from flawscope.nn.training.reading import Ahead
from flawscope.nn.training.stores import PixelStore, shuffled
from flawscope.nn.watch import Watch
from flawscope.segmenters.components.augmentation import Augmentation, Bytes
from flawscope.segmenters.components.decoder import Decoder
from flawscope.segmenters.components.labelling import Labelling
from flawscope.segmenters.components.losses import supervised, unsupervised
from flawscope.segmenters.components.options import ComponentsOptions
from flawscope.segmenters.holding import classes_shown, held_out

_LABELLED, _UNLABELLED, _AUGMENTED, _HELD = 61, 62, 63, 64
_LOOKS = 20


@dataclass(frozen=True)
class _Batch:
    """Pictures (n + u, 3, H, W) of 8 bits, labelled ones first, their labels, and drawn ones for the rest."""

    pixels: Tensor
    labels: Tensor  # (n, H, W) uint8
    drawn: Tensor  # (u, H, W) uint8


class Training:
    """One training of a decoder on a frozen backbone's maps.

    Args:
        backbone: whose maps the decoder reads.
        decoder: what learns, on the run's device.
        labelling: pictures and label maps.
        options: losses, schedule and augmentation.
        run: seed, device and checkpoints.
        watch: progress and stop signal.

    Raises:
        UnsuitedError: no labelled picture.
        InputError: a picture that cannot be read.
        Stopped: the stop signal was set while pictures were read.
    """

    def __init__(
        self,
        backbone: Backbone,
        decoder: Decoder,
        labelling: Labelling,
        options: ComponentsOptions,
        run: Run,
        *,
        watch: Watch,
    ) -> None:
        self.backbone = folded(backbone).to(run.torch_device())
        self.decoder, self.options = decoder, options
        self.run, self.watch, self.maps = run, watch, labelling.maps
        labelled = np.flatnonzero(labelling.labelled)
        if not len(labelled):
            raise UnsuitedError(
                "label maps of components",
                expected="at least one picture whose map can be trusted",
                got="none",
                fix="Annotate parts, correct maps by hand, or loosen what makes labels alike.",
            )
        self.learnt, self.held = self._divided(
            labelled, np.array(units_of(labelling.pictures.samples))[labelled]
        )
        self.unlabelled = np.flatnonzero(~labelling.labelled)
        self.store = PixelStore(labelling.pictures, run, watch)
        self.augmentation = Augmentation(
            options.augmentation, lambda number: self._picture(self.learnt[number]), self.maps[self.learnt]
        )
        self.steps, self.alone = options.steps_for(len(self.learnt))

    def go(self, name: str) -> list[dict[str, float]]:
        """Train the decoder in place; returns the loss curve. `name` is the checkpoint's.

        Raises:
            Stopped: the stop signal was set; the same call with the run's checkpoints goes on from there.
        """
        options = self.options
        optimiser = torch.optim.Adam(
            self.decoder.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )
        batches = Ahead(self._batch, self.steps)
        best = Best(self.decoder, self._held_loss, self.steps) if len(self.held) else None
        loop = Loop(
            name=name,
            steps=self.steps,
            network=self.decoder,
            optimiser=optimiser,
            run=self.run,
            watch=self.watch,
            step=lambda number: self._losses(batches(number)),
            schedule=self._factor,
            finished=best or (lambda done: False),
            memory=best.memory if best is not None else {},
        )
        with closing(batches):
            history = loop.go()
        if best is not None:
            best.restore()
        return history

    def _divided(
        self, labelled: NDArray[np.intp], files: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Numbers of the labelled pictures to learn from, and of those held out: with all tiles of a file."""
        if not self.options.held_out:
            return labelled, labelled[:0]
        numbers, owners = np.unique(files, return_inverse=True)
        order = torch.randperm(len(numbers), generator=self.run.generator(_HELD)).tolist()
        apart = held_out(classes_shown(self.maps[labelled]), owners, self.options.held_out, order)
        return labelled[~apart], labelled[apart]

    def _factor(self, number: int) -> float:
        """Of the learning rate at a step."""
        falling = self.options.decay == "cosine"
        return 0.5 * (1 + math.cos(math.pi * number / self.steps)) if falling else 1.0

    def _picture(self, index: int) -> Bytes:
        """(3, H, W), not to be changed."""
        return self.store.picture(index).numpy()

    def _batch(self, number: int) -> _Batch:
        """What step `number` learns from; it follows from the number and the seed."""
        each = self.options.batch
        random = np.random.default_rng((self.run.seed, _AUGMENTED, number))
        rows = shuffled(len(self.learnt), each, number, self.run, stream=_LABELLED).tolist()
        pictures, labels = zip(*(self.augmentation.labelled(row, random) for row in rows), strict=True)
        others, drawn = list[Bytes](), list[Bytes]()
        if number >= self.alone and len(self.unlabelled):
            places = shuffled(len(self.unlabelled), each, number, self.run, stream=_UNLABELLED).tolist()
            others = [self.augmentation.lit(self._picture(self.unlabelled[row]), random) for row in places]
            drawn = list(self.maps[random.choice(self.learnt, each)])
        return _Batch(_stacked([*pictures, *others]), _stacked(labels), _stacked(drawn))

    def _losses(self, batch: _Batch) -> Losses:
        device, count = self.run.torch_device(), len(batch.labels)
        logits = self._logits(batch.pixels.to(device))
        losses = supervised(logits[:count], batch.labels.to(device).long(), self.options.gamma)
        if len(batch.drawn):
            losses |= unsupervised(logits[count:], batch.drawn.to(device).long())
        else:
            losses |= dict.fromkeys(("histogram", "entropy"), logits.new_zeros(()))
        return {"total": self.options.losses.total(losses), **losses}

    def _logits(self, pixels: Tensor) -> Tensor:
        """Of pictures (n, 3, H, W) of 8 bits, (n, classes, H, W)."""
        seen = (pixels.float() / 255).contiguous(memory_format=torch.channels_last)
        with self.run.autocast():
            with torch.no_grad():
                maps = self.backbone(seen)
            logits: Tensor = self.decoder(in_order(self.backbone, maps))
        return logits

    @torch.no_grad()
    def _held_loss(self) -> float:
        """Weighted sum of the supervised losses on the held-out pictures, unchanged."""
        self.decoder.eval()
        device, total = self.run.torch_device(), 0.0
        for row in self.held:
            pixels, labels = self.store.picture(row)[None], torch.from_numpy(self.maps[row])[None]
            logits = self._logits(pixels.to(device))
            losses = supervised(logits, labels.to(device).long(), self.options.gamma)
            total += float(self.options.losses.total(losses))
        return total / len(self.held)


class Best:
    """Keeps the weights of the smallest loss on held-out pictures; `finished` and `memory` of a `Loop`.

    Args:
        network: what learns.
        loss: of the network as it is, asked for twenty times and after the last of the steps.
        steps: of the training.
    """

    def __init__(self, network: nn.Module, loss: Callable[[], float], steps: int) -> None:
        self.network, self.loss, self.steps = network, loss, steps
        self.memory = {"loss": torch.tensor(math.inf, dtype=torch.float64)}

    def __call__(self, done: int) -> bool:
        """Look at the loss now and then; never ends the training."""
        if done % max(1, self.steps // _LOOKS) == 0 or done == self.steps:
            loss = self.loss()
            if loss < float(self.memory["loss"]):
                state = self.network.state_dict()
                self.memory |= {f"network.{name}": value.clone() for name, value in state.items()}
                self.memory["loss"] = torch.tensor(loss, dtype=torch.float64)
        return False

    def restore(self) -> None:
        """Put the best weights into the network."""
        state = {name: self.memory[f"network.{name}"] for name in self.network.state_dict()}
        self.network.load_state_dict(state)


def in_order(backbone: Backbone, maps: Mapping[str, Tensor]) -> list[Tensor]:
    """The maps of the backbone's layers, the finest first, as the decoder takes them."""
    return [maps[layer] for layer in finest_first(backbone)]


def finest_first(backbone: Backbone) -> list[str]:
    """The backbone's layers by how fine their maps are; those that are alike in their own order."""
    return sorted(backbone.layers, key=lambda layer: -backbone.grids[layer][0])


def _stacked(arrays: Sequence[Bytes]) -> Tensor:
    return torch.from_numpy(np.stack(arrays)) if len(arrays) else torch.empty(0, dtype=torch.uint8)
