"""Where a picture file comes from: its format, how strongly it is compressed, which camera took it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import JpegImagePlugin

from flawscope.runtime import decoding
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
    with decoding.opened(path, PIXEL_LIMIT) as (image, _, _):
        compression = str(getattr(image, "info", {}).get("compression", "as usual"))
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            tables = image.quantization or {}
            colour = _SAMPLING.get(JpegImagePlugin.get_sampling(image), "")
            compression = f"JPEG tables of sum {sum(sum(table) for table in tables.values())}{colour}"
        return Origin(image.format or "unknown", compression, _camera(image))


def _camera(image: Any) -> str:
    names = list[str]()
    with contextlib.suppress(Exception):  # damaged metadata does not make the picture unusable
        tags = image.getexif()
        found = (tags.get(_MAKE), tags.get(_MODEL), tags.get_ifd(_EXIF).get(_SERIAL_NUMBER))
        names = [str(name).strip("\0 ") for name in found if name]
    return " ".join(names) or "no camera"
