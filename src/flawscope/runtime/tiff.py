"""TIFF pictures of more than 8 bits, which Pillow reads in part, wrongly or not at all: decoded by OpenCV.

Unsigned integers of 10, 12, 14 and 16 bits have a full scale, their declared bits, and become uint16. Signed
ones, those of 32 bits and floating-point numbers have none: they become float32 in their own units, and a
frame says which of them are black and white. Where the smallest value is white (MinIsWhite), a scale is
turned round and numbers are negated, so that higher is always brighter.
"""

from __future__ import annotations

import threading
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from flawscope.errors import InputError

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION, _CHANNELS = 256, 257, 258, 262, 274, 277
_COMPRESSION, _UNPACKED = 259, {7: "JPEG", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP"}
_PLANAR, _EXTRA = 284, 338  # how channels lie in the file; what those beyond the colours are
_APART, _NO_ALPHA = 2, (0, 1)  # the latter: anything, or an opacity that the colours are multiplied by
_PIECES = ((273, 279), (324, 325))  # where strips and tiles begin, and how many bytes they take
_FORMAT, _UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 339, 1, 2, 3, 4
_KINDS = {_UNSIGNED: "unsigned", _SIGNED: "signed", _FLOAT: "floating-point"}
_MIN_IS_WHITE, _GREY, _RGB = 0, 1, 2
_SCALED = (10, 12, 14, 16)
_STORED: dict[tuple[int, int], Any] = {
    **{(_UNSIGNED, bits): np.uint16 for bits in _SCALED}, (_UNSIGNED, 32): np.uint32,
    (_SIGNED, 8): np.int8, (_SIGNED, 16): np.int16, (_SIGNED, 32): np.int32,
    (_FLOAT, 32): np.float32, (_FLOAT, 64): np.float64,
}  # fmt: skip


class DeepTiff:
    """A TIFF file whose header has been read; not yet decoded.

    Attributes:
        size: width and height after orientation.
        mode: as Pillow names what has its like: `I;16` or `RGB` with a full scale, `I` or `F` without.
        bits: of one channel, as declared.
        is_animated: whether the file holds several pictures.
    """

    format = "TIFF"

    def __init__(self, stream: IO[bytes], name: str, tags: dict[int, Any], *, several: bool) -> None:
        self._stream, self._name, self.is_animated = stream, name, several
        self._kind = _one(tags.get(_FORMAT), _UNSIGNED)
        self._kind = _UNSIGNED if self._kind == _UNDEFINED else self._kind
        self.bits = _one(tags.get(_BITS), 1)
        self._photometric, self._channels = tags.get(_PHOTOMETRIC), tags.get(_CHANNELS, 1)
        self._apart = self._channels > 1 and tags.get(_PLANAR) == _APART
        self._packed = _UNPACKED.get(tags.get(_COMPRESSION, 1))
        self._has_alpha = not any(kind in _NO_ALPHA for kind in _many(tags.get(_EXTRA)))
        width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
        self.size = (height, width) if tags.get(_ORIENTATION, 1) >= 5 else (width, height)
        self._end = max(map(sum, _pieces(tags)), default=0)
        scale = "RGB" if self._channels > 1 else "I;16"
        self.mode = scale if self._has_scale else "F" if self._kind == _FLOAT else "I"
        self._require_known()

    @property
    def _has_scale(self) -> bool:
        return self._kind == _UNSIGNED and self.bits in _SCALED

    def _require_known(self) -> None:
        grey = self._photometric in (_MIN_IS_WHITE, _GREY) and self._channels == 1
        colour = self._photometric == _RGB and self._channels in ((3, 4) if self._has_scale else (3,))
        if self._apart:
            raise InputError(
                self._name,
                expected="channels that lie side by side",
                got=f"{self._channels} channels of {self.bits} bits, one after the other (planar)",
                fix="Save the picture as PNG, or as TIFF with interleaved channels.",
            )
        if (self._kind, self.bits) in _STORED and (grey or colour):
            return
        kind = _KINDS.get(self._kind, "other")
        raise InputError(
            self._name,
            expected="8, 10, 12, 14 or 16 bits a channel, or numbers of 32 or 64 bits; grey or RGB",
            got=f"{self._channels} channels of {self.bits} bits ({kind}, photometric {self._photometric})",
            fix="Save the picture as 8- or 16-bit PNG or TIFF.",
        )

    def load(self) -> NDArray[Any]:
        """The oriented pixels (H, W, C): uint16 over their full scale, C = 1, 3 or 4; or float32, C = 1 or 3.

        Raises:
            InputError: no number in it is finite, or a compression that nobody here reads.
            OSError: the file is truncated or damaged.
        """
        self._stream.seek(0)
        data = self._stream.read()
        if len(data) < self._end:
            raise OSError("image file is truncated")
        pixels = decode(data)
        stored = np.dtype(_STORED[self._kind, self.bits])
        if pixels is None and self._packed:
            raise InputError(
                self._name,
                expected=f"{self.bits} bits that are not compressed, or by LZW, Deflate or PackBits",
                got=f"compression by {self._packed}",
                fix="Save the picture with another compression, or as PNG.",
            )
        if pixels is None or pixels.shape[:2] != self.size[::-1] or not _alike(pixels.dtype, stored):
            raise OSError(f"{self.bits}-bit pixels that OpenCV cannot decode")
        pixels = pixels.view(stored)
        if not self._has_alpha:
            pixels = np.ascontiguousarray(pixels[..., :3])
        return self._scaled(pixels) if self._has_scale else self._numbers(pixels)

    def _scaled(self, pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """OpenCV leaves fewer bits in the upper ones; here they reach over the whole scale."""
        if self.bits < 16:
            full = 2**self.bits - 1
            values = (pixels >> (16 - self.bits)).astype(np.uint32)
            pixels = ((values * 65535 + full // 2) // full).astype(np.uint16)
        return 65535 - pixels if self._photometric == _MIN_IS_WHITE else pixels

    def _numbers(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):
            values = pixels.astype(np.float32)
        if not np.isfinite(values).any():
            raise InputError(
                self._name, expected="finite numbers", got="none", fix="Record it again, or remove it."
            )
        return -values if self._photometric == _MIN_IS_WHITE else values


class _Quiet:
    """OpenCV without its lines on standard error, for as long as any thread is inside."""

    def __init__(self) -> None:
        self._lock, self._inside, self._level = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._level = cv2.utils.logging.getLogLevel()
                cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                cv2.utils.logging.setLogLevel(self._level)


_QUIET = _Quiet()


def decode(data: bytes) -> NDArray[Any] | None:
    """A picture by OpenCV: (H, W, C), grey, RGB or RGB with alpha; None where it cannot read it."""
    with _QUIET:
        pixels: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return None
    if pixels.ndim == 2:
        return pixels[..., None]  # (H, W) -> (H, W, 1)
    return np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])  # BGR(A) -> RGB(A)


def deep(stream: IO[bytes], name: str) -> DeepTiff | None:
    """The TIFF file in `stream` where it has more than 8 bits or signed numbers; None leaves it to Pillow.

    Raises:
        InputError: a pixel type that nobody reads.
    """
    directory = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
    stream.seek(directory.next)
    directory.load(stream)
    tags = dict(directory)
    kinds, bits = (set(_many(tags.get(tag))) for tag in (_FORMAT, _BITS))
    stream.seek(0)
    if max(bits, default=1) <= 8 and kinds <= {_UNSIGNED, _UNDEFINED}:
        return None
    return DeepTiff(stream, name, tags, several=bool(directory.next))


def _alike(found: np.dtype[Any], stored: np.dtype[Any]) -> bool:
    """Signs apart: some versions of OpenCV hand unsigned numbers of 32 bits over as signed ones."""
    return (found.kind == "f", found.itemsize) == (stored.kind == "f", stored.itemsize)


def _many(value: Any) -> tuple[Any, ...]:
    return () if value is None else value if isinstance(value, tuple) else (value,)


def _one(value: Any, otherwise: int) -> int:
    """What all channels have alike; -1 where they differ."""
    found = set(_many(value)) or {otherwise}
    return int(found.pop()) if len(found) == 1 else -1


def _pieces(tags: dict[int, Any]) -> list[tuple[int, int]]:
    """Where each strip or tile of the picture begins, and how many bytes it takes."""
    return [
        (int(start), int(size))
        for starts, sizes in _PIECES
        for start, size in zip(_many(tags.get(starts)), _many(tags.get(sizes)), strict=False)
    ]
