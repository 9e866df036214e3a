"""EXIF of picture files: what a camera tells beside the pixels, wherever in the file it stands."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from typing import IO

from PIL import Image, ImageFile, PngImagePlugin

from flawscope.runtime.tiff import DeepTiff

_HEAD = b"Exif\0\0"  # before the entries, as in a JPEG
_TAIL = 1 << 17  # bytes of a file's end: twice as much as EXIF may have in a JPEG
_KIND = b"eXIf"


def exif_of(image: ImageFile.ImageFile | DeepTiff, stream: IO[bytes]) -> Image.Exif:
    """The EXIF of an opened picture, whose file `stream` is; no pixel is decoded.

    Empty where there is none, or none that can be read: damaged metadata does not make a picture unusable.
    """
    if isinstance(image, DeepTiff):
        return Image.Exif()
    with suppress(Exception):
        if isinstance(image, PngImagePlugin.PngImageFile) and "exif" not in image.info:
            late = late_exif(stream)  # Pillow would decode the picture to find it
            if late is None:
                return Image.Exif()
            image.info["exif"] = _HEAD + late
        return image.getexif()
    return Image.Exif()


def late_exif(stream: IO[bytes]) -> bytes | None:
    """The EXIF that a PNG has after its pixels, in the last 128 KiB of the file; None where there is none.

    Its checksum tells it from pixels that happen to look so. The stream is left where it was.
    """
    place = stream.tell()
    try:
        stream.seek(max(stream.seek(0, os.SEEK_END) - _TAIL, 0))
        tail = stream.read(_TAIL)
    finally:
        stream.seek(place)
    at = tail.find(_KIND)
    while at >= 0:
        start, length = at + len(_KIND), int.from_bytes(tail[max(at - 4, 0) : at])
        check = tail[start + length : start + length + 4]
        if len(check) == 4 and int.from_bytes(check) == zlib.crc32(tail[at : start + length]):
            return tail[start : start + length]
        at = tail.find(_KIND, at + 1)
    return None
