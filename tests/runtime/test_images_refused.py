"""Pictures that are refused: truncated, damaged, too large, of another kind."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from flawscope.errors import InputError
from flawscope.runtime.images import (
    check_image,
    pixels_in,
    read_image,
)


def colours(height: int = 40, width: int = 60, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("kept", [0.4, 0.9])
def test_truncated_files_are_refused(format_: str, kept: float, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(colours(200, 300)), format_)
    path = tmp_path / f"cut.{format_.lower()}"
    path.write_bytes(data[: int(len(data) * kept)])
    for read in (read_image, check_image):
        with pytest.raises(InputError, match=r"cut\.\w+: expected a whole picture file"):
            read(path)


class FailingDisk(BytesIO):
    """A file that opens, and whose bytes no disk gives."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_bytes_that_the_disk_does_not_give_are_told_of_their_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sector.png"
    path.write_bytes(encoded(Image.fromarray(colours()), "PNG"))
    monkeypatch.setattr(Path, "open", lambda *how: FailingDisk())
    for read in (read_image, check_image):
        with pytest.raises(InputError, match=r"sector\.png: expected a PNG, .*input/output error") as refused:
            read(path)
        assert isinstance(refused.value.__cause__, OSError)
    assert pixels_in(path) == 0


def test_png_with_a_flipped_bit_fails_the_check(tmp_path: Path) -> None:
    data = bytearray(encoded(Image.fromarray(colours()), "PNG"))
    data[len(data) // 2] ^= 1
    path = tmp_path / "bit.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match="whole picture file"):
        check_image(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"not a picture at all", "a text file"),
        (b"GIF89a" + bytes(20), "a GIF"),
        (b"II+\0" + bytes(20), "a BigTIFF"),
        (b"%PDF-1.7 and more text", "a PDF"),
        (bytes(range(20)), "a file of another kind"),
    ],
)
def test_files_that_are_no_pictures_are_named_for_what_they_are(
    content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "part.png"
    path.write_bytes(content)
    for read in (read_image, check_image):
        with pytest.raises(InputError, match=rf"part\.png: .*got {said}\."):
            read(path)


def test_signature_alone_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="damaged or truncated"):
        read_image(b"\x89PNG\r\n\x1a\n")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(InputError, match="got a folder"):
        read_image(tmp_path)


def test_huge_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    path = tmp_path / "huge.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    for read in (read_image, check_image):
        with pytest.raises(InputError, match="at most 100 megapixels, got 20000x20000"):
            read(path)


def test_pixel_limit_can_be_set() -> None:
    data = encoded(Image.fromarray(colours(40, 60)), "PNG")
    assert read_image(data, pixel_limit=2400).shape == (40, 60, 3)
    with pytest.raises(InputError, match="megapixels"):
        read_image(data, pixel_limit=2399)


def test_limit_above_pillows_own_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(encoded(Image.fromarray(colours()), "PNG")).shape == (40, 60, 3)


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF"])
def test_several_pictures_in_one_file_are_refused(format_: str) -> None:
    pages = [Image.fromarray(colours(seed=seed)) for seed in range(2)]
    with pytest.raises(InputError, match="one picture in the file"):
        read_image(encoded(pages[0], format_, save_all=True, append_images=pages[1:]))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "BMP", "TIFF", "WEBP"]),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True, allow_subnormal=False), st.integers(0, 255)),
        min_size=1,
        max_size=6,
    ),
)
def test_damaged_bytes_end_in_pixels_or_in_our_error(format_: str, flips: list[tuple[float, int]]) -> None:
    data = bytearray(encoded(Image.fromarray(colours(12, 16)), format_))
    for place, value in flips:
        data[int(place * len(data))] = value
    with contextlib.suppress(InputError):
        pixels = read_image(bytes(data), pixel_limit=1_000_000)
        assert pixels.ndim == 3
        assert pixels.shape[2] in (1, 3)
