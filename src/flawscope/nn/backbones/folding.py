"""A frozen network without batch norms, for the many passes of learning: convolutions do their work."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from flawscope.nn.backbones.build import Backbone


def folded(backbone: Backbone) -> Backbone:
    """A copy of a frozen backbone that answers alike up to rounding, in less time on a processor.

    Each batch norm right behind a convolution scales that convolution's weights instead. Weights lie in
    channels-last order, and pictures should too.
    """
    made = copy.deepcopy(backbone)
    if isinstance(made.body, fx.GraphModule):
        _fold(made.body)
    return made.to(memory_format=torch.channels_last)


def _fold(body: fx.GraphModule) -> None:
    modules = dict(body.named_modules())
    for node in body.graph.nodes:
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
            continue
        before = node.args[0]
        convolution = modules.get(str(before.target)) if isinstance(before, fx.Node) else None
        if not isinstance(convolution, nn.Conv2d) or len(before.users) > 1:
            continue
        moments = (norm.running_mean, norm.running_var, norm.eps)
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, *moments, norm.weight, norm.bias
        )
        body.set_submodule(str(node.target), getattr(norm, "act", nn.Identity()))  # timm's do both
    body.recompile()
