"""Pictures for long training: as bytes on the device where they fit, decoded ahead where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.nn.memory import budget
from flawscope.nn.run import Run
from flawscope.nn.training.reading import ahead
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.images import Frame, read_image, to_frame

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
