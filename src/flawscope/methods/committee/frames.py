"""Pictures as a member sees them: the committee's, turned and resized as the graph does it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.nn.heatmaps import Separable
from flawscope.nn.upright.pose import Upright
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


class _SeenPictures(ABC):
    """Other pictures, as something makes them of what they are; see `Pictures`.

    They have other hashes than what they are made of, for they look otherwise.
    """

    def __init__(self, pictures: Pictures, size: Size) -> None:
        self.pictures, self.samples = pictures, pictures.samples
        self.frame: Frame = replace(pictures.frame, height=size[0], width=size[1])

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int, /) -> NDArray[np.float32]:
        picture: NDArray[np.float32] = self._seen(self.pictures[index][np.newaxis])[0]
        return picture

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for batch in self.batches(1):
            yield batch[0]

    def __add__(self, other: Pictures, /) -> Self:
        return self._of(self.pictures + other)

    def subset(self, indices: Sequence[int]) -> Self:
        """See `Pictures.subset`."""
        return self._of(self.pictures.subset(indices))

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        """See `Pictures.batches`."""
        for batch in self.pictures.batches(size):
            yield self._seen(batch)

    def hashes(self) -> list[str]:
        """See `Pictures.hashes`."""
        how = self._how()
        return [hashlib.sha256(f"{digest} {how}".encode()).hexdigest() for digest in self.pictures.hashes()]

    @abstractmethod
    def _of(self, pictures: Pictures) -> Self:
        """The same of others."""

    @abstractmethod
    def _seen(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is made of a batch (n, 3, H, W)."""

    @abstractmethod
    def _how(self) -> str:
        """What tells it from all that may be made of the same pictures otherwise."""


class ResizedPictures(_SeenPictures):
    """Pictures of another frame, resized from that frame; see `Pictures`."""

    def __init__(self, pictures: Pictures, size: Size) -> None:
        super().__init__(pictures, size)
        self._resize = resize((pictures.frame.height, pictures.frame.width), size)

    def resized(self, frame: Frame) -> Pictures:
        """See `Pictures.resized`."""
        return self.pictures.resized(frame)

    def _of(self, pictures: Pictures) -> ResizedPictures:
        return ResizedPictures(pictures, (self.frame.height, self.frame.width))

    def _seen(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self._resize(torch.from_numpy(batch)), np.float32)

    def _how(self) -> str:
        return f"{self.pictures.frame.height}x{self.pictures.frame.width}"


class TurnedPictures(_SeenPictures):
    """Pictures whose parts are turned to how one of them lies; see `Pictures`.

    Args:
        pictures: of the size that `upright` turns.
        upright: on the processor.
    """

    def __init__(self, pictures: Pictures, upright: Upright) -> None:
        super().__init__(pictures, upright.size)
        self.upright = upright

    def resized(self, frame: Frame) -> Pictures:
        """See `Pictures.resized`; of turned pictures, which are not read again."""
        return ResizedPictures(self, (frame.height, frame.width))

    def _of(self, pictures: Pictures) -> TurnedPictures:
        return TurnedPictures(pictures, self.upright)

    @torch.no_grad()
    def _seen(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(batch)
        turned: NDArray[np.float32] = self.upright.turned(pixels, self.upright(pixels)).numpy()
        return turned

    def _how(self) -> str:
        state = b"".join(value.numpy().tobytes() for value in self.upright.state_dict().values())
        return f"turned {hashlib.sha256(state).hexdigest()}"


def at_size(pictures: Pictures, size: Size) -> Pictures:
    """Pictures at that height and width, resized where they are not."""
    frame = pictures.frame
    return pictures if (frame.height, frame.width) == size else ResizedPictures(pictures, size)
