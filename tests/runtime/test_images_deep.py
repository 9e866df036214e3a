"""Pictures of more than 8 bits: scaled by their declared bits, turned round where white is low; numbers."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flawscope.errors import InputError, OptionError
from flawscope.runtime.images import Frame, check_image, load, read_image, to_frame
from tiffs import tiff


def values(bits: int, *shape: int) -> NDArray[np.uint16]:
    """Random values of so many bits, the lowest and the highest among them."""
    drawn = np.random.default_rng(0).integers(0, 2**bits, shape or (5, 7)).astype(np.uint16)
    drawn.flat[:2] = 0, 2**bits - 1
    return drawn


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_bits_reach_over_the_whole_scale(bits: int, endian: str, tmp_path: Path) -> None:
    raw = values(bits)
    path = tmp_path / "packed.tif"
    path.write_bytes(tiff(raw, bits, endian=endian))
    read = read_image(path)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read[..., 0], np.round(raw / (2**bits - 1) * 65535).astype(np.uint16))
    info = check_image(path)
    assert (info.height, info.width, info.bits, info.mode, info.has_scale) == (5, 7, bits, "I;16", True)


def test_packed_colour(tmp_path: Path) -> None:
    raw = values(12, 4, 6, 3)
    read = read_image(tiff(raw, 12))
    np.testing.assert_array_equal(read, np.round(raw / 4095 * 65535).astype(np.uint16))


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_white_that_is_low_is_turned_round_at_every_depth(bits: int, endian: str) -> None:
    raw = values(bits) if bits > 8 else values(8).astype(np.uint8)
    packed = None if bits in (8, 16) else bits
    white, black = (read_image(tiff(raw, packed, photometric=p, endian=endian)) for p in (0, 1))
    np.testing.assert_array_equal(white, np.iinfo(white.dtype).max - black)


def test_white_that_is_low_in_one_bit() -> None:
    raw = (values(8) > 127).astype(np.uint8)
    np.testing.assert_array_equal(read_image(tiff(raw, 1))[..., 0], 255 * raw)
    np.testing.assert_array_equal(read_image(tiff(raw, 1, photometric=0))[..., 0], 255 - 255 * raw)


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("kind", ["i2", "u4", "i4", "f4", "f8"])
def test_numbers_keep_their_units(kind: str, endian: str, tmp_path: Path) -> None:
    raw = np.array([[-3, 70, 1000], [0, -32768, 32767]]).astype(kind)
    if kind == "u4":
        raw = np.array([[0, 70, 1000], [2**31, 2**32 - 256, 5]], np.uint32)
    path = tmp_path / "numbers.tif"
    path.write_bytes(tiff(raw, endian=endian))
    read = read_image(path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read[..., 0], raw.astype(np.float32))
    info = check_image(path)
    assert (info.has_scale, info.bits) == (False, 8 * raw.dtype.itemsize)


def test_numbers_in_colour_and_signed_bytes() -> None:
    raw = np.random.default_rng(0).random((4, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(read_image(tiff(raw)), raw)
    signed = np.array([[-128, 0, 127]], np.int8)
    np.testing.assert_array_equal(read_image(tiff(signed))[..., 0], signed.astype(np.float32))


def test_numbers_whose_white_is_low_are_negated() -> None:
    raw = np.array([[20.5, 60.0]], np.float32)
    np.testing.assert_array_equal(read_image(tiff(raw, photometric=0))[..., 0], -raw)


def test_numbers_are_oriented(tmp_path: Path) -> None:
    raw = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = tmp_path / "turned.tif"
    path.write_bytes(tiff(raw, orientation=6))
    np.testing.assert_array_equal(read_image(path)[..., 0], np.rot90(raw, -1))
    assert (check_image(path).height, check_image(path).width) == (3, 2)


def degrees(height: int = 16, width: int = 16) -> NDArray[np.float32]:
    rows, columns = np.mgrid[:height, :width]
    return (20 + 40 * (rows + columns) / (height + width - 2)).astype(np.float32)


def test_declared_intensities_become_black_and_white(tmp_path: Path) -> None:
    path = tmp_path / "thermal.tif"
    path.write_bytes(tiff(degrees()))
    pixels = load(path, Frame(16, 16, intensities=(20.0, 60.0)))
    np.testing.assert_allclose(pixels[0], (degrees() - 20) / 40, atol=1e-6)
    cut = load(path, Frame(16, 16, intensities=(30.0, 50.0)))
    np.testing.assert_allclose(cut[1], np.clip((degrees() - 30) / 20, 0, 1), atol=1e-6)


def test_what_was_not_measured_is_black_and_infinities_end_the_scale() -> None:
    raw = degrees()
    raw[0, 0], raw[5, 5], raw[8, 8] = np.nan, np.inf, -np.inf
    pixels = to_frame(read_image(tiff(raw)), Frame(16, 16, intensities=(20.0, 60.0)))
    assert (pixels[0, 0, 0], pixels[0, 5, 5], pixels[0, 8, 8]) == (0.0, 1.0, 0.0)
    assert np.isfinite(pixels).all()


def test_intensities_of_a_sensor_with_fewer_bits_than_its_file() -> None:
    raw = values(12)
    data = cv2.imencode(".png", raw)[1].tobytes()
    pixels = to_frame(read_image(data), Frame(5, 7, intensities=(0, 4095)))
    np.testing.assert_allclose(pixels[0], raw / 4095, atol=1e-6)


def test_float_in_unit_range_needs_intensities_too(tmp_path: Path) -> None:
    path = tmp_path / "unit.tif"
    path.write_bytes(tiff(np.random.default_rng(0).random((4, 4)).astype(np.float32)))
    with pytest.raises(InputError, match=r"unit\.tif: .*numbers without a full scale"):
        load(path, Frame(4, 4))
    with pytest.raises(InputError, match=r"values from 0 to 1.*got 8 bits"):
        to_frame(np.zeros((4, 4, 1), np.uint8), Frame(4, 4, intensities=(0, 1)))


@pytest.mark.parametrize("pair", [(1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_intensities_must_rise(pair: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match="intensities: expected the values of black and of white"):
        Frame(4, 4, intensities=pair)


@pytest.mark.parametrize(
    ("pixels", "changes", "said"),
    [
        (np.zeros((2, 2), np.float16), {}, "16 bits \\(floating-point"),
        (np.zeros((2, 2), np.uint64), {}, "64 bits \\(unsigned"),
        (np.zeros((2, 2, 2), np.uint16), {"extra": [(338, 3, [2])]}, "2 channels of 16 bits"),
        (np.zeros((2, 2, 4), np.float32), {"extra": [(338, 3, [2])]}, "4 channels of 32 bits"),
        (np.zeros((2, 2, 4), np.uint16), {"photometric": 5}, "photometric 5"),
    ],
)
def test_other_pixel_types_are_named(pixels: NDArray[Any], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_image(tiff(pixels, **changes))


@pytest.mark.parametrize("bits", [9, 24])
def test_other_depths_are_named(bits: int) -> None:
    with pytest.raises(InputError, match=f"got 1 channels of {bits} bits"):
        read_image(tiff(np.zeros((2, 2), np.uint32), bits))


@pytest.mark.parametrize(("number", "name"), [(34925, "LZMA"), (50000, "Zstandard")])
def test_a_compression_that_is_not_read_is_no_damage(number: int, name: str) -> None:
    data = tiff(np.zeros((2, 2), np.uint16), extra=[(259, 3, [number])])
    with pytest.raises(InputError, match=f"got compression by {name}"):
        read_image(data)


def test_no_number_at_all(tmp_path: Path) -> None:
    path = tmp_path / "empty.tif"
    path.write_bytes(tiff(np.full((4, 4), np.nan, np.float32)))
    for read in (read_image, check_image):
        with pytest.raises(InputError, match=r"empty\.tif: expected finite numbers, got none"):
            read(path)


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_truncated_deep_files_are_refused(kept: float, tmp_path: Path) -> None:
    data = tiff(degrees(40, 40))
    path = tmp_path / "cut.tif"
    path.write_bytes(data[: int(kept * len(data))])
    for read in (read_image, check_image):
        with pytest.raises(InputError, match="a whole picture file"):
            read(path)


def test_damage_that_only_the_decoder_finds_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(cv2.imencode(".tiff", values(16, 60, 70, 3))[1].tobytes())  # LZW
    data[200:-500:97] = bytes(0x55 ^ byte for byte in data[200:-500:97])
    with pytest.raises(InputError, match="16-bit pixels that OpenCV cannot decode"):
        read_image(bytes(data))
    assert capfd.readouterr().err == ""


def test_several_deep_pictures_in_one_file_are_refused() -> None:
    pages = [values(16, 6, 7), values(16, 6, 7)]
    with pytest.raises(InputError, match="one picture in the file"):
        read_image(cv2.imencodemulti(".tiff", pages)[1].tobytes())


@pytest.mark.filterwarnings("ignore")
def test_damaged_deep_files_end_in_pixels_or_in_our_error() -> None:
    random, whole = np.random.default_rng(0), tiff(values(12), 12)
    for _ in range(100):
        data = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            data[place] = random.integers(256)
        with contextlib.suppress(InputError):
            assert read_image(bytes(data), pixel_limit=1_000_000).shape[2] in (1, 3)


def test_transparency_of_16_bits_that_nobody_set() -> None:
    rgba = np.full((4, 4, 4), (1000, 20000, 60000, 0), np.uint16)
    read = read_image(cv2.imencode(".png", rgba)[1].tobytes())
    assert read[0, 0].tolist() == [60000, 20000, 1000]
    turned = read_image(tiff(rgba, extra=[(338, 3, [2])]))
    assert turned[0, 0].tolist() == [1000, 20000, 60000]


@pytest.mark.parametrize("kind", [0, 1])
def test_a_fourth_channel_that_is_no_opacity_of_its_own_is_left_out(kind: int) -> None:
    pixels = values(16, 5, 7, 4)
    np.testing.assert_array_equal(read_image(tiff(pixels, extra=[(338, 3, [kind])])), pixels[..., :3])


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_channels_one_after_the_other_are_refused(dtype: type) -> None:
    with pytest.raises(InputError, match=r"one after the other \(planar\)"):
        read_image(tiff(values(16, 5, 7, 3).astype(dtype), extra=[(284, 3, [2])]))


def test_a_transparent_grey_of_16_bits_lies_over_black(tmp_path: Path) -> None:
    path, grey = tmp_path / "grey.png", np.array([[500, 1000, 65535]], np.uint16)
    Image.fromarray(grey).save(path)
    data, at = path.read_bytes(), path.read_bytes().index(b"IDAT") - 4
    body = b"tRNS" + struct.pack(">H", 1000)
    chunk = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    assert read_image(data[:at] + chunk + data[at:])[..., 0].tolist() == [[500, 0, 65535]]
