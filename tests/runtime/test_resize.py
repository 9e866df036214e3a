"""The resize is Pillow's bilinear in float, and heatmaps return to where their picture was."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from flawscope.errors import OptionError
from flawscope.runtime import resize
from flawscope.runtime.images import (
    Frame,
    load,
    to_frame,
)


def colours(height: int = 40, width: int = 60, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pillow(image: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Pillow's own bilinear in float, (C, height, width)."""
    planes = [Image.fromarray(image[..., c].astype(np.float32)) for c in range(image.shape[2])]
    resized = [plane.resize((width, height), Image.Resampling.BILINEAR) for plane in planes]
    return np.stack([np.asarray(plane) for plane in resized])


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from([1, 3]),
    st.sampled_from([np.uint8, np.uint16]),
    st.integers(0, 99),
)
def test_resize_is_pillows_bilinear(
    size: tuple[int, int], new_size: tuple[int, int], channels: int, kind: type[Any], seed: int
) -> None:
    (height, width), (to_height, to_width), top = size, new_size, np.iinfo(kind).max
    image = np.random.default_rng(seed).integers(0, top, (height, width, channels), kind, endpoint=True)
    expected = np.broadcast_to(pillow(image, to_height, to_width) / top, (3, to_height, to_width))
    np.testing.assert_allclose(to_frame(image, Frame(to_height, to_width)), expected, atol=2e-6)


@pytest.mark.parametrize("size", [(512, 512), (460, 1130), (1024, 700), (250, 256), (256, 256), (100, 100)])
def test_resize_is_within_one_level_of_pillows_8_bit(size: tuple[int, int]) -> None:
    image = colours(*size)
    expected = np.asarray(Image.fromarray(image).resize((256, 256), Image.Resampling.BILINEAR))
    ours = to_frame(image, Frame(256, 256)).transpose(1, 2, 0)
    assert np.abs(ours - expected / 255).max() <= 1 / 255 + 1e-6
    assert np.abs(ours - expected / 255).mean() < 0.35 / 255


def test_frame_of_the_same_size_changes_nothing() -> None:
    image = colours()
    np.testing.assert_allclose(to_frame(image, Frame(40, 60)), image.transpose(2, 0, 1) / 255, atol=1e-7)


def test_values_stay_within_zero_and_one() -> None:
    white = np.full((333, 217, 3), 255, np.uint8)
    framed = to_frame(white, Frame(100, 100))
    assert framed.dtype == np.float32
    assert framed.max() <= 1.0
    assert framed.min() > 1 - 1e-6


def test_padding_is_centred_and_repeats_the_border() -> None:
    image = np.zeros((20, 40, 1), np.uint8)
    image[0], image[-1] = 255, 51
    framed = to_frame(image, Frame(40, 40, "pad"))
    np.testing.assert_allclose(framed[:, :11], 1.0)
    np.testing.assert_allclose(framed[:, 29:], 0.2)
    np.testing.assert_allclose(framed[:, 11:29], 0.0)


def test_out_receives_the_result() -> None:
    batch = np.empty((2, 3, 16, 16), np.float32)
    assert to_frame(colours(), Frame(16, 16), out=batch[1]).base is batch
    np.testing.assert_array_equal(batch[1], to_frame(colours(), Frame(16, 16)))


def test_load_reads_and_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(colours()).save(path)
    np.testing.assert_array_equal(load(path, Frame(16, 16)), to_frame(colours(), Frame(16, 16)))


@pytest.mark.parametrize("height", [0, -1, 9000, 2.5])
def test_impossible_frames_are_refused(height: Any) -> None:
    with pytest.raises(OptionError, match="whole pixels"):
        Frame(height, 16)
    with pytest.raises(OptionError, match="stretch"):
        Frame(16, 16, "crop")  # type: ignore[arg-type]


# Heatmaps back to the picture


def ramp(height: int, width: int) -> NDArray[np.float32]:
    """A plane that rises linearly: bilinear resizing keeps it but for the borders."""
    rows, columns = np.mgrid[:height, :width]
    return ((rows + 0.5) / height + 2 * (columns + 0.5) / width).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(8, 80), st.integers(8, 80)),
    st.tuples(st.integers(8, 80), st.integers(8, 80)),
    st.sampled_from(["stretch", "pad"]),
    st.sampled_from([1, 2, 4]),
)
def test_a_map_returns_to_where_its_picture_was(
    size: tuple[int, int], map_size: tuple[int, int], aspect: Any, coarser: int
) -> None:
    (height, width), (frame_height, frame_width) = size, map_size
    frame = Frame(frame_height * coarser, frame_width * coarser, aspect)
    placement = frame.placement(height, width)
    (top, left), (inner_height, inner_width) = placement.corner, placement.inner
    rows, columns = np.mgrid[:frame_height, :frame_width]
    # A plane in picture coordinates, seen from the frame's pixels
    y = ((rows + 0.5) * coarser - top) / inner_height
    x = ((columns + 0.5) * coarser - left) / inner_width
    back = placement.back((y + 2 * x).astype(np.float32))
    assert back.shape == (height, width)
    reach = max(1.0, height / inner_height * coarser, width / inner_width * coarser)
    edge = int(np.ceil(reach)) + 1
    inside = (slice(edge, -edge), slice(edge, -edge))
    tenth_of_a_pixel = 0.1 * (1 / height + 2 / width)
    np.testing.assert_allclose(back[inside], ramp(height, width)[inside], atol=tenth_of_a_pixel)


@pytest.mark.parametrize("size", [(64, 64), (100, 333), (20, 20), (64, 20)])
def test_a_map_is_resized_as_pillow_resizes(size: tuple[int, int]) -> None:
    heatmap = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    expected = np.asarray(Image.fromarray(heatmap).resize(size[::-1], Image.Resampling.BILINEAR))
    np.testing.assert_allclose(Frame(64, 64).placement(*size).back(heatmap), expected, atol=1e-5)


def test_padding_does_not_leak_into_the_map() -> None:
    frame = Frame(64, 64, "pad")
    heatmap = np.full((64, 64), 1e6, np.float32)
    heatmap[16:48] = 1.0
    assert frame.placement(100, 200).back(heatmap).max() == 1.0


def test_strips_join_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little scratch a thread keeps; a strip is never less than one band of rows."""
    image = colours(300, 200)
    whole = resize.resize_planes(image, 90, 70, 1.0)
    monkeypatch.setattr(resize, "_SCRATCH", 1)
    np.testing.assert_allclose(resize.resize_planes(image, 90, 70, 1.0), whole, rtol=1e-6)


@pytest.mark.parametrize("size", [(384, 384), (2048, 2448)])
def test_a_frame_is_made_in_its_own_memory(size: tuple[int, int]) -> None:
    """Beside the frame, nothing of the picture's size is allocated."""
    image, out = np.zeros((*size, 3), np.uint8), np.empty((3, 320, 320), np.float32)
    to_frame(image, Frame(320, 320), out=out)
    tracemalloc.start()
    try:
        to_frame(image, Frame(320, 320), out=out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_200_000
