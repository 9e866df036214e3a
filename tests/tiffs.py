"""TIFF files of every depth, written by hand: what Pillow cannot write."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
_CODES = {3: "H", 4: "I"}


def tiff(
    pixels: NDArray[Any],
    bits: int | None = None,
    *,
    photometric: int | None = None,
    endian: str = "<",
    orientation: int = 1,
    extra: Sequence[tuple[int, int, list[int]]] = (),
) -> bytes:
    """An uncompressed TIFF of pixels (H, W) or (H, W, C), packed into `bits` where given.

    MinIsWhite is photometric 0; grey is 1 and RGB 2.
    """
    height, width, channels = (*pixels.shape, 1)[:3]
    kind = {"u": UNSIGNED, "i": SIGNED, "f": FLOAT}[pixels.dtype.kind]
    if bits is None:
        bits, data = 8 * pixels.dtype.itemsize, pixels.astype(pixels.dtype.newbyteorder(endian)).tobytes()
    else:
        data = b"".join(_packed(row.reshape(-1), bits) for row in pixels)
    photometric = (2 if channels >= 3 else 1) if photometric is None else photometric
    entries = [
        (256, 3, [width]), (257, 3, [height]), (258, 3, [bits] * channels), (259, 3, [1]),
        (262, 3, [photometric]), (273, 4, [0]), (274, 3, [orientation]), (277, 3, [channels]),
        (278, 3, [height]), (279, 4, [len(data)]), (339, 3, [kind] * channels), *extra,
    ]  # fmt: skip
    return _file(sorted(entries), data, endian)


def _packed(row: NDArray[Any], bits: int) -> bytes:
    wide = np.unpackbits(row.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)  # (W, 32)
    return np.packbits(wide[:, 32 - bits :].ravel()).tobytes()


def _file(entries: list[tuple[int, int, list[int]]], data: bytes, endian: str) -> bytes:
    raw = {tag: struct.pack(f"{endian}{len(v)}{_CODES[code]}", *v) for tag, code, v in entries}
    after = 8 + 2 + 12 * len(entries) + 4
    large = {tag: content for tag, content in raw.items() if len(content) > 4}
    begins = after + sum(map(len, large.values()))
    raw[273] = struct.pack(f"{endian}I", begins)
    directory, place = struct.pack(f"{endian}H", len(entries)), after
    for tag, code, values in entries:
        field = raw[tag].ljust(4, b"\0")
        if tag in large:
            field, place = struct.pack(f"{endian}I", place), place + len(raw[tag])
        directory += struct.pack(f"{endian}HHI", tag, code, len(values)) + field
    head = (b"II*\0" if endian == "<" else b"MM\0*") + struct.pack(f"{endian}I", 8)
    return head + directory + bytes(4) + b"".join(large.values()) + data
