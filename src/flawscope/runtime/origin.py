"""Where a picture file comes from: its format, how strongly it is compressed, which camera took it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import JpegImagePlugin

from flawscope.runtime import decoding
from flawscope.runtime.exif import exif_of
from flawscope.runtime.images import PIXEL_LIMIT

_MAKE, _MODEL = 0x010F, 0x0110
_EXIF, _SERIAL_NUMBER = 0x8769, 0xA431

_SAMPLING = {0: ", colour 4:4:4", 1: ", colour 4:2:2", 2: ", colour 4:2:0"}  # as Pillow numbers them


@dataclass(frozen=True, slots=True)
class Origin:
    """What a file's header says beside size and mode; `no camera` where it names none."""

    format: str
    compression: str
    camera: str


def origin(path: Path) -> Origin:
    """The origin of a picture file, by its header alone.

    Raises:
        InputError: the file is missing or no picture.
    """
    with decoding.opened(path, PIXEL_LIMIT) as (image, stream, _):
        compression = str(getattr(image, "info", {}).get("compression", "as usual"))
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            tables = image.quantization or {}
            colour = _SAMPLING.get(JpegImagePlugin.get_sampling(image), "")
            compression = f"JPEG tables of sum {sum(sum(table) for table in tables.values())}{colour}"
        return Origin(image.format or "unknown", compression, _camera(image, stream))


def _camera(image: decoding.Opened, stream: IO[bytes]) -> str:
    names = list[str]()
    with contextlib.suppress(Exception):  # damaged metadata does not make the picture unusable
        tags = exif_of(image, stream)
        found = (tags.get(_MAKE), tags.get(_MODEL), tags.get_ifd(_EXIF).get(_SERIAL_NUMBER))
        names = [str(name).strip("\0 ") for name in found if name]
    return " ".join(names) or "no camera"
