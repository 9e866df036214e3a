"""Large pictures that stay decoded while their tiles are asked for, as far as a bound on memory goes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.images import Frame, decode, to_frame
from flawscope.runtime.reduction import Decoded
from flawscope.runtime.resize import resize_planes
from flawscope.runtime.tiling import Tile

ROOM = 512 * 2**20  # bytes of pixels
_FEWEST = 2  # pictures that stay whatever their size, so that neighbouring threads do not decode in turn


class DecodedPictures:
    """Tiles of picture files; who asks for them one after the other has each file decoded once.

    It may be asked from several threads; those that need one picture wait for one decoder.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room, self._lock = room, threading.Lock()
        self._kept: OrderedDict[Path, Future[Decoded]] = OrderedDict()

    def tile(
        self, path: Path, tile: Tile, frame: Frame, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """(3, height, width) float32 in [0, 1] of a tile; resized where the frame has another size.

        Raises:
            InputError: as `flawscope.runtime.images.to_frame` and `read_image`.
        """
        image, name, size = self._picture(path, tile, frame), f"picture {path}", (frame.height, frame.width)
        if size == tile.grid.tiling.size:
            return to_frame(image, frame, placement=tile.placement, out=out, name=name)
        own = Frame(*tile.grid.tiling.size, intensities=frame.intensities)
        pixels = to_frame(image, own, placement=tile.placement, name=name)
        resized = resize_planes(pixels.transpose(1, 2, 0), *size, 1.0)  # (C, H, W) -> (H, W, C)
        if out is None:
            return resized
        out[:] = resized
        return out

    def _picture(self, path: Path, tile: Tile, frame: Frame) -> Decoded:
        with self._lock:
            waiting, mine = self._kept.get(path), False
            if waiting is None:
                waiting, mine = self._kept.setdefault(path, Future()), True
            self._kept.move_to_end(path)
        if mine:
            try:
                waiting.set_result(decode(path, frame, tiling=tile.grid.tiling))
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it too
                with self._lock:
                    self._kept.pop(path, None)
                waiting.set_exception(error)
            self._forget()
        return waiting.result()

    def _forget(self) -> None:
        """Drop what was not asked for longest, until the rest fits."""
        with self._lock:
            done = [(path, each.result().pixels.nbytes) for path, each in self._kept.items() if each.done()]
            total = sum(size for _, size in done)
            for path, size in done[:-_FEWEST]:
                if total <= self._room:
                    return
                del self._kept[path]
                total -= size
