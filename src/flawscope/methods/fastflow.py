"""FastFlow: normalizing flows over a backbone's feature maps.

Yu, Zheng, Wang, Li, Wu, Zhao, Wu: FastFlow, Unsupervised Anomaly Detection and Localization via 2D
Normalizing Flows. arXiv:2111.07677, 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from flawscope.data.training import TrainingData
from flawscope.methods.detector import Facts, Learnt
from flawscope.methods.frozen_backbone import DescentDetector, DescentOptions
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.run import Run, seeded
from flawscope.nn.watch import Watch

_GAIN = 0.1  # slope of the soft clamp's argument, so that fresh couplings begin near the identity


class Coupling(nn.Module):
    """One affine coupling of a map (N, C, h, w): half of the channels, drawn once, scale and shift the rest.

    y_a = x_a, y_b = x_b · exp(s(x_a)) + t(x_a), with s softly clamped to ±`clamp` by a hyperbolic tangent.
    The halves are parts of a random order of the channels; the output keeps that order.

    Args:
        channels: C, at least 2.
        kernel: side of both convolutions of the subnet, odd.
        hidden_ratio: width between them, as a share of the conditioning half.
        clamp: largest |s|.
    """

    order: Tensor

    def __init__(self, channels: int, kernel: int, hidden_ratio: float, clamp: float) -> None:
        super().__init__()
        self.clamp = clamp
        self.changed = channels // 2
        self.kept = channels - self.changed
        hidden = max(1, int(self.kept * hidden_ratio))
        self.subnet = nn.Sequential(
            nn.Conv2d(self.kept, hidden, kernel, padding=kernel // 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 2 * self.changed, kernel, padding=kernel // 2),
        )
        self.register_buffer("order", torch.randperm(channels))  # (C,)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, h, w) to the same shape, and the log-determinant of the Jacobian (N,)."""
        kept, changed = x.index_select(1, self.order).tensor_split((self.kept,), 1)
        scale, shift = self._affine(kept)
        return torch.cat([kept, changed * scale.exp() + shift], 1), scale.sum((1, 2, 3))

    def inverse(self, y: Tensor) -> Tensor:
        """The x of which `forward` makes `y`."""
        kept, changed = y.tensor_split((self.kept,), 1)
        scale, shift = self._affine(kept)
        return torch.cat([kept, (changed - shift) * (-scale).exp()], 1).index_select(1, self.order.argsort())

    def _affine(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """s and t (N, C // 2, h, w), in the number format of `kept` whatever the convolutions compute in."""
        raw = self.subnet(kept).to(kept.dtype)
        scale, shift = raw.chunk(2, 1)
        return self.clamp * torch.tanh(_GAIN * scale), shift


class PlaceScaling(nn.Module):
    """A learned scale and shift of every single value of a map; the scale is learned as its logarithm."""

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(1, channels, *grid))
        self.shift = nn.Parameter(torch.zeros(1, channels, *grid))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, h, w) to the same shape, and the log-determinant of the Jacobian (N,)."""
        return x * self.log_scale.exp() + self.shift, self.log_scale.sum().expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """The x of which `forward` makes `y`."""
        return (y - self.shift) * (-self.log_scale).exp()


class Flow(nn.Module):
    """Scaling of each place, then couplings, from a map to a standard Gaussian.

    Args:
        channels: of the map.
        grid: its height and width.
        kernels: side of each coupling's convolutions, one coupling for each.
        hidden_ratio: see `Coupling`.
        clamp: see `Coupling`.
    """

    def __init__(
        self, channels: int, grid: tuple[int, int], kernels: Sequence[int], hidden_ratio: float, clamp: float
    ) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            [
                PlaceScaling(channels, grid),
                *(Coupling(channels, kernel, hidden_ratio, clamp) for kernel in kernels),
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (N, C, h, w) to z of the same shape, and log |det dz/dx| (N,)."""
        total = x.new_zeros(x.shape[0])
        for step in self.steps:
            x, log_det = step(x)
            total = total + log_det
        return x, total

    def inverse(self, z: Tensor) -> Tensor:
        """The x of which `forward` makes `z`."""
        steps: list[Any] = list(self.steps)
        for step in reversed(steps):
            z = step.inverse(z)
        return z


def negative_log_likelihood(z: Tensor, log_det: Tensor) -> Tensor:
    """−log p(x) (N,) in nats less the Gaussian's constant: ½‖z‖² − log |det dz/dx|."""
    return 0.5 * z.square().sum((1, 2, 3)) - log_det


_FLOWS = 21


class FastFlowOptions(DescentOptions):
    """Options of FastFlow; sections are the paper's."""

    backbone: str = Field("wide_resnet50_2", description="network of the features (section 4.2)")
    layers: tuple[str, ...] | None = Field(
        None, description="its layers; by default those at strides 4, 8 and 16 (section 4.2: blocks 1 to 3)"
    )
    flow_steps: int = Field(8, ge=1, description="couplings a layer (section 4.2: 8 for ResNets)")
    only_3x3: bool = Field(
        False, description="3×3 convolutions in each coupling, not 3×3 and 1×1 in turn (section 3.3)"
    )
    hidden_ratio: float = Field(
        1.0, gt=0, description="width inside a coupling's subnet over the width it reads; the paper is silent"
    )
    clamp: float = Field(2.0, gt=0, description="bound of a coupling's log-scale; the paper is silent")
    epochs: int = Field(500, ge=1, description="passes over the training pictures (section 4.2: 500)")
    batch: int = Field(32, ge=2, description="pictures a step (section 4.2: 32)")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's (section 4.2: 1e-3)")
    weight_decay: float = Field(1e-5, ge=0, description="Adam's (section 4.2: 1e-5)")


class FastFlow(DescentDetector):
    """Normalizing flows from features to a Gaussian; the score is the least likely place."""

    name: ClassVar = "fastflow"
    Options = FastFlowOptions
    options: FastFlowOptions
    presets: ClassVar = {"segad": {"epochs": 200}}  # SegAD, appendix B

    def __init__(self, options: FastFlowOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.backbone = build_backbone(
            options.backbone, options.layers, strides=(4, 8, 16), size=options.size
        )
        self.flows = self._fresh(0)
        self.heatmaps = nn.ModuleList(
            Heatmap(self.backbone.grids[layer], options.size, 0.0) for layer in self.backbone.layers
        )

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Maximise the likelihood of the features of `data.normal`; raises as `descend`."""
        self.flows = self._fresh(int(run.generator(_FLOWS).initial_seed())).to(run.torch_device())
        decay = self.options.weight_decay
        return self.descend(self.flows, self.backbone, data, run, watch, weight_decay=decay)

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; the map is in [−1, 0], the negative likelihood over that of the mode.

        At each place of each layer that is −exp(−½ mean over channels of z²); the layers' maps are upsampled
        and averaged. The paper sums the channels' probabilities (section 3.4), a sum that one unlikely
        channel hardly moves; the geometric mean is what its implementations at large use.
        """
        del scalars
        maps = self.backbone(pixels)
        likely = []
        for layer, flow, enlarge in zip(self.backbone.layers, self.flows, self.heatmaps, strict=True):
            z, _ = flow(_normalised(maps[layer]))
            likely.append(enlarge(torch.exp(-0.5 * z.square().mean(1))))  # (N, H, W)
        heatmap = -torch.stack(likely).mean(0)
        return {"score": heatmap.flatten(1).amax(1), "heatmap": heatmap}

    def losses(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The layers' negative log-likelihoods, summed, in nats a picture (equation 3)."""
        parts = []
        for layer, flow in zip(self.backbone.layers, self.flows, strict=True):
            x = _normalised(maps[layer]).contiguous(memory_format=torch.channels_last)
            parts.append(negative_log_likelihood(*flow(x)).mean())
        return {"total": torch.stack(parts).sum()}

    def _fresh(self, seed: int) -> nn.ModuleList:
        options = self.options
        kernels = [3 if options.only_3x3 or step % 2 == 0 else 1 for step in range(options.flow_steps)]
        with seeded(seed):
            flows = nn.ModuleList(
                Flow(
                    self.backbone.channels[layer],
                    self.backbone.grids[layer],
                    kernels,
                    options.hidden_ratio,
                    options.clamp,
                )
                for layer in self.backbone.layers
            )
        return flows.requires_grad_(False).eval()


def _normalised(maps: Tensor) -> Tensor:
    """Maps (N, C, h, w) with mean 0 and variance 1 over all values of a picture."""
    return F.layer_norm(maps, maps.shape[1:])
