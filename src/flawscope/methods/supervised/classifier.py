"""The supervised classifier g of SegAD: a pretrained network that tells good from defective pictures.

Baitieva, Hurych, Besnier, Bernard: Supervised Anomaly Detection for Complex Industrial Images. CVPR 2024,
appendix B, "Wide ResNet": WideResNet-50-2, focal loss, SGD. The loss is Lin, Goyal, Girshick, He, Dollár:
Focal Loss for Dense Object Detection, ICCV 2017. The head is the networks' own: global average pooling and
one linear unit.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from flawscope.data.training import TrainingData
from flawscope.methods.detector import SCORE
from flawscope.methods.supervised.base import SupervisedDetector, SupervisedOptions, TrainingPictures
from flawscope.nn.training.loop import Losses
from flawscope.nn.training.stores import steps_of


class ClassifierOptions(SupervisedOptions):
    """Options of the classifier; defaults are SegAD's appendix B where nothing else is said."""

    backbone: str = Field("wide_resnet50_2", description="network to train (appendix B: WideResNet-50-2)")
    batch: int = Field(4, ge=2, description="pictures a step (appendix B: 4)")
    learning_rate: float = Field(0.025, gt=0, description="SGD's (appendix B: 0.025)")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD's (appendix B: 0.9)")
    epochs: int = Field(
        10, ge=1, description="epochs over good and defective pictures; the paper does not say, ours"
    )
    balanced: bool = Field(
        False,
        description="half of each batch defective; the paper names the focal loss alone as its means against "
        "few defects",
    )
    alpha: float = Field(
        0.25,
        ge=0,
        le=1,
        description="focal loss: α, weight of defective pictures; 1 − α is the good ones' (Lin: 0.25)",
    )
    gamma: float = Field(2.0, ge=0, description="focal loss: γ, how little sure answers count (Lin: 2)")


class Classifier(SupervisedDetector):
    """Good or defective, learnt from both; knows seen defects well, unseen ones not. No heatmap."""

    name: ClassVar = "classifier"
    Options = ClassifierOptions
    options: ClassifierOptions
    # EfficientNet-Lite0 diverges at the learning rate that SegAD states for WideResNet-50-2
    presets: ClassVar = {"default": {"backbone": "tf_efficientnet_lite0", "learning_rate": 0.0025}}
    outputs = (SCORE,)

    def build_heads(self, channels: int) -> dict[str, nn.Module]:
        """One linear unit over the pooled map."""
        return {"head": nn.Linear(channels, 1)}

    def optimiser(self) -> torch.optim.Optimizer:
        """SGD with momentum."""
        options = self.options
        return torch.optim.SGD(
            self.networks.parameters(), lr=options.learning_rate, momentum=options.momentum, fused=True
        )

    def training_steps(self, data: TrainingData) -> int:
        """Steps in `epochs` epochs over both parts."""
        count = len(data.normal) + (len(data.defective) if data.defective is not None else 0)
        return steps_of(self.options.epochs, count, self.options.batch)

    def losses(self, pictures: TrainingPictures, step: int) -> Losses:
        """The focal loss, mean over the batch."""
        options = self.options
        if options.balanced:
            faulty = options.batch // 2
            pixels = torch.cat(pictures.drawn(options.batch - faulty, faulty, step))
            defective = torch.arange(options.batch, device=pixels.device) >= options.batch - faulty
        else:
            pixels, defective = pictures.mixed(options.batch, step)
        logits = self._logits(pixels.contiguous(memory_format=torch.channels_last)).float()
        loss = sigmoid_focal_loss(
            logits, defective.float(), alpha=options.alpha, gamma=options.gamma, reduction="mean"
        )
        return {"total": loss}

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; the score is the raw logit of "defective"."""
        del scalars
        return {"score": self._logits(pixels)}

    def _logits(self, pixels: Tensor) -> Tensor:
        pooled = self.maps(pixels).mean((2, 3))  # (N, C)
        logits: Tensor = self.networks.heads["head"](pooled)
        return logits.squeeze(1)
