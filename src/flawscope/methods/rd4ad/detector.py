"""RD4AD as a detector: a decoder learns to give a teacher's maps back from a narrow embedding of them.

The source is named in this package's docstring. What the embedding does not hold, because good pictures never
show it, the decoder cannot give back: there its maps differ from the teacher's.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.detector import Facts, Learnt
from flawscope.methods.frozen_backbone import DescentDetector
from flawscope.methods.rd4ad.networks import Block, Decoder, Embedding, Shape, Student, cosine_distance
from flawscope.methods.rd4ad.options import PRESETS, RD4ADOptions
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.run import Run, seeded
from flawscope.nn.watch import Watch

_STUDENT = 22
_WIDE = 1024
_DEPTHS: dict[Block, tuple[int, ...]] = {"bottleneck": (3, 6, 4, 3), "basic": (2, 2, 2, 2)}


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
                pair = (target.flatten(1), rebuilt.float().flatten(1))  # (N, C * h * w) each
            losses[layer] = cosine_distance(*pair).mean()
        return {"total": torch.stack(list(losses.values())).sum(), **losses}

    def _fresh(self, seed: int) -> Student:
        options = self.options
        block: Block = options.block or ("bottleneck" if self.shapes[-1][0] >= _WIDE else "basic")
        depths = options.blocks or _DEPTHS[block]
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
