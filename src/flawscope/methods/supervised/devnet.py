"""DevNet: patch scores that follow a Gaussian prior on good pictures and leave it on defects.

Pang, Ding, Shen, van den Hengel: Explainable Deep Few-shot Anomaly Detection with Deviation Networks,
arXiv:2108.00462. A pretrained network, a 1×1 convolution that scores each patch, the mean of the largest 10 %
as the picture's score, the deviation loss.

The authors' code scores each picture at full and at half size and takes the mean (`scales`).

The paper explains a score s by its gradient at the input. A graph for deployment holds no autograd, so the
heatmap here is the map of patch scores φ_i = w·f_i + b, enlarged, mean over the scales. At one scale, with T
the K largest patches, s = Σ_{i ∈ T} φ_i / K, so that ∂s/∂f_i = w/K for i in T and 0 elsewhere: gradient times
feature, summed over channels, is (φ_i − b)/K on T. On T the heatmap therefore equals that product times K,
plus b; on all other patches it goes on by the same formula where the gradient says nothing. (With
`absolute`, s is of |φ_i|, and the product is |φ_i| − sign(φ_i) b, over K.) `saliency` is the paper's own
gradient, for use from Python.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from flawscope.data.training import TrainingData
from flawscope.methods.detector import Detector, Facts, Side
from flawscope.methods.supervised.base import SupervisedDetector, SupervisedOptions, TrainingPictures
from flawscope.nn.heatmaps import Heatmap, top_mean
from flawscope.nn.training.loop import Losses

REFERENCES = 5000
_DECAY = 0.1  # of the learning rate, at each fall
# SegAD, appendix B: 256×256, the authors' code, without its rotation
_SEGAD = {"size": [256, 256], "rotation": 0.0, "absolute": True}


class DeviationOptions(SupervisedOptions):
    """Options of methods that learn by deviation; the values are those of DevNet's and DRA's papers."""

    size: tuple[Side, Side] = Field((448, 448), description="input height and width in pixels (448)")
    backbone: str = Field("resnet18", description="network to train (ResNet-18)")
    batch: int = Field(48, ge=4, description="pictures a step, half of them defective (48)")
    epoch_steps: int = Field(20, ge=1, description="steps an epoch (20)")
    learning_rate: float = Field(2e-4, gt=0, description="Adam's (2e-4)")
    weight_decay: float = Field(1e-5, ge=0, description="Adam's (1e-5)")
    decay_epochs: int | None = Field(
        10,
        ge=1,
        description="epochs after which the learning rate falls to a tenth, again and again (authors' code: "
        "10); none keeps it",
    )
    clip: float | None = Field(
        1.0,
        gt=0,
        description="largest norm of the gradient over all parameters, to which a longer one is cut "
        "(authors' code: 1); none cuts nothing",
    )
    scales: int = Field(
        2,
        ge=1,
        le=3,
        description="sizes at which each picture is scored: full, half, quarter (authors' code: 2)",
    )
    top: float = Field(0.1, gt=0, le=1, description="share of a map's patches that make its score (top 10 %)")
    absolute: bool = Field(
        False, description="scores are |φ| in place of φ, as in the authors' code and not in the paper"
    )
    margin: float = Field(5.0, gt=0, description="a, deviations that defects must reach (5)")
    references: int = Field(REFERENCES, ge=2, description="scores drawn from the prior each step (5000)")
    rotation: float = Field(
        180.0, ge=0, le=180, description="training pictures are turned by up to so many degrees (code: 180)"
    )


class DevNetOptions(DeviationOptions):
    """Options of DevNet; defaults are the paper's."""

    epochs: int = Field(50, ge=1, description="epochs of `epoch_steps` steps (50)")


class DeviationDetector(SupervisedDetector):
    """What DevNet and DRA share."""

    options: DeviationOptions
    presets: ClassVar = {"default": {**_SEGAD, "backbone": "tf_efficientnet_lite0"}, "segad": _SEGAD}

    def __init__(self, options: DeviationOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        with torch.inference_mode():
            pyramid = self.pyramid(torch.zeros(1, 3, *options.size))
        self.shapes = [tuple(maps.shape[1:]) for maps in pyramid]  # (C, h, w) at each scale
        self.heatmaps = nn.ModuleList(
            Heatmap((height, width), options.size, 0.0) for _, height, width in self.shapes
        )

    @property
    def clip(self) -> float | None:
        """See `SupervisedDetector.clip`."""
        return self.options.clip

    def schedule(self, step: int) -> float:
        """A tenth of the rate after every `decay_epochs` epochs."""
        every = self.options.decay_epochs
        return _DECAY ** (step // self.options.epoch_steps // every) if every else 1.0

    def optimiser(self) -> torch.optim.Optimizer:
        """Adam with L2 decay."""
        return torch.optim.Adam(
            self.networks.parameters(),
            lr=self.options.learning_rate,
            weight_decay=self.options.weight_decay,
            fused=True,
        )

    def training_steps(self, data: TrainingData) -> int:
        """`epochs` times `epoch_steps`, however many pictures there are."""
        del data
        return self.options.epochs * self.options.epoch_steps

    def turned(self, pixels: Tensor) -> Tensor:
        """Training pictures (N, 3, H, W) at random angles, in the order of memory that trains fastest."""
        return rotated(pixels, self.options.rotation).contiguous(memory_format=torch.channels_last)

    def pyramid(self, pixels: Tensor) -> list[Tensor]:
        """Feature maps (N, C, h, w) of the picture at full, half and quarter size, as `scales` says."""
        sizes = [pixels] + [F.avg_pool2d(pixels, 2**scale) for scale in range(1, self.options.scales)]
        return [self.maps(each) for each in sizes]

    def enlarged(self, patches: list[Tensor]) -> Tensor:
        """The heatmap (N, H, W): patch scores (N, h, w) of each scale, enlarged, their mean."""
        maps = [enlarge(each) for enlarge, each in zip(self.heatmaps, patches, strict=True)]
        return torch.stack(maps).mean(0)


class DevNet(DeviationDetector):
    """Patch scores learnt from good pictures and a few defects; the worst tenth of them is the score."""

    name: ClassVar = "devnet"
    Options = DevNetOptions
    options: DevNetOptions

    def build_heads(self, channels: int) -> dict[str, nn.Module]:
        """The 1×1 convolution that scores patches."""
        return {"head": nn.Conv2d(channels, 1, 1)}

    def losses(self, pictures: TrainingPictures, step: int) -> Losses:
        """The deviation loss of a balanced batch."""
        faulty = self.options.batch // 2
        pixels = self.turned(torch.cat(pictures.drawn(self.options.batch - faulty, faulty, step)))
        defective = torch.arange(len(pixels), device=pixels.device) >= len(pixels) - faulty
        scores = self._scores(self._patch_scores(pixels))
        prior = prior_scores(self.options.references)
        return {"total": deviation_loss(scores.float(), defective, prior, self.options.margin)}

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; the heatmap is the map of patch scores, see this module's docstring."""
        del scalars
        patches = self._patch_scores(pixels)
        return {"score": self._scores(patches), "heatmap": self.enlarged(patches)}

    def _scores(self, patches: list[Tensor]) -> Tensor:
        """The picture's score (N,): mean over the scales of the mean of the largest patch scores."""
        return torch.stack([top_mean(each, self.options.top) for each in patches]).mean(0)

    def _patch_scores(self, pixels: Tensor) -> list[Tensor]:
        """φ, or |φ|, at each scale (N, h, w), of pixels (N, 3, H, W)."""
        head = self.networks.heads["head"]
        found = [head(maps).squeeze(1) for maps in self.pyramid(pixels)]
        return [scores.abs() for scores in found] if self.options.absolute else found


def saliency(detector: Detector, pixels: Tensor) -> Tensor:
    """The paper's explanation: the length Σ_c |∂s/∂x_c| (N, H, W) of the score's gradient at each pixel.

    Args:
        detector: any detector whose `forward` differentiates.
        pixels: (N, 3, H, W) in [0, 1].
    """
    with torch.inference_mode(False), torch.enable_grad():
        inputs = pixels.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(detector.eval()(inputs)["score"].sum(), inputs)
    return gradient.abs().sum(1)


def prior_scores(count: int = REFERENCES) -> Tensor:
    """Scores (count,) drawn from the prior N(0, 1) with torch's global generator, which the loop seeds."""
    return torch.randn(count)


def deviation_loss(scores: Tensor, defective: Tensor, prior: Tensor, margin: float = 5.0) -> Tensor:
    """Mean of (1 − y) |dev(s)| + y max(0, margin − dev(s)), with dev(s) = (s − μ) / σ.

    Args:
        scores: (N,) of one head.
        defective: (N,) y, 1 or True where the score must deviate.
        prior: (M,) reference scores, whose mean is μ and whose standard deviation is σ.
        margin: a, in standard deviations of the prior.
    """
    mean, spread = float(prior.mean()), float(prior.std())
    deviation = (scores - mean) / spread
    return torch.where(defective.bool(), (margin - deviation).clamp_min(0), deviation.abs()).mean()


def rotated(pixels: Tensor, degrees: float) -> Tensor:
    """Each of `pixels` (N, 3, H, W) turned about its centre by an angle drawn from ±`degrees`.

    Angles come from torch's global generator. What comes from beyond the border is black; the values between
    pixels are bilinear.
    """
    if not degrees:
        return pixels
    height, width = pixels.shape[2:]
    angles = (2 * torch.rand(len(pixels)) - 1) * math.radians(degrees)
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # in grid_sample's units, where either side is 2 long
    turn = torch.stack(
        [
            torch.stack([cosine, -sine * height / width, zero], 1),
            torch.stack([sine * width / height, cosine, zero], 1),
        ],
        1,
    ).to(pixels)  # (N, 2, 3)
    grid = F.affine_grid(turn, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)
