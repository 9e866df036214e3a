"""Batches of noise that cost EfficientAD's training what batches of pictures do."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from flawscope.methods.efficientad.crops import Crops
from flawscope.methods.efficientad.pictures import Batch

DEFECTS = ((100, 120, 80, 100), (30, 46, 180, 196))  # first and last row, first and last column


def noise_batch(detector: Any, *, defects: bool) -> Batch:
    """As many pictures as the options say, all with two defects or none, with what else the losses take."""
    options = detector.options
    pixels, varied, natural = torch.rand(
        3, options.batch, 3, *options.size, generator=torch.Generator().manual_seed(0)
    )
    batch = Batch(
        pixels,
        varied=varied if options.appearance == "efficientad" else None,
        natural=natural if options.penalty == "ood" else None,
    )
    if not defects:
        return batch
    mask = np.zeros(options.size, np.bool_)
    for top, bottom, left, right in DEFECTS:
        mask[top:bottom, left:right] = True
    crops = Crops(options.size, detector.networks.cells[-1], (26, 26))
    cut = [crops(picture, mask) for picture in pixels.numpy()]
    return Batch(
        pixels,
        torch.from_numpy(np.stack([mask] * options.batch)),
        torch.from_numpy(np.stack([part for parts, _ in cut for part in parts])),
        torch.from_numpy(np.stack([part for _, masks in cut for part in masks])),
    )
