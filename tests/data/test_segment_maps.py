"""Segment maps as files: written, read, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.segment_maps import (
    MOST_SEGMENTS,
    check_map_fits,
    common_size,
    picture_size,
    read_segment_map,
    segment_colours,
    shares_of,
    to_frame_size,
    write_segment_map,
)
from flawscope.errors import DataError, InputError, OutputError
from flawscope.runtime.images import Frame


def quarters() -> NDArray[np.uint8]:
    labels = np.zeros((20, 30), np.uint8)
    labels[:, 15:] = 1
    labels[12:, 15:] = 2
    return labels


def indexed(labels: NDArray[np.uint8], colours: int = 256) -> Image.Image:
    image = Image.fromarray(labels)
    image.putpalette(np.arange(3 * colours, dtype=np.uint64).astype(np.uint8).tobytes())
    return image


def test_a_written_map_reads_as_it_was_with_a_palette_to_paint_with(tmp_path: Path) -> None:
    path = tmp_path / "new" / "map.png"
    write_segment_map(path, quarters())
    np.testing.assert_array_equal(read_segment_map(path), quarters())
    with Image.open(path) as image:
        assert image.mode == "P"
        palette = np.array(image.getpalette()).reshape(-1, 3)
        np.testing.assert_array_equal(palette[:MOST_SEGMENTS], segment_colours(MOST_SEGMENTS))
    whole = np.arange(64, dtype=np.uint8).reshape(8, 8)
    write_segment_map(path, whole)
    np.testing.assert_array_equal(read_segment_map(path), whole)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_maps_with_small_palettes_and_grey_maps_are_read(tmp_path: Path, bits: int) -> None:
    labels = np.minimum(quarters(), 2**bits - 1).astype(np.uint8)
    indexed(labels, min(2**bits, 16)).save(tmp_path / "map.png", bits=bits)
    np.testing.assert_array_equal(read_segment_map(tmp_path / "map.png"), labels)
    Image.fromarray(labels).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_segment_map(tmp_path / "grey.png"), labels)


def test_colours_can_be_told_apart() -> None:
    colours = segment_colours(MOST_SEGMENTS).astype(int)
    assert colours.shape == (64, 3)
    apart = np.abs(colours[:, None] - colours[None]).sum(2)
    assert apart[~np.eye(64, dtype=bool)].min() > 20
    assert apart[:8, :8][~np.eye(8, dtype=bool)].min() > 75
    np.testing.assert_array_equal(segment_colours(3), colours[:3])


def saved(path: Path, pixels: NDArray[Any]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def gap(path: Path) -> Path:
    labels = quarters()
    labels[3, 7] = 9
    indexed(labels).save(path)
    return path


def beyond_palette(path: Path) -> Path:
    indexed(np.arange(21, dtype=np.uint8)[None].repeat(2, axis=0), 17).save(path)
    return path


def too_many(path: Path) -> Path:
    labels = quarters()
    labels[4, 5] = 255
    return saved(path, labels)


def few_grey_bits(path: Path) -> Path:
    Image.fromarray(quarters() > 0).save(path)
    return path


def jpeg(path: Path) -> Path:
    Image.fromarray(quarters()).save(path, format="JPEG")
    return path


def truncated(path: Path) -> Path:
    write_segment_map(path, np.random.default_rng(0).integers(0, 60, (64, 64)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:700])
    return path


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            gap,
            DataError,
            "no pixel of index 3, 4, 5, 6, 7, 8, but index 9 in 1 pixels, the first at x 7, y 3",
        ),
        (beyond_palette, DataError, r"indices from 0 to 16 \(those of its palette\), got index 20 in 2"),
        (too_many, DataError, r"at most 64 segments\), got index 255 in 1 pixels, the first at x 5, y 4"),
        (lambda path: saved(path, np.zeros((4, 4, 3), np.uint8)), DataError, "PNG of pixel type RGB"),
        (lambda path: saved(path, np.zeros((4, 4, 4), np.uint8)), DataError, "PNG of pixel type RGBA"),
        (lambda path: saved(path, np.zeros((4, 4), np.uint16)), DataError, "PNG of pixel type I;16"),
        (few_grey_bits, DataError, "PNG of pixel type 1"),
        (jpeg, DataError, "got a JPEG"),
        (truncated, InputError, "damaged or truncated"),
        (lambda path: path, InputError, "nothing there"),
        (lambda path: path.parent, InputError, "a folder"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path: Path, make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        read_segment_map(make(tmp_path / "map.png"))
    assert "segment map" in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_bytes_that_are_no_picture_are_refused(tmp_path: Path) -> None:
    (tmp_path / "map.png").write_text("0 0 1 1")
    with pytest.raises(InputError, match="a text file"):
        read_segment_map(tmp_path / "map.png")


def test_maps_that_would_be_refused_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pixel of index 0"):
        write_segment_map(tmp_path / "map.png", np.ones((4, 4), np.uint8))
    assert not (tmp_path / "map.png").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_segment_map(tmp_path / "file" / "map.png", quarters())


def test_shares_sum_to_one() -> None:
    np.testing.assert_allclose(shares_of(quarters()), [0.5, 0.3, 0.2])
    np.testing.assert_allclose(shares_of(quarters(), 5), [0.5, 0.3, 0.2, 0, 0])


def test_a_map_reaches_the_frame_as_pictures_do() -> None:
    stretched = to_frame_size(quarters(), Frame(10, 10))
    assert (stretched[:, :5] == 0).all()
    assert (stretched[6:, 5:] == 2).all()
    padded = to_frame_size(quarters(), Frame(30, 30, "pad"))
    np.testing.assert_array_equal(padded[5:25], quarters())
    np.testing.assert_array_equal(padded[:5], np.broadcast_to(quarters()[0], (5, 30)))
    np.testing.assert_array_equal(padded[25:], np.broadcast_to(quarters()[-1], (5, 30)))


def test_sizes_come_from_headers_and_follow_the_orientation(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.zeros((20, 30, 3), np.uint8))
    assert picture_size(path) == (20, 30)
    turned = Image.new("RGB", (30, 20))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "b.jpg", exif=exif)
    assert picture_size(tmp_path / "b.jpg") == (30, 20)
    assert common_size([path, path]) == (20, 30)
    with pytest.raises(DataError, match=r"fixed camera, got 30x20 of .*a\.png and 20x30 of .*b\.jpg"):
        common_size([path, tmp_path / "b.jpg"])
    with pytest.raises(DataError, match="at least one"):
        common_size([])


def test_a_map_fits_its_size_and_its_proportions_only(tmp_path: Path) -> None:
    paths = [saved(tmp_path / "a.png", np.zeros((200, 300), np.uint8))]
    for fits in ((200, 300), (20, 30), (400, 600), (200, 302)):
        check_map_fits(Path("map.png"), fits, paths)
    for wrong in ((300, 200), (200, 304), (256, 256)):
        with pytest.raises(DataError, match=r"300x200 of .*a\.png\), their proportions within 1 %, got"):
            check_map_fits(Path("map.png"), wrong, paths)
    check_map_fits(Path("map.png"), (256, 256), paths, Frame(256, 256))
    with pytest.raises(DataError, match="or 128x128, got 256x256"):
        check_map_fits(Path("map.png"), (256, 256), paths, Frame(128, 128))
