"""The only road by which pixels enter: decode, check, orient, resize. Training and runtime share it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin, PngImagePlugin

from flawscope.errors import InputError, OptionError
from flawscope.runtime import decoding, reduction
from flawscope.runtime.placement import Pair, Placement
from flawscope.runtime.reduction import Decoded
from flawscope.runtime.resize import strips

if TYPE_CHECKING:
    from flawscope.runtime.tiling import Tiling

PIXEL_LIMIT = 100_000_000  # 100 megapixels: beyond every line camera sensor, 300 MB as 8-bit RGB
FRAME_LIMIT = 8192
LUMA = (0.299, 0.587, 0.114)  # grey of R, G, B by ITU-R BT.601


@dataclass(frozen=True, slots=True)
class Frame:
    """Height and width in pixels at which pictures reach a detector, and how they get there.

    `stretch` resizes both sides freely. `pad` keeps the aspect, centres the picture and repeats its
    border pixels outward, so that no artificial edge appears; `Placement.back` cuts the padding off again.

    Attributes:
        intensities: values in the pictures' own units that become 0 and 1, for numbers that have no full
            scale (floating-point, signed or 32 bits) and sensors of fewer bits than their files; what lies
            beyond is cut off. None: the full scale of 8 or 16 bits.
        reduced: decode JPEG at a half, a quarter or an eighth where that leaves twice the frame's pixels
            along each side.

    Raises:
        OptionError: a side outside 1 to 8192, an unknown aspect, or intensities that do not rise.
    """

    height: int
    width: int
    aspect: Literal["stretch", "pad"] = "stretch"
    intensities: tuple[float, float] | None = None
    reduced: bool = False

    def __post_init__(self) -> None:
        for side in (self.height, self.width):
            if not isinstance(side, int) or not 1 <= side <= FRAME_LIMIT:
                raise OptionError(
                    "size",
                    expected=f"whole pixels from 1 to {FRAME_LIMIT}",
                    got=repr(side),
                    fix="Choose 256, say.",
                )
        if self.aspect not in ("stretch", "pad"):
            raise OptionError(
                "aspect", expected='"stretch" or "pad"', got=repr(self.aspect), fix="Choose one."
            )
        if self.intensities is not None:
            check_intensities(self.intensities)

    def reading(self, other: Frame) -> Frame:
        """The other frame's size and aspect, with pictures read as for this one."""
        return replace(other, intensities=self.intensities, reduced=self.reduced)

    def placement(self, height: int, width: int) -> Placement:
        """How a picture of this height and width lies in the frame."""
        frame, picture = (self.height, self.width), (height, width)
        if self.aspect == "stretch":
            return Placement(frame, picture, (0, 0), frame)
        scale = min(self.height / height, self.width / width)
        inner_height = min(max(round(height * scale), 1), self.height)
        inner_width = min(max(round(width * scale), 1), self.width)
        corner = (self.height - inner_height) // 2, (self.width - inner_width) // 2
        return Placement(frame, picture, corner, (inner_height, inner_width))


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Size after orientation, Pillow's mode and the bits of one channel, as the file's header tells."""

    height: int
    width: int
    mode: str
    bits: int

    @property
    def has_scale(self) -> bool:
        """Whether the values have a full scale; floating-point, signed and 32-bit numbers have none."""
        return self.mode not in ("F", "I")


def read_image(source: Path | bytes, *, pixel_limit: int = PIXEL_LIMIT) -> NDArray[Any]:
    """Decode one picture to (H, W, C), C = 1 (grey) or 3 (RGB), oriented by its EXIF tag.

    It is uint8, or uint16 where the file has more bits, over its full scale whatever their number. Numbers
    without a full scale (TIFF: floating-point, signed, 32 bits) are float32 in their own units, NaN where
    nothing was measured. Palettes are expanded, CMYK becomes RGB, and transparent pixels are laid over black,
    unless all are. Of a JPEG with further pictures (MPO) the main one is read; other files with several
    pictures are refused.

    Raises:
        InputError: the file is missing, empty, no picture, truncated, damaged, larger than `pixel_limit`
            pixels (told by its header, before decoding), or of another pixel type.
    """
    return decode(source, None, pixel_limit=pixel_limit).pixels


def decode(
    source: decoding.Source,
    frame: Frame | None,
    *,
    tiling: Tiling | None = None,
    pixel_limit: int = PIXEL_LIMIT,
) -> Decoded:
    """`read_image`, reduced where the frame says so and the file is a JPEG large enough for it.

    With `tiling`, large enough is told by the size at which the picture is cut.

    Raises:
        InputError: as `read_image` does.
    """
    with decoding.opened(source, pixel_limit) as (image, stream, name):
        orientation, (width, height) = decoding.orientation_of(image, stream), image.size
        size, by = (width, height) if orientation >= 5 else (height, width), 1
        if frame is not None and frame.reduced and isinstance(image, JpegImagePlugin.JpegImageFile):
            inner = frame.placement(*size).inner if tiling is None else tiling.working(*size)
            by = reduction.divisor(size, inner)
            if by > 1 and image.draft(None, (width // by, height // by)) is None:
                by = 1
        pixels = decoding.pixels_of(image, stream, name)
    return Decoded.reduced(decoding.oriented(pixels, orientation), size, by, orientation)


def to_frame(
    image: NDArray[Any] | Decoded,
    frame: Frame,
    *,
    placement: Placement | None = None,
    out: NDArray[np.float32] | None = None,
    name: str = "picture",
) -> NDArray[np.float32]:
    """Bring a picture (H, W, C) uint8, uint16 or float32 to (3, height, width) float32 in [0, 1].

    Bilinear with antialiasing, in float: Pillow's bilinear filter without its rounding to 8 bits. With the
    `placement` of a tile, that part of the picture alone, as the whole one would have come out there. `out`
    takes the result where given; errors call the picture `name`.

    Raises:
        InputError: numbers without a full scale where the frame has no intensities; 8 bits where it has.
    """
    if out is None:
        out = np.empty((3, frame.height, frame.width), np.float32)
    seen = image if isinstance(image, Decoded) else Decoded.of(image)
    placement = placement or frame.placement(*seen.size)
    _check_scale(seen.pixels, frame, name)
    seen = seen.cut(placement)
    image = seen.pixels
    if frame.intensities is None:
        gain = 1.0 / float(np.iinfo(image.dtype).max)
    else:
        image, gain = between(image, frame.intensities), 1.0
    rows, columns = placement.shown
    inner, size = out[:, rows, columns], (rows.stop - rows.start, columns.stop - columns.start)
    spans = (0.0, float(size[0])), (0.0, float(size[1]))
    if image.shape[:2] == size and (seen.vertical, seen.horizontal) == spans:
        np.minimum(image.transpose(2, 0, 1) * np.float32(gain), 1.0, out=inner)  # (H, W, C) -> (C, H, W)
    else:
        for stretch, values in strips(image, size, gain, seen.vertical, seen.horizontal):
            np.minimum(values, 1.0, out=inner[:, stretch])
    _repeat_border(out, placement)
    return out


def _repeat_border(pixels: NDArray[np.float32], placement: Placement) -> None:
    """Fill the padding of a frame (C, height, width) with the picture's border."""
    rows, columns = placement.shown
    (top, bottom), (left, right) = (rows.start, rows.stop), (columns.start, columns.stop)
    pixels[:, top:bottom, :left] = pixels[:, top:bottom, left, None]
    pixels[:, top:bottom, right:] = pixels[:, top:bottom, right - 1, None]
    pixels[:, :top] = pixels[:, top, None]
    pixels[:, bottom:] = pixels[:, bottom - 1, None]


def load(path: Path, frame: Frame, *, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """`decode`, then `to_frame`: from file to (3, height, width) float32 in [0, 1]."""
    return to_frame(decode(path, frame), frame, out=out, name=f"picture {path}")


def between(image: NDArray[Any], intensities: tuple[float, float]) -> NDArray[np.float32]:
    """Values from black to white as 0 to 1, cut off beyond; black where nothing was measured (NaN)."""
    black, white = intensities
    values: NDArray[np.float32] = (image.astype(np.float32) - np.float32(black)) / np.float32(white - black)
    np.clip(values, 0.0, 1.0, out=values)
    np.nan_to_num(values, copy=False, nan=0.0)
    return values


def check_intensities(intensities: tuple[float, float]) -> None:
    """Raise an OptionError unless both values are finite and white lies above black."""
    black, white = intensities
    if not (math.isfinite(black) and math.isfinite(white) and black < white):
        raise OptionError(
            "intensities",
            expected="the values of black and of white, the second one higher",
            got=f"{black:g} and {white:g}",
            fix="Write two numbers such as [0, 4095].",
        )


def _check_scale(image: NDArray[Any], frame: Frame, name: str) -> None:
    if image.dtype.kind == "f" and frame.intensities is None:
        raise InputError(
            name,
            expected="8 or 16 bits a channel",
            got="numbers without a full scale (floating-point, signed or 32 bits)",
            fix="Train on such pictures, or save it in 8 or 16 bits.",
        )
    if image.dtype == np.uint8 and frame.intensities is not None:
        raise InputError(
            name,
            expected="values from {:g} to {:g}, as training saw them".format(*frame.intensities),
            got="8 bits a channel",
            fix="Save it in the format of the pictures that the model was trained on.",
        )


def check_image(path: Path, *, pixel_limit: int = PIXEL_LIMIT) -> ImageInfo:
    """What a picture is, and that it is whole: PNG by its checksums, JPEG by its end mark, others decoded.

    Raises:
        InputError: as `read_image` does.
    """
    with decoding.opened(path, pixel_limit) as (image, stream, name):
        bits = decoding.bits_of(image)
        decoding.check_mode(image, name)
        swapped = decoding.orientation_of(image, stream) >= 5
        size = image.size if swapped else image.size[::-1]
        info = ImageInfo(*size, mode=image.mode, bits=bits)
        with decoding.damage_named(name):
            if isinstance(image, PngImagePlugin.PngImageFile):
                image.verify()
            elif not (isinstance(image, JpegImagePlugin.JpegImageFile) and decoding.ends_whole(Path(path))):
                image.load()
    return info


def size_of(path: Path, *, pixel_limit: int = PIXEL_LIMIT) -> Pair:
    """Height and width of a picture after orientation, by its header.

    Raises:
        InputError: as `read_image` does, for what the header tells.
    """
    with decoding.opened(path, pixel_limit) as (image, stream, _):
        width, height = image.size
        return (width, height) if decoding.orientation_of(image, stream) >= 5 else (height, width)


def pixels_in(path: Path, *, pixel_limit: int = PIXEL_LIMIT) -> int:
    """How many pixels a picture has, by its header; 0 for one that cannot be used."""
    try:
        height, width = size_of(path, pixel_limit=pixel_limit)
    except InputError:
        return 0
    return height * width
