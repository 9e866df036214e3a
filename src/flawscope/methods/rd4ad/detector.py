"""RD4AD as a detector: a decoder learns to give a teacher's maps back from a narrow embedding of them.

The source is named in this package's docstring. What the embedding does not hold, because good pictures never
show it, the decoder cannot give back: there its maps differ from the teacher's.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.detector import Facts, Learnt
from flawscope.methods.frozen_backbone import DescentDetector, DescentOptions
from flawscope.methods.rd4ad.networks import Block, Decoder, Embedding, Shape, Student, cosine_distance
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.run import Run, seeded
from flawscope.nn.watch import Watch

Depth = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class RD4ADOptions(DescentOptions):
    """Options of RD4AD; sections and equations are the paper's."""

    backbone: str = Field("wide_resnet50_2", description="the teacher (section 4.1)")
    layers: tuple[str, ...] | None = Field(
        None,
        description="its layers, each half as fine as the one before; by default at strides 4, 8 and 16 "
        "(section 4.1: layers 1 to 3)",
    )
    block: Literal["basic", "bottleneck"] | None = Field(
        None,
        description="residual blocks of embedding and decoder; by default as ResNets of the teacher's width "
        "have them: bottleneck from 1024 channels in its deepest layer on",
    )
    blocks: tuple[Depth, ...] | None = Field(
        None,
        description="blocks of the embedding and of each decoder stage, deepest first; by default as `order` "
        "says",
    )
    order: Literal["mirrored", "code"] = Field(
        "mirrored",
        description="which blocks there are by default: mirrored, the teacher's stages (section 3.1), 3, 6, "
        "4, 3 bottleneck or 2, 2, 2, 2 basic ones; code, 3, 3, 4, 6 or 2, 2, 2, 2 (the authors' code)",
    )
    loss: Literal["cells", "maps"] = Field(
        "cells",
        description="cosine distance of each cell's vectors, averaged (equations 1 and 2), or of whole "
        "layers' flattened maps (the authors' code)",
    )
    combine: Literal["add", "multiply"] = Field(
        "add", description="how the layers' distance maps become one (section 3.4: added)"
    )
    smoothing: float = Field(
        4.0, ge=0, le=64, description="σ in pixels of the Gaussian over the heatmap (section 4.1: 4)"
    )
    epochs: int = Field(200, ge=1, description="passes over the training pictures (section 4.1: 200)")
    batch: int = Field(16, ge=2, description="pictures a step (section 4.1: 16)")
    learning_rate: float = Field(0.005, gt=0, description="Adam's (section 4.1: 0.005)")
    betas: tuple[Share, Share] = Field((0.5, 0.999), description="Adam's β (section 4.1: 0.5 and 0.999)")


# The loss and the decoder of the code that the authors published; an order in place of numbers, for that code
# builds two blocks a stage for ResNet-18, a teacher of basic blocks.
_CODE = {"loss": "maps", "order": "code"}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "authors": _CODE,
    "segad": _CODE,  # its appendix B takes anomalib's implementation, whose loss and decoder are those
}


_STUDENT = 22
_WIDE = 1024
_DEPTHS: dict[str, dict[Block, tuple[int, ...]]] = {
    "mirrored": {"bottleneck": (3, 6, 4, 3), "basic": (2, 2, 2, 2)},
    "code": {"bottleneck": (3, 3, 4, 6), "basic": (2, 2, 2, 2)},
}


class RD4AD(DescentDetector):
    """Cosine distance between a teacher's maps and a decoder's, which knows good pictures only."""

    name: ClassVar = "rd4ad"
    Options = RD4ADOptions
    options: RD4ADOptions
    presets: ClassVar = PRESETS
    explains: ClassVar = "distances"

    def __init__(self, options: RD4ADOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.teacher = build_backbone(options.backbone, options.layers, strides=(4, 8, 16), size=options.size)
        self.shapes = _shapes(self.teacher)
        self.rectified = _rectified(self.teacher, options.size)
        self.student = self._fresh(0)
        added = options.combine == "add"
        self.heatmaps = nn.ModuleList(
            Heatmap((height, width), options.size, options.smoothing if added else 0.0)
            for _, height, width in self.shapes
        )
        self.smooth = nn.Identity() if added else Heatmap(options.size, options.size, options.smoothing)

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Train embedding and decoder on `data.normal`; raises as `descend`."""
        self.student = self._fresh(int(run.generator(_STUDENT).initial_seed())).to(run.torch_device())
        return self.descend(self.student, self.teacher, data, run, watch, betas=self.options.betas)

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; the map is the sum or product of the layers' distances, smoothed."""
        del scalars
        maps = list(self.teacher(pixels).values())
        enlarged = [
            enlarge(cosine_distance(target, rebuilt))  # (N, H, W)
            for enlarge, target, rebuilt in zip(self.heatmaps, maps, self.student(maps), strict=True)
        ]
        joined = torch.stack(enlarged)  # (K, N, H, W)
        heatmap = self.smooth(joined.sum(0) if self.options.combine == "add" else joined.prod(0))
        return {"score": heatmap.flatten(1).amax(1), "heatmap": heatmap}

    def losses(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cosine distances by layer, averaged over pictures, and their sum (equation 2)."""
        targets = [maps[layer].contiguous(memory_format=torch.channels_last) for layer in self.teacher.layers]
        losses = {}
        for layer, target, rebuilt in zip(self.teacher.layers, targets, self.student(targets), strict=True):
            pair = (target, rebuilt.float())
            if self.options.loss == "maps":
                pair = (_flat(target), _flat(rebuilt.float()))
            losses[layer] = cosine_distance(*pair).mean()
        return {"total": torch.stack(list(losses.values())).sum(), **losses}

    def _fresh(self, seed: int) -> Student:
        options = self.options
        block: Block = options.block or ("bottleneck" if self.shapes[-1][0] >= _WIDE else "basic")
        depths = options.blocks or _DEPTHS[options.order][block]
        if len(depths) != len(self.shapes) + 1:
            raise OptionError(
                "option 'blocks' of rd4ad",
                expected=f"{len(self.shapes) + 1} numbers, for the embedding and each layer's decoder stage",
                got=str(len(depths)),
                fix="Name one number more than there are layers.",
            )
        with seeded(seed):
            student = Student(
                Embedding(self.shapes, block, depths[0]),
                Decoder(self.shapes, block, depths[1:], rectified=self.rectified),
            )
        return student.requires_grad_(False).eval()


def _flat(maps: Tensor) -> Tensor:
    """Maps (N, C, h, w) as vectors (N, h * w * C), in the order of training's memory: nothing is copied."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def _shapes(teacher: Backbone) -> list[Shape]:
    """(C, h, w) of each layer's map, each half as fine as the one before, as strided convolutions halve."""
    shapes = [(teacher.channels[layer], *teacher.grids[layer]) for layer in teacher.layers]
    for (_, *finer), (_, *coarser) in pairwise(shapes):
        if [-(-side // 2) for side in finer] != coarser:
            raise OptionError(
                "layers of rd4ad",
                expected="each layer's map half as fine as the one before",
                got=" and ".join(f"{height}x{width}" for _, height, width in shapes),
                fix="Name one layer at each of the strides 4, 8 and 16, in this order.",
            )
    return shapes


@torch.no_grad()
def _rectified(teacher: Backbone, size: tuple[int, int]) -> bool:
    """Whether the teacher's layers end in a ReLU, from its answer to noise."""
    noise = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    return all(bool((maps >= 0).all()) for maps in teacher(noise).values())
