"""Picture files opened by their signature, never by their name, and decoded in full or not at all."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from flawscope.errors import FlawscopeError, InputError
from flawscope.files import is_folder
from flawscope.runtime.exif import exif_of
from flawscope.runtime.picture_file import PictureFile
from flawscope.runtime.tiff import DeepTiff, decode, deep

_ORIENTATION = 0x0112
_STRIP = 1 << 18  # pixels that are taken out of Pillow at a time
_READERS: dict[bytes, Callable[..., ImageFile.ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"II*\0": TiffImagePlugin.TiffImageFile,
    b"MM\0*": TiffImagePlugin.TiffImageFile,
}
_OTHER_KINDS = {
    b"GIF8": "a GIF",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive",
    b"II+\0": "a BigTIFF",
    b"MM\0+": "a BigTIFF",
    b"ftypheic": "a HEIC picture",
    b"ftypavif": "an AVIF picture",
}
_READABLE = "a PNG, JPEG, BMP, TIFF or WebP picture"


def _factory(head: bytes) -> Callable[..., ImageFile.ImageFile] | None:
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile
    return next((reader for mark, reader in _READERS.items() if head.startswith(mark)), None)


def _kind(head: bytes) -> str:
    if not head:
        return "an empty file"
    for mark, kind in _OTHER_KINDS.items():
        if mark in head:
            return kind
    printable = all(byte >= 32 or byte in b"\t\r\n" for byte in head)
    return "a text file" if printable else "a file of another kind"


Opened = ImageFile.ImageFile | DeepTiff
Source = Path | bytes | PictureFile


@contextmanager
def opened(source: Source, pixel_limit: int) -> Iterator[tuple[Opened, IO[bytes], str]]:
    """A picture whose header has been read and its size checked, its bytes, and its name for errors.

    It is not yet decoded. Each format's own reader is called, so the formats are these five and the limit is
    ours alone.
    """
    name = "picture" if isinstance(source, bytes) else f"picture {source}"
    with _stream(source, name) as stream:
        head = _begin(stream, name)
        factory = _factory(head)
        if factory is None:
            raise InputError(
                name, expected=_READABLE, got=_kind(head), fix="Remove the file, or save it as PNG."
            )
        image: Opened | None = None
        with damage_named(name):
            if factory is TiffImagePlugin.TiffImageFile:
                image = deep(stream, name)
            if image is None:
                image = factory(stream)
        _check_size(image, name, pixel_limit)
        yield image, stream, name


def _stream(source: Source, name: str) -> IO[bytes]:
    try:
        if isinstance(source, bytes):
            return BytesIO(source)
        path = source.path if isinstance(source, PictureFile) else Path(source)
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe would wait for its other end
            fix = "Name a file that holds a picture."
            raise InputError(name, expected=_READABLE, got="a pipe, a socket or a device", fix=fix)
        return source.read() if isinstance(source, PictureFile) else path.open("rb")
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        raise _unread(name, error, "a folder" if is_folder(str(source)) else "") from error


def _begin(stream: IO[bytes], name: str) -> bytes:
    """The first bytes, from which its kind is told; `stream` is at its start again."""
    try:
        head = stream.read(16)
        stream.seek(0)
    except OSError as error:  # a failing disk, or a share that went away once the file was open
        raise _unread(name, error) from error
    return head


def _unread(name: str, error: OSError | ValueError, got: str = "") -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    fix = "Check the path and its permissions."
    return InputError(name, expected=_READABLE, got=got or reason.lower(), fix=fix)


@contextmanager
def damage_named(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged file into an InputError about `name`."""
    try:
        yield
    except FlawscopeError:
        raise
    except Exception as error:
        raise InputError(
            name,
            expected="a whole picture file",
            got=f"a damaged or truncated one ({error})",
            fix="Copy it again from its source, or remove it.",
        ) from error


def _check_size(image: Opened, name: str, pixel_limit: int) -> None:
    width, height = image.size
    if width * height > pixel_limit:
        raise InputError(
            name,
            expected=f"at most {pixel_limit / 1e6:.0f} megapixels",
            got=f"{width}x{height}",
            fix="Cut or reduce the picture.",
        )
    if getattr(image, "is_animated", False):
        raise InputError(
            name,
            expected="one picture in the file",
            got="several (an animation or a document of pages)",
            fix="Save each as a file of its own.",
        )


# How each of Pillow's modes becomes grey (L), RGB or grey with alpha (LA); None keeps it.
_CONVERSIONS: dict[str, str | None] = {
    "1": "L", "L": None, "LA": None, "P": "RGB", "PA": "RGBA", "RGB": None, "RGBA": None, "RGBX": "RGB",
    "CMYK": "RGB", "YCbCr": "RGB", "I;16": None, "I;16L": None, "I;16B": None, "I;16N": None,
}  # fmt: skip


def pixels_of(image: Opened, stream: IO[bytes], name: str) -> NDArray[Any]:
    """Decode to (H, W, C), C = 1 or 3, not yet oriented; `stream` holds the file's bytes."""
    if isinstance(image, DeepTiff):
        with damage_named(name):
            numbers = image.load()
        return _over_black(numbers) if numbers.shape[2] == 4 else numbers
    check_mode(image, name)
    colour = bits_of(image) == 16 and not image.mode.startswith("I;16")
    with damage_named(name):
        image.load()
        if colour:
            return _decode_deep(stream)
        return _flatten(image)


def _flatten(image: Image.Image) -> NDArray[Any]:
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.uint16, copy=False)[..., None]  # (H, W) -> (H, W, 1)
        transparent = image.info.get("transparency")
        return deep if transparent is None else np.where(deep == transparent, np.uint16(0), deep)
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("1", "L", "LA") else "RGBA")
        return _over_black(np.asarray(image))
    mode = _CONVERSIONS[image.mode]
    return _copied(image.convert(mode) if mode else image)


def _copied(image: Image.Image) -> NDArray[np.uint8]:
    """Pillow's 8-bit pixels as (H, W, C), taken in strips: all at once, Pillow would copy them twice."""
    width, height = image.size
    pixels = np.empty((height, width, len(image.getbands())), np.uint8)
    step = max(_STRIP // width, 1)
    for top in range(0, height, step):
        strip = image if step >= height else image.crop((0, top, width, min(top + step, height)))
        pixels[top : top + step] = np.asarray(strip).reshape(-1, width, pixels.shape[2])
    return pixels


def _over_black(pixels: NDArray[Any]) -> NDArray[Any]:
    """(H, W, C + 1) with alpha last -> (H, W, C), each colour times its opacity.

    An alpha that is 0 everywhere was never set, and is left out.
    """
    colours, alpha = pixels[..., :-1], pixels[..., -1:]
    full = int(np.iinfo(pixels.dtype).max)
    if int(alpha.min()) == full or int(alpha.max()) == 0:
        return np.ascontiguousarray(colours)
    mixed = (colours.astype(np.uint32) * alpha + full // 2) // full
    return np.asarray(mixed, pixels.dtype)


def _decode_deep(stream: IO[bytes]) -> NDArray[Any]:
    """16-bit colour, which Pillow would cut to 8 bits; Pillow has decoded it whole just before."""
    stream.seek(0)
    pixels = decode(stream.read())
    if pixels is None or pixels.dtype != np.uint16:
        raise OSError("16-bit colour that OpenCV cannot decode")
    return _over_black(pixels) if pixels.shape[2] == 4 else pixels


def bits_of(image: Opened) -> int:
    """Bits of one channel as the file stores them (fewer than 8 count as 8, as they are decoded)."""
    if isinstance(image, DeepTiff):
        return image.bits
    if isinstance(image, PngImagePlugin.PngImageFile) and image.tile:
        return 16 if ";16" in str(image.tile[0].args) else 8
    return 16 if image.mode.startswith("I;16") else 8


def orientation_of(image: Opened, stream: IO[bytes]) -> int:
    """EXIF orientation, 1 to 8; 1 for TIFF, which is oriented while it is decoded."""
    if isinstance(image, TiffImagePlugin.TiffImageFile | DeepTiff):
        return 1
    value: Any = exif_of(image, stream).get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def oriented(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn (H, W, C) as EXIF orientation 1 to 8 says: 5 to 8 are transposed, then mirrored."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def ends_whole(path: Path) -> bool:
    """Whether a JPEG closes with its end-of-image mark, padding apart."""
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - 4096, 0))
        return stream.read().rstrip(b"\0").endswith(b"\xff\xd9")


def check_mode(image: Opened, name: str) -> None:
    """Raise an InputError for a pixel type that no picture here has."""
    if not isinstance(image, DeepTiff) and image.mode not in _CONVERSIONS:
        raise InputError(
            name,
            expected="8 or 16 bits a channel, grey or colour",
            got=f"pixel type {image.mode}",
            fix="Save the picture as 8- or 16-bit PNG or TIFF.",
        )
