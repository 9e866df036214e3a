"""What segments a picture is divided into, and how far each pixel shows them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from flawscope.segmenters import Segmenter
from flawscope.segmenters.components.segmenter import Components


def divided(
    segmenter: Segmenter, pixels: Tensor, maps: Mapping[str, Tensor], sharpness: float
) -> tuple[Tensor, Tensor]:
    """Labels (N, H, W) int64, and how far each pixel shows each class, (N, K + 1, H, W).

    Args:
        segmenter: which divides them.
        pixels: (N, 3, H, W) in [0, 1].
        maps: of the backbone, (N, C, h, w) by layer.
        sharpness: by what logits are multiplied before a pixel is shared among the classes.
    """
    if isinstance(segmenter, Components):
        logits = segmenter.logits(pixels, maps)  # (N, K + 1, H, W)
        return logits.argmax(1), shares_of(logits * sharpness)
    labels = segmenter(pixels)
    classes = torch.arange(segmenter.count, device=labels.device).view(-1, 1, 1)
    return labels, (labels.unsqueeze(1) == classes).float()


def without_ignored(segmenter: Segmenter, labels: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """What `divided` gives without the classes that are ignored: nothing shows them."""
    if not segmenter.ignored:
        return labels, shares
    kept = [int(label not in segmenter.ignored) for label in range(segmenter.count)]
    weight = labels.new_tensor(kept)
    return labels * weight[labels], shares * weight.to(shares).view(-1, 1, 1)


def without_ignored_light(segmenter: Segmenter, labels: Tensor, pixels: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) in which classes that are ignored are white, so that they have no hue."""
    if not segmenter.ignored:
        return pixels
    kept = torch.ones_like(labels, dtype=torch.bool)
    for label in segmenter.ignored:
        kept = kept & (labels != label)
    return torch.where(kept.unsqueeze(1), pixels, 1.0)


def shares_of(logits: Tensor) -> Tensor:
    """Softmax over classes (N, C, H, W), whose own operator ONNX Runtime is slow with along this axis."""
    powers = torch.exp(logits - logits.amax(1, keepdim=True))
    return powers / powers.sum(1, keepdim=True)
