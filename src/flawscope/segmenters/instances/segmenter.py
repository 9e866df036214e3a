"""Components as instances: SADSeM's segmenter, a Mask R-CNN fine-tuned on annotated pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.annotations.partition import told_unseen
from flawscope.data.pictures import Pictures
from flawscope.data.tiles import units_of
from flawscope.metrics.overlap import Overlaps, overlaps
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.run import Run, seeded
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.watch import Watch, batches
from flawscope.runtime.images import Frame
from flawscope.segmenters.components.labelling import read_back, written
from flawscope.segmenters.holding import held_out
from flawscope.segmenters.instances.annotations import Annotated, claiming, read_annotated
from flawscope.segmenters.instances.finding import Found, find
from flawscope.segmenters.instances.network import STRIDES, MaskRCNN
from flawscope.segmenters.instances.options import InstancesOptions
from flawscope.segmenters.instances.pretrained import load_coco
from flawscope.segmenters.instances.training import Training
from flawscope.segmenters.segmenter import Segmenter

_NETWORK, _HELD = 73, 74


class Instances(Segmenter):
    """Segment 0 is the ground, 1 to K are classes of components; of several at a pixel the first has it.

    Maps that are handed in come from the pictures as they are, and from this network's own fine-tuned
    backbone. Pictures of another size than the frame's are labelled at their own.

    Attributes:
        history: losses by name at some of the training's steps; empty where nothing was trained here.
        order: (K + 1,) int64, the classes in the order in which they claim pixels, the ground last.
        agreement: (K + 1,) intersection over union with annotations that were held out; NaN where those
            show no such class, or where none was held out.
    """

    Options: ClassVar = InstancesOptions
    options: InstancesOptions
    titles: Tensor
    order: Tensor
    agreement: Tensor

    def __init__(self, options: InstancesOptions, frame: Frame) -> None:
        super().__init__(options, frame)
        self.register_buffer("titles", written((), ()))  # (B,) bytes of the names
        self.register_buffer("order", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("agreement", torch.full((1,), torch.nan))
        self.network = self._fresh(1, 0)
        self.history: list[dict[str, float]] = []

    @property
    def backbone(self) -> Backbone:
        """See `Segmenter.backbone`."""
        return self.network.backbone

    @property
    def names(self) -> tuple[str, ...]:
        """See `Segmenter.names`; as the annotations have them."""
        return read_back(self.titles)[0]

    @property
    def facts(self) -> dict[str, Any]:
        """Agreement with annotations that were held out, for a manifest; see `Overlaps.facts`."""
        return Overlaps(self.names, self.agreement.cpu().numpy()).facts()

    def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
        """See `Segmenter.learn`: fine-tune the network on annotated parts, and measure it on those held out.

        Raises:
            WeightsError: weights of a network are not to be had.
            DataError: no annotated parts; see `read_annotated`.
        """
        annotated = read_annotated(parts, run, watch)
        learnt, held = divided(annotated, self.options.held_out, run)
        self._remark(annotated, learnt, watch)
        self.titles, self.ignored = (
            written(annotated.names, annotated.classes.ignored),
            annotated.classes.ignored,
        )
        claimed = (*claiming(annotated), 0)
        self.order = torch.tensor(claimed)
        self.network = self._fresh(len(claimed) - 1, int(run.generator(_NETWORK).initial_seed()))
        if self.options.weights == "coco":
            load_coco(self.network)
        elif self.options.weights == "pretrained":
            load_pretrained(self.network.backbone)
        mark = fingerprint(
            self.options, run, (annotated.pictures,), self.network, (annotated.maps, annotated.pieces)
        )
        self.to(run.torch_device())
        training = Training(self.network, annotated.subset(learnt), self.options, run, watch)
        self.history = training.go(f"instances-{mark}")
        self.agreement = torch.full((len(claimed),), torch.nan)
        if len(held):
            self.agreement = self._agreement(annotated.subset(held), run, watch)
        self.shares = self.measure(pictures, run, watch, len(claimed))
        for label in self.absent:
            watch.say(f"{self.names[label]!r} is found in none of the good pictures: annotate more of it.")

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """See `Segmenter.forward`; 0 everywhere where no component is found."""
        return self.found(pixels, maps).labels

    def found(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Found:
        """Labels and instances of pictures; arguments as `forward` has them, and exports as that does."""
        read = self.network.backbone(pixels) if maps is None else maps
        size = (pixels.shape[2], pixels.shape[3])
        return find(self.network, list(self.network.pyramid(read).values()), size, self.options, self.order)

    def features(self, pixels: Tensor) -> list[Tensor]:
        """Maps (N, C, h, w) of the fine-tuned backbone at strides 4, 8, 16 and 32."""
        maps = self.network.backbone(pixels)
        return [maps[layer] for layer in self.backbone.layers]

    @torch.inference_mode()
    def _agreement(self, held: Annotated, run: Run, watch: Watch) -> Tensor:
        """Of annotations with what is found, by class: (K + 1,); says so."""
        self.to(run.torch_device()).eval()
        read = batches(held.pictures, run, watch, "measuring the agreement", 1)
        found = np.concatenate([self(pixels).cpu().numpy() for pixels in read])
        measured = overlaps(found, held.maps, held.names)
        watch.say(f"Agreement with {len(found)} annotated pictures that were held out: {measured}.")
        return torch.from_numpy(measured.by_class).float()

    def _remark(self, annotated: Annotated, learnt: NDArray[np.intp], watch: Watch) -> None:
        if annotated.unseen:
            watch.say(told_unseen(annotated.unseen))
        most, slots = annotated.most_instances(self.options.smallest), self.options.slots
        if most > slots:
            watch.say(
                f"An annotated picture shows {most} instances, of which {slots} are found at most: raise the "
                "segments' options slots, and proposals to several times as many."
            )
        for label, count in enumerate(annotated.shown.sum(0).tolist()):
            if label and count < 2:
                watch.say(
                    f"{annotated.names[label]!r} is annotated in a single picture: it is learnt from that, "
                    "and nothing tells how well. Annotate it in more."
                )
        if len(learnt) == len(annotated.pictures) and self.options.held_out:
            watch.say(
                "Too few annotated pictures to hold any out: the agreement with annotations is unknown."
            )

    def _fresh(self, classes: int, seed: int) -> MaskRCNN:
        options, size = self.options, (self.frame.height, self.frame.width)
        backbone = build_backbone(options.backbone, strides=STRIDES, size=size, trainable=True)
        with seeded(seed):
            network = MaskRCNN(backbone, classes, options)
        return network.requires_grad_(False).eval()

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *others: Any) -> None:
        """Take the number of classes over from the state before the tensors are."""
        own = ("shares", "titles", "order", "agreement")
        given = {name: state_dict.get(f"{prefix}{name}") for name in own}
        if all(value is not None for value in given.values()):
            for name, value in given.items():
                setattr(self, name, torch.empty_like(value))  # type: ignore[arg-type]
            self.ignored = read_back(state_dict[f"{prefix}titles"])[1]
            self.network = self._fresh(len(self.shares) - 1, 0).to(self.backbone.mean.device)
        super()._load_from_state_dict(state_dict, prefix, *others)


def divided(annotated: Annotated, share: float, run: Run) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of the annotated pictures to learn from, and of those held out: about `share`, drawn by seed.

    A picture is held out only where others that are learnt from show all its classes, and all its tiles are.
    """
    files = np.array(units_of(annotated.pictures.samples))
    order = torch.randperm(len(np.unique(files)), generator=run.generator(_HELD)).tolist()
    apart = held_out(annotated.shown, files, share, order)
    return np.flatnonzero(~apart), np.flatnonzero(apart)
