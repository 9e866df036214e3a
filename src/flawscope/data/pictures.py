"""Pictures of a data set, decoded on demand at one frame, ahead of their use."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flawscope.data.decoded import DecodedPictures
from flawscope.data.samples import Sample
from flawscope.errors import OptionError
from flawscope.files import remembered_sha256
from flawscope.runtime.images import Frame, load

THREADS = min(4, os.cpu_count() or 1)
_AHEAD = 2
IN_FLIGHT = 2 + _AHEAD  # batches that `Pictures.batches` holds: the one in use, two ahead, and their next


class Pictures(Protocol):
    """A sequence of pictures (3, height, width) float32 in [0, 1], all at one frame, made when asked for.

    Attributes:
        samples: what each picture shows and where it comes from.
        frame: height and width, and how pictures get there.
    """

    samples: tuple[Sample, ...]
    frame: Frame

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[np.float32]: ...

    def __iter__(self) -> Iterator[NDArray[np.float32]]: ...

    def __add__(self, other: Pictures, /) -> Pictures:
        """These pictures, then the others, at this frame."""
        ...

    def subset(self, indices: Sequence[int]) -> Pictures:
        """The pictures at `indices`, in that order."""
        ...

    def resized(self, frame: Frame) -> Pictures:
        """The same pictures at the size and aspect of another frame, read as these are."""
        ...

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        """Batches (n, 3, height, width) float32 in order, n = `size` but for the last."""
        ...

    def hashes(self) -> list[str]:
        """sha256 of what each picture is made from, in order."""
        ...


class PictureFiles:
    """Pictures in files, decoded on demand; see `Pictures`.

    Nothing is kept: memory is bounded by the batches in flight. Of pictures that are cut into tiles
    (`flawscope.data.tiles`) a few stay decoded, so that a pass over all tiles decodes each once. Reading a
    picture that cannot be used raises the InputError of `flawscope.runtime.images.read_image`, which names
    the file.

    Args:
        samples: what is read, whole pictures or tiles.
        frame: at which.
        decoded: keeps pictures of which tiles are read.
    """

    def __init__(
        self, samples: Sequence[Sample], frame: Frame, decoded: DecodedPictures | None = None
    ) -> None:
        self.samples = tuple(samples)
        self.frame = frame
        self._decoded = decoded or DecodedPictures()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        return self._load(self.samples[index])

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for batch in self.batches(1):
            yield batch[0]

    def __add__(self, other: Pictures) -> PictureFiles:
        return PictureFiles((*self.samples, *other.samples), self.frame, self._decoded)

    def subset(self, indices: Sequence[int]) -> PictureFiles:
        """See `Pictures.subset`."""
        return PictureFiles([self.samples[index] for index in indices], self.frame, self._decoded)

    def resized(self, frame: Frame) -> PictureFiles:
        """See `Pictures.resized`; tiles keep what they show."""
        return PictureFiles(self.samples, self.frame.reading(frame), self._decoded)

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        """See `Pictures.batches`; further batches are decoded by a thread pool while one is in use."""
        if size < 1:
            raise OptionError("batch size", expected="at least 1", got=str(size), fix="Choose 8, say.")
        starts = iter(range(0, len(self), size))
        pending: deque[tuple[NDArray[np.float32], list[Future[NDArray[np.float32]]]]] = deque()
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pictures")

        def submit() -> None:
            for start in starts:
                samples = self.samples[start : start + size]
                batch = np.empty((len(samples), 3, self.frame.height, self.frame.width), np.float32)
                tasks = [
                    pool.submit(self._load, sample, row) for sample, row in zip(samples, batch, strict=True)
                ]
                pending.append((batch, tasks))
                return

        try:
            for _ in range(1 + _AHEAD):
                submit()
            while pending:
                batch, tasks = pending.popleft()
                for task in tasks:
                    task.result()
                submit()
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def hashes(self) -> list[str]:
        """sha256 of each picture's file, in order; remembered for files that stay as they are.

        That of a tile goes over the file's and the tile's place.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(remembered_sha256, [sample.path for sample in self.samples])
            return [_of_tile(*pair) for pair in zip(found, self.samples, strict=True)]

    def _load(self, sample: Sample, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        if sample.tile is None:
            return load(sample.path, self.frame, out=out)
        return self._decoded.tile(sample.path, sample.tile, self.frame, out)


def _of_tile(digest: str, sample: Sample) -> str:
    tile = sample.tile
    return digest if tile is None else hashlib.sha256(f"{digest} {tile.placement}".encode()).hexdigest()
