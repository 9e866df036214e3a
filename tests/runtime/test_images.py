"""Pictures: every format and pixel type that is read, and how it is oriented."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flawscope.errors import FlawscopeError, InputError
from flawscope.runtime.exif import late_exif
from flawscope.runtime.images import Frame, check_image, read_image, size_of


def colours(height: int = 40, width: int = 60, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def grey16(height: int = 40, width: int = 60) -> NDArray[np.uint16]:
    return np.random.default_rng(1).integers(0, 65536, (height, width), np.uint16)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF"])
def test_lossless_colour_is_read_exactly(format_: str) -> None:
    pixels = colours()
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(pixels), format_)), pixels)


def test_lossless_webp_is_read_exactly() -> None:
    pixels = colours()
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(pixels), "WEBP", lossless=True)), pixels)


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF"])
def test_grey_stays_one_channel(format_: str) -> None:
    pixels = colours()[..., 0]
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(pixels), format_)), pixels[..., None])


def test_jpeg_agrees_with_pillow() -> None:
    data = encoded(Image.fromarray(colours()), "JPEG")
    np.testing.assert_array_equal(read_image(data), np.asarray(Image.open(BytesIO(data))))


def test_cmyk_jpeg_becomes_rgb() -> None:
    flat = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    pixels = read_image(encoded(Image.fromarray(flat).convert("CMYK"), "JPEG", quality=100))
    assert pixels.shape == (32, 32, 3)
    assert np.abs(pixels.astype(int) - flat).max() <= 4


def test_one_bit_palette_and_grey_with_alpha() -> None:
    bit = Image.fromarray(colours()[..., 0] > 127)
    assert set(np.unique(read_image(encoded(bit, "PNG")))) == {0, 255}
    palette = Image.fromarray(colours()).quantize(16)
    np.testing.assert_array_equal(read_image(encoded(palette, "PNG")), np.asarray(palette.convert("RGB")))
    grey_alpha = Image.merge("LA", (Image.new("L", (8, 8), 200), Image.new("L", (8, 8), 128)))
    np.testing.assert_array_equal(read_image(encoded(grey_alpha, "PNG")), np.full((8, 8, 1), 100, np.uint8))


def test_transparent_pixels_lie_over_black() -> None:
    rgba = np.dstack([colours(), np.zeros((40, 60), np.uint8)])
    rgba[:20, :, 3] = 255
    pixels = read_image(encoded(Image.fromarray(rgba), "PNG"))
    np.testing.assert_array_equal(pixels[:20], rgba[:20, :, :3])
    assert not pixels[20:].any()


def test_palette_entry_marked_transparent_lies_over_black() -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 200, 150, 100])
    palette.putpixel((0, 0), 0)
    read = read_image(encoded(palette, "PNG", transparency=1))
    np.testing.assert_array_equal(read[0, 0], [10, 20, 30])
    assert not read[1:].any()
    np.testing.assert_array_equal(read_image(encoded(palette, "PNG"))[1, 1], [200, 150, 100])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_an_alpha_that_is_0_everywhere_is_ignored(mode: str) -> None:
    """Some programs write a fourth channel and never fill it: the part is there all the same."""
    if mode == "P":
        image, options = Image.new("P", (4, 4), 1), {"transparency": 1}
        image.putpalette([10, 20, 30, 200, 150, 100])
        expected = np.full((4, 4, 3), (200, 150, 100), np.uint8)
    else:
        expected = colours(4, 4)[..., : len(mode) - 1]
        image, options = Image.fromarray(np.dstack([expected, np.zeros((4, 4), np.uint8)])), {}
    assert image.mode == mode
    np.testing.assert_array_equal(read_image(encoded(image, "PNG", **options)), expected)


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_grey_16_bit_keeps_every_bit(format_: str) -> None:
    pixels = grey16()
    read = read_image(encoded(Image.fromarray(pixels), format_))
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read[..., 0], pixels)


def test_big_endian_16_bit_tiff() -> None:
    pixels = grey16(5, 7)
    image = Image.frombytes("I;16B", (7, 5), pixels.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_image(encoded(image, "TIFF"))[..., 0], pixels)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_colour_16_bit_keeps_every_bit(suffix: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 65536, (20, 30, 3), np.uint16)
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), pixels[..., ::-1])
    np.testing.assert_array_equal(read_image(path), pixels)
    assert check_image(path).bits == 16
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="truncated"):
        read_image(path)


def test_colour_16_bit_with_alpha_lies_over_black() -> None:
    pixels = np.full((4, 4, 4), (1000, 20000, 60000, 65535), np.uint16)
    pixels[0, :, 3] = 0
    data = cv2.imencode(".png", pixels)[1].tobytes()
    read = read_image(data)
    assert read[1, 0].tolist() == [60000, 20000, 1000]
    assert read[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_pillow_applies_it(format_: str, orientation: int, tmp_path: Path) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format_ == "WEBP" else {}
    data = encoded(Image.fromarray(colours(24, 40)), format_, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))))
    np.testing.assert_array_equal(read_image(data), expected)
    path = tmp_path / "turned"
    path.write_bytes(data)
    info = check_image(path)
    assert (info.height, info.width) == expected.shape[:2]
    assert (expected.shape[0] == 40) == (orientation >= 5)


@pytest.mark.parametrize("orientation", [3, 6])
def test_deep_colour_tiff_is_oriented_once(orientation: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 65536, (20, 30, 3), np.uint16)
    path = tmp_path / "deep.tiff"
    cv2.imwrite(str(path), pixels[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    path.write_bytes(with_tiff_orientation(path.read_bytes(), orientation))
    expected = {3: np.rot90(pixels, 2), 6: np.rot90(pixels, -1)}[orientation]
    np.testing.assert_array_equal(read_image(path), expected)


def with_tiff_orientation(data: bytes, orientation: int) -> bytes:
    """A little-endian TIFF with an orientation entry added to its first directory, rewritten at the end."""
    (start,) = struct.unpack("<I", data[4:8])
    (count,) = struct.unpack("<H", data[start : start + 2])
    body = data[start + 2 : start + 2 + 12 * count]
    entries = [body[i : i + 12] for i in range(0, len(body), 12)]
    entries = [entry for entry in entries if struct.unpack("<H", entry[:2])[0] != 0x0112]
    entries.append(struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2])[0])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_orientation_tag_is_ignored() -> None:
    data = encoded(Image.fromarray(colours()), "PNG")
    junk = chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff")
    with_junk = data[:33] + junk + data[33:]
    np.testing.assert_array_equal(read_image(with_junk), colours())


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("orientation", [3, 6])
def test_a_png_that_tells_its_orientation_after_the_pixels(
    orientation: int, deep: bool, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(3).integers(0, 65536, (20, 30, 3), np.uint16)
    pixels = pixels if deep else (pixels >> 8).astype(np.uint8)
    data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    exif = Image.Exif()
    exif[0x0112] = orientation
    tag = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    comment = chunk(b"tEXt", b"Comment\0eXIf")
    path = tmp_path / "turned.png"
    path.write_bytes(data[:-12] + comment + tag + comment + data[-12:])
    expected = {3: np.rot90(pixels, 2), 6: np.rot90(pixels, -1)}[orientation]
    np.testing.assert_array_equal(read_image(path), expected)
    assert size_of(path) == expected.shape[:2]
    info = check_image(path)
    assert (info.height, info.width) == expected.shape[:2]


def test_pixels_that_look_like_exif_turn_nothing() -> None:
    stored = b"IDAT" + b"\0\0\0\x1aeXIf" + 26 * b"M" + b"\0\0\0\0" + b"eXIf"
    assert late_exif(BytesIO(stored)) is None
    right = chunk(b"eXIf", b"MM\0*")
    stream = BytesIO(stored + right)
    stream.seek(3)
    assert late_exif(stream) == b"MM\0*"
    assert stream.tell() == 3
    assert late_exif(BytesIO(right[4:])) is None
    assert late_exif(BytesIO(b"eXIf")) is None


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_check_reads_size_mode_and_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(colours()).save(path)
    info = check_image(path)
    assert (info.height, info.width, info.mode, info.bits) == (40, 60, "RGB", 8)
    deep = tmp_path / "b.png"
    Image.fromarray(grey16()).save(deep)
    assert (check_image(deep).mode, check_image(deep).bits) == ("I;16", 16)


def test_labels_come_back_to_the_pictures_own_size() -> None:
    labels = np.arange(4).reshape(2, 2)
    own = Frame(8, 8).placement(6, 4).labels_back(labels)
    np.testing.assert_array_equal(own, np.repeat(np.repeat(labels, 3, 0), 2, 1))
    # a 4 × 8 picture fills rows 2 to 5 of a padded frame
    rows = np.arange(8)[:, None].repeat(8, 1)
    np.testing.assert_array_equal(
        Frame(8, 8, "pad").placement(4, 8).labels_back(rows), np.arange(2, 6)[:, None].repeat(8, 1)
    )


def test_every_error_is_ours(tmp_path: Path) -> None:
    with pytest.raises(FlawscopeError):
        read_image(tmp_path / "absent")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_taken_in_strips_are_those_of_pillow(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flawscope.runtime.decoding._STRIP", 200)  # 3 rows of 60 pixels
    image = Image.fromarray(colours()).convert(mode)
    expected = np.asarray(image).reshape(40, 60, -1)
    np.testing.assert_array_equal(read_image(encoded(image, "PNG")), expected)
