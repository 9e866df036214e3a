"""Pictures as a member sees them: the committee's, resized to its size as the graph does it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.nn.heatmaps import Separable
from flawscope.runtime.images import Frame
from flawscope.runtime.resize import resizing

Size = tuple[int, int]


class Resize(Separable):
    """Separable, plane by plane.

    Between a product of matrices and an input's own scale of each channel OpenVINO 2026.4 takes one for the
    other and loads no graph; a change of shape keeps them apart.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Map (..., h, w) to (..., H, W)."""
        planes = super().forward(maps.flatten(0, -3))  # (planes, H, W)
        return planes.reshape(*maps.shape[:-2], *planes.shape[1:])


def resize(source: Size, target: Size) -> Resize:
    """A module that maps pictures or maps (..., H, W) to (..., h, w) as `flawscope.runtime.resize` does."""
    rows, columns = (torch.from_numpy(resizing(*sides)) for sides in zip(source, target, strict=True))
    return Resize(rows, columns)


class ResizedPictures:
    """Pictures of another frame, resized from that frame; see `Pictures`.

    They have other hashes than the same files read at the size directly, for they look otherwise.
    """

    def __init__(self, pictures: Pictures, size: Size) -> None:
        self.pictures, self.samples = pictures, pictures.samples
        self.frame: Frame = replace(pictures.frame, height=size[0], width=size[1])
        self._resize = resize((pictures.frame.height, pictures.frame.width), size)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int, /) -> NDArray[np.float32]:
        picture: NDArray[np.float32] = self._resized(self.pictures[index][np.newaxis])[0]
        return picture

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for batch in self.batches(1):
            yield batch[0]

    def __add__(self, other: Pictures, /) -> ResizedPictures:
        return ResizedPictures(self.pictures + other, self._size)

    def subset(self, indices: Sequence[int]) -> ResizedPictures:
        """See `Pictures.subset`."""
        return ResizedPictures(self.pictures.subset(indices), self._size)

    def resized(self, frame: Frame) -> Pictures:
        """See `Pictures.resized`."""
        return self.pictures.resized(frame)

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        """See `Pictures.batches`."""
        for batch in self.pictures.batches(size):
            yield self._resized(batch)

    def hashes(self) -> list[str]:
        """See `Pictures.hashes`."""
        seen = f"{self.pictures.frame.height}x{self.pictures.frame.width}"
        return [hashlib.sha256(f"{digest} {seen}".encode()).hexdigest() for digest in self.pictures.hashes()]

    @property
    def _size(self) -> Size:
        return self.frame.height, self.frame.width

    def _resized(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self._resize(torch.from_numpy(batch)), np.float32)
