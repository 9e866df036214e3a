"""What student and teachers see of the same pictures: one crop and colour, each at its own size."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from flawscope.distill.options import DistillOptions
from flawscope.runtime.images import LUMA


def views(batch: Mapping[int, Tensor], options: DistillOptions) -> tuple[Tensor, list[Tensor]]:
    """The student's pictures and those of each teacher, (N, 3, side, side) float32 in [0, 1].

    Draws from torch's global generator of the CPU, and only for augmentation that is switched on.

    Args:
        batch: the pictures by size, uint8; of sizes that are missing, the largest is resized.
        options: sizes and augmentation.
    """
    n = len(next(iter(batch.values())))
    pixels = _cropped(batch, options) if options.crop < 1 else _resized(batch, options)
    if options.flips:
        mirrored = torch.rand(n) < 0.5
        pixels = {size: _where(mirrored, each.flip(3), each) for size, each in pixels.items()}
    if options.grey:
        grey = torch.rand(n) < options.grey
        pixels = {size: _where(grey, _luma(each), each) for size, each in pixels.items()}
    pixels = {size: each.contiguous(memory_format=torch.channels_last) for size, each in pixels.items()}
    return pixels[options.student_size], [pixels[size] for size in options.sizes]


def _resized(batch: Mapping[int, Tensor], options: DistillOptions) -> dict[int, Tensor]:
    largest = batch[max(batch)].float() / 255
    return {
        size: batch[size].float() / 255 if size in batch else _interpolated(largest, size)
        for size in {options.student_size, *options.sizes}
    }


def _cropped(batch: Mapping[int, Tensor], options: DistillOptions) -> dict[int, Tensor]:
    """Square crops of random side and place, one for each picture."""
    side = max(batch)
    sizes = {options.student_size, *options.sizes}
    cut: dict[int, list[Tensor]] = {size: [] for size in sizes}
    for picture in batch[side]:
        scale, vertical, horizontal = torch.rand(3).tolist()
        edge = max(round(side * (options.crop + (1 - options.crop) * scale)), 1)
        top, left = round((side - edge) * vertical), round((side - edge) * horizontal)
        crop = picture[None, :, top : top + edge, left : left + edge].float() / 255
        for size in sizes:
            cut[size].append(_interpolated(crop, size))
    return {size: torch.cat(crops) for size, crops in cut.items()}


def _interpolated(pixels: Tensor, size: int) -> Tensor:
    if pixels.shape[2:] == (size, size):
        return pixels
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


def _luma(pixels: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, device=pixels.device).view(1, 3, 1, 1)
    return (pixels * weights).sum(1, keepdim=True).expand_as(pixels)


def _where(chosen: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.where(chosen.to(first.device).view(-1, 1, 1, 1), first, second)
