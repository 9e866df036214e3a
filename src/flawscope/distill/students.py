"""Networks that learn by distillation."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from flawscope.distill.options import DistillOptions
from flawscope.errors import OptionError
from flawscope.nn.backbones.build import IMAGENET, Backbone, build_backbone
from flawscope.nn.backbones.pdn import pdn
from flawscope.nn.run import Run

_SEED = 0xD18


class Student(nn.Module):
    """A network that learns: pixels in, one map out.

    Attributes:
        body: what is saved; its keys are those of the network's weight files.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.body = body
        self.layer = backbone.layers[-1] if backbone else None
        self.tokens = backbone is not None and backbone.tokens
        values = (backbone.mean, backbone.std) if backbone else (torch.tensor(value) for value in IMAGENET)
        for key, value in zip(("mean", "std"), values, strict=True):
            self.register_buffer(key, value.view(1, 3, 1, 1).clone(), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map `pixels` (N, 3, H, W) in [0, 1] to (N, C, h, w)."""
        x = (pixels - self.mean) / self.std
        if self.layer is None:
            return cast(Tensor, self.body(x))
        if self.tokens:
            body: Any = self.body
            block = int(self.layer.removeprefix("blocks."))
            return cast(Tensor, body.forward_intermediates(x, [block], intermediates_only=True)[0])
        return cast(Tensor, self.body(x)[self.layer])


def build_student(options: DistillOptions, channels: int, run: Run) -> Student:
    """The untrained student for targets of so many channels; patch description networks pad.

    Raises:
        OptionError: unknown network, or a layer of another width.
    """
    if options.student in ("pdn_s", "pdn_m"):
        with run.seeded(_SEED):
            return Student(pdn("small" if options.student == "pdn_s" else "medium", channels))
    side = (options.student_size, options.student_size)
    layers = [options.student_layer] if options.student_layer else None
    backbone = build_backbone(options.student, layers, strides=(8,), size=side)
    width = backbone.channels[backbone.layers[-1]]
    if width != channels:
        raise OptionError(
            f"student {options.student}",
            expected=f"a layer of {channels} channels, as the targets have",
            got=f"{backbone.layers[-1]} with {width}",
            fix=f"Choose another student layer, or features patchcore with {width} channels.",
        )
    return Student(backbone.body.requires_grad_(True), backbone)
