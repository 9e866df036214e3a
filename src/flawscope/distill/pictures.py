"""Pictures for long training, and what student and teachers see of each.

They lie as bytes on the device where they fit, and are decoded ahead where they do not. All networks see one
crop and colour, each at its own size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from flawscope.distill.options import DistillOptions
from flawscope.nn.memory import budget
from flawscope.nn.run import Run
from flawscope.nn.training.reading import ahead
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.images import LUMA, Frame, read_image, to_frame

Bytes = dict[int, NDArray[np.uint8]]


class PictureCache:
    """Square pictures of one or several sizes, stretched, 8 bits a channel.

    Args:
        paths: picture files.
        sizes: sides in pixels.
        run: its device, and the memory that the pictures may take there.

    Raises:
        InputError: a picture that cannot be read.
        Stopped: the stop signal was set while pictures were read.
    """

    def __init__(
        self, paths: Sequence[Path], sizes: Iterable[int], run: Run, watch: Watch = UNWATCHED
    ) -> None:
        self.paths, self.sizes = tuple(paths), tuple(sorted(set(sizes)))
        self.device = run.torch_device()
        self.kept: dict[int, Tensor] = {}
        if self.bytes <= budget(run, on_device=True):
            self._fill(run, watch)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def bytes(self) -> int:
        """What all pictures take."""
        return 3 * len(self.paths) * sum(size**2 for size in self.sizes)

    def batches(self, chosen: Iterable[Sequence[int]]) -> Iterator[dict[int, Tensor]]:
        """For each sequence of indices, `batch` of it; decoded ahead where the pictures are not kept."""
        return map(self.batch, chosen) if self.kept else ahead(self.batch, chosen)

    def batch(self, indices: Sequence[int]) -> dict[int, Tensor]:
        """The pictures by size: (n, 3, side, side) uint8 on the device."""
        if self.kept:
            rows = torch.as_tensor(indices, device=self.device)
            return {size: pictures[rows] for size, pictures in self.kept.items()}
        read = [self._read(index) for index in indices]
        return {
            size: torch.from_numpy(np.stack([one[size] for one in read])).to(self.device)
            for size in self.sizes
        }

    def _read(self, index: int) -> Bytes:
        image = read_image(self.paths[index])
        return {
            size: (to_frame(image, Frame(size, size)) * 255 + 0.5).astype(np.uint8) for size in self.sizes
        }

    def _fill(self, run: Run, watch: Watch) -> None:
        kept = {
            size: torch.empty(len(self), 3, size, size, dtype=torch.uint8, device=self.device)
            for size in self.sizes
        }
        with watch.stage("reading pictures", len(self)) as stage:
            for index, read in enumerate(ahead(self._read, range(len(self)))):
                watch.check_stop(run)
                for size, pixels in read.items():
                    kept[size][index] = torch.from_numpy(pixels)
                stage.advance()
        self.kept = kept


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
