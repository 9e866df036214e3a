"""Pictures for long training: as bytes on the device where they fit, decoded ahead where they do not."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.nn.memory import budget
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.images import Frame, read_image, to_frame

_AHEAD = 3

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
        self,
        paths: Sequence[Path],
        sizes: Iterable[int],
        run: Run,
        watch: Watch = UNWATCHED,
        *,
        threads: int = 4,
    ) -> None:
        self.paths, self.sizes = tuple(paths), tuple(sorted(set(sizes)))
        self.device, self.threads = run.torch_device(), threads
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
        """For each sequence of indices, the pictures by size: (n, 3, side, side) uint8 on the device."""
        if self.kept:
            for indices in chosen:
                rows = torch.as_tensor(indices, device=self.device)
                yield {size: pictures[rows] for size, pictures in self.kept.items()}
            return
        source = iter(chosen)
        pending: deque[list[Future[Bytes]]] = deque()
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="pictures")

        def submit(count: int) -> None:
            for indices in itertools.islice(source, count):
                pending.append([pool.submit(self._read, index) for index in indices])

        try:
            submit(_AHEAD)
            while pending:
                read = [task.result() for task in pending.popleft()]
                submit(1)
                yield {
                    size: torch.from_numpy(np.stack([one[size] for one in read])).to(self.device)
                    for size in self.sizes
                }
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

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
        title = "reading pictures"
        with watch.stage(title, len(self)) as stage, ThreadPoolExecutor(self.threads) as pool:
            for start in range(0, len(self), 64):
                stop = min(start + 64, len(self))
                watch.check_stop(run)
                for index, read in enumerate(pool.map(self._read, range(start, stop)), start):
                    for size, pixels in read.items():
                        kept[size][index] = torch.from_numpy(pixels)
                    stage.advance()
        self.kept = kept
