"""Batches of noise that cost EfficientAD's training what batches of pictures do, and a step on one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from flawscope.methods.efficientad.crops import Crops
from flawscope.methods.efficientad.pictures import Batch
from flawscope.methods.efficientad.training import Objective
from flawscope.nn.run import Run

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
        defects=torch.from_numpy(np.stack([mask] * options.batch)),
        crops=torch.from_numpy(np.stack([part for parts, _ in cut for part in parts])),
        crop_defects=torch.from_numpy(np.stack([part for _, masks in cut for part in masks])),
    )


def stepper(detector: Any, run: Run, *, defects: bool) -> Callable[[], None]:
    """One training step on such a batch in memory, optimiser included."""
    networks = detector.networks.to(memory_format=torch.channels_last)
    objective = Objective(networks, detector.options, detector._normalised, run)
    learners = [*networks.student.parameters(), *networks.autoencoder.parameters()]
    optimiser = torch.optim.Adam([value.requires_grad_() for value in learners], lr=1e-4, fused=True)
    networks.autoencoder.train()
    batch = noise_batch(detector, defects=defects).to(torch.device("cpu"))

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        objective(batch)["total"].backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step
