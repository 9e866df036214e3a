"""JPEG decoded at a part of its size: as the full picture but for a bound, and only where a frame says so."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from brightness_model import save_model
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.errors import InputError
from flawscope.runtime.images import Frame, check_image, decode, read_image, to_frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.reduction import divisor
from flawscope.station.picture import inspect_one

SMALL = Frame(16, 16, reduced=True)


def picture(height: int, width: int, mode: str = "RGB") -> Image.Image:
    """Colours that change from corner to corner, with texture of the pictures' own pixels."""
    rows, columns = np.mgrid[:height, :width]
    planes = [rows / height, columns / width, (rows + columns) / (height + width)]
    noise = np.random.default_rng(0).normal(0, 8, (height, width, 1))
    pixels = np.stack(planes, 2) * 200 + 25 + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert(mode)


def jpeg(image: Image.Image, orientation: int = 1) -> bytes:
    exif, stream = Image.Exif(), BytesIO()
    exif[0x0112] = orientation
    image.save(stream, "JPEG", quality=92, exif=exif)
    return stream.getvalue()


def framed(data: bytes | Path, frame: Frame) -> NDArray[np.float32]:
    return to_frame(decode(data, frame), frame)


@pytest.mark.parametrize(
    ("size", "inner", "by"),
    [
        ((2048, 2448), (320, 320), 2),
        ((2048, 2448), (256, 256), 4),
        ((2047, 2448), (256, 256), 2),
        ((460, 1130), (320, 320), 1),
        ((40, 5000), (16, 16), 1),
        ((5000, 5000), (16, 16), 8),
        ((8, 8), (16, 16), 1),
    ],
)
def test_twice_the_frame_is_left(size: tuple[int, int], inner: tuple[int, int], by: int) -> None:
    assert divisor(size, inner) == by


@pytest.mark.parametrize("aspect", ["stretch", "pad"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_odd_sides_and_turned_pictures_lie_where_the_full_one_does(orientation: int, aspect: Any) -> None:
    """Sides of 131 and 93 end within a pixel of a quarter, which turning may put at the other end."""
    frame = Frame(16, 16, aspect, reduced=True)
    data = jpeg(picture(131, 93), orientation)
    seen, whole = decode(data, frame), read_image(data)
    assert not seen.full
    assert seen.size == whole.shape[:2]
    assert np.abs(to_frame(seen, frame) - to_frame(whole, frame)).max() < 0.03
    assert np.abs(to_frame(seen, frame) - to_frame(whole, frame)).mean() < 0.005


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk(mode: str) -> None:
    data = jpeg(picture(128, 128, mode))
    seen = decode(data, SMALL)
    assert seen.pixels.shape == (32, 32, 1 if mode == "L" else 3)
    assert np.abs(to_frame(seen, SMALL) - to_frame(read_image(data), SMALL)).mean() < 0.01


def test_all_else_is_read_in_full(tmp_path: Path) -> None:
    small, large = tmp_path / "small.jpg", tmp_path / "large.png"
    small.write_bytes(jpeg(picture(60, 60)))
    picture(128, 128).save(large)
    for path in (small, large):
        seen = decode(path, SMALL)
        assert seen.full
        np.testing.assert_array_equal(seen.pixels, read_image(path))
    unreduced = decode(jpeg(picture(128, 128)), Frame(16, 16))
    assert unreduced.full


def test_a_truncated_file_is_refused_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(jpeg(picture(128, 128))[:-2000])
    for frame in (None, SMALL):
        with pytest.raises(
            InputError, match=r"cut\.jpg: expected a whole picture file, got a damaged or trunc"
        ):
            decode(path, frame)


def test_training_and_inspection_see_the_same_and_drawings_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(picture(128, 160)))
    inspector = Inspector.load(save_model(tmp_path / "model", frame=SMALL))
    assert inspector.bundle.manifest.frame == SMALL
    (learnt,) = PictureFiles([Sample(path, "train", defective=False)], SMALL).resized(Frame(16, 16))
    np.testing.assert_array_equal(learnt, framed(path, SMALL))
    assert not np.array_equal(learnt, framed(path, Frame(16, 16)))
    inspected = inspect_one(inspector, path, overlay=lambda _: True)
    assert inspected.prediction is not None
    assert inspected.prediction.heatmap is not None
    assert inspected.prediction.heatmap.shape == (128, 160)
    np.testing.assert_allclose(inspected.prediction.outputs["colour"], learnt.mean((1, 2)), atol=1e-6)
    drawn = cv2.imdecode(np.frombuffer(inspected.overlay, np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    assert drawn.shape == (128, 160, 3)
    assert (check_image(path).height, check_image(path).width) == (128, 160)
