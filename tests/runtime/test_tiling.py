"""Tiles cover a picture, see what the whole one would show there, and join to one answer without a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from brightness_model import SIDE, make_manifest, save_model
from flawscope.runtime.images import Frame, decode, to_frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.manifest import OutputSpec
from flawscope.runtime.pipeline import Pipeline
from flawscope.runtime.prediction import Decision, Look, Prediction
from flawscope.runtime.reduction import Decoded
from flawscope.runtime.tiling import Joining, Overview, Tiling, auto_scale, of_pictures

TILES = Tiling(size=(SIDE, SIDE), stride=(12, 12))
LENGTHS = st.integers(1, 90)


def joined(tiling: Tiling, height: int, width: int, field: Any) -> np.ndarray:
    """The picture's map of tiles whose maps `field` gives by placement; no score matters."""
    grid = tiling.grid(height, width)
    joining = Joining(grid, ("score", "heatmap"))
    for number in range(len(grid)):
        values = np.asarray(field(grid.placement(number)), np.float32)
        joining.add(number, {"score": np.float32(0), "heatmap": values})
    heatmap = joining.own_heatmap()
    assert heatmap is not None
    return heatmap


def test_the_issues_picture() -> None:
    grid = Tiling(size=(320, 320), stride=(288, 288)).grid(512, 1408)
    assert (grid.rows, grid.columns) == ((0, 192), (0, 288, 576, 864, 1088))
    assert grid.placement(9).window == (1088, 192, 1408, 512)


@given(LENGTHS, LENGTHS, st.integers(1, 40), st.integers(1, 40), st.floats(0.1, 1))
def test_every_pixel_lies_in_a_tile_and_weights_add_up_to_one(
    height: int, width: int, side: int, step: int, scale: float
) -> None:
    tiling = Tiling(size=(side, side), stride=(min(step, side),) * 2, scale=scale)
    grid = tiling.grid(height, width)
    for axis, starts in enumerate((grid.rows, grid.columns)):
        total = np.zeros(grid.working[axis])
        for start, weights in zip(starts, grid.weights(axis), strict=True):
            total[max(start, 0) : max(start, 0) + len(weights)] += weights
            assert (weights > 0).all()
        np.testing.assert_allclose(total, 1, atol=1e-5)
    point = (width - 1, height - 1)
    assert grid.placement(grid.nearest(point)).depth(point) > 0


@pytest.mark.parametrize("scale", [1.0, 0.4, 0.73])
def test_a_tile_shows_what_the_whole_picture_would(scale: float) -> None:
    """Cut out of the resized picture, to rounding; at the picture's own resolution to the bit."""
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
    tiling = TILES.model_copy(update={"scale": scale})
    grid = tiling.grid(61, 83)
    whole = to_frame(image, Frame(*grid.working))
    for number in range(len(grid)):
        top, left = grid.corner(number)
        tile = to_frame(image, Frame(SIDE, SIDE), placement=grid.placement(number))
        expected = whole[:, top : top + SIDE, left : left + SIDE]
        np.testing.assert_allclose(tile, expected, atol=0 if scale == 1 else 2e-6)


def test_a_picture_smaller_than_a_tile_is_padded_as_aspect_pad_does() -> None:
    image = np.random.default_rng(0).integers(0, 256, (SIDE // 2, SIDE, 3), np.uint8)
    (tile,) = TILES.grid(*image.shape[:2]).tiles()
    padded = to_frame(image, Frame(SIDE, SIDE, "pad"))
    np.testing.assert_array_equal(to_frame(image, Frame(SIDE, SIDE), placement=tile.placement), padded)
    assert tile.placement == Frame(SIDE, SIDE, "pad").placement(SIDE // 2, SIDE)


def test_numbers_without_a_scale_and_reduced_pictures_are_cut_too(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(0, 5, (40, 50, 1)).astype(np.float32)
    frame, grid = Frame(SIDE, SIDE, intensities=(-10.0, 10.0)), TILES.grid(40, 50)
    whole = to_frame(numbers, Frame(40, 50, intensities=(-10.0, 10.0)))
    tile = to_frame(numbers, frame, placement=grid.placement(1))
    np.testing.assert_array_equal(tile, whole[:, :SIDE, 12 : 12 + SIDE])
    from PIL import Image

    smooth = np.kron(np.random.default_rng(0).integers(60, 200, (12, 16)), np.ones((32, 32))).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    tiling = Tiling(size=(SIDE, SIDE), stride=(8, 8), scale=0.1)
    reduced = decode(tmp_path / "a.jpg", Frame(SIDE, SIDE, reduced=True), tiling=tiling)
    full = decode(tmp_path / "a.jpg", Frame(SIDE, SIDE), tiling=tiling)
    assert reduced.pixels.shape[0] == full.pixels.shape[0] // 4  # twice 0.1 of its size are kept
    for tile in tiling.grid(384, 512).tiles():
        seen = [to_frame(image, Frame(SIDE, SIDE), placement=tile.placement) for image in (reduced, full)]
        np.testing.assert_allclose(*seen, atol=0.05)


@given(st.integers(20, 120), st.integers(20, 120), st.integers(4, 14))
def test_a_map_that_is_continuous_comes_back_as_it_was(height: int, width: int, step: int) -> None:
    rows, columns = np.mgrid[:height, :width]
    whole = (np.sin(rows / 9) + np.cos(columns / 7)).astype(np.float32)

    def field(placement: Any) -> np.ndarray:
        left, top, right, bottom = placement.window
        return np.pad(whole[top:bottom, left:right], placement.padding, mode="edge")

    found = joined(Tiling(size=(SIDE, SIDE), stride=(step, step)), height, width, field)
    np.testing.assert_allclose(found, whole, atol=1e-5)


@given(st.integers(20, 120), st.integers(20, 120), st.integers(2, 15), st.integers(0, 1000))
def test_tiles_of_different_levels_join_without_a_step(height: int, width: int, step: int, seed: int) -> None:
    """From pixel to pixel the map moves by a share of the overlap, whatever the tiles' levels."""
    random, tiling = np.random.default_rng(seed), Tiling(size=(SIDE, SIDE), stride=(step, step))
    found = joined(tiling, height, width, lambda _: np.full((SIDE, SIDE), random.uniform(0, 1)))
    most = 2 / (SIDE - step)
    assert np.abs(np.diff(found, axis=0)).max(initial=0) <= most + 1e-5
    assert np.abs(np.diff(found, axis=1)).max(initial=0) <= most + 1e-5
    plain = joined(
        tiling.model_copy(update={"blend": "mean"}), height, width, lambda _: np.full((SIDE, SIDE), 0.25)
    )
    np.testing.assert_allclose(plain, 0.25, atol=1e-5)


def test_the_picture_s_own_border_keeps_its_weight() -> None:
    first, *_, last = TILES.grid(100, 100).weights(0)
    assert first[0] == last[-1] == 1


def test_coarse_maps_and_pictures_at_a_part_of_their_size() -> None:
    tiling = Tiling(size=(SIDE, SIDE), stride=(12, 12), scale=0.5)
    found = joined(tiling, 100, 140, lambda _: np.full((4, 4), 2.5))
    assert found.shape == (100, 140)
    np.testing.assert_allclose(found, 2.5, rtol=1e-5)


def test_scores_of_pictures_are_the_highest_of_their_tiles() -> None:
    tiles = [*TILES.grid(SIDE, 40).tiles(), None, *TILES.grid(SIDE, 20).tiles()]
    answers = [{"score": np.float32(score)} for score in (1, 5, 2, 7, 3, 4)]
    assert [float(answer["score"]) for answer in of_pictures(answers, tiles, ("score",))] == [5, 7, 4]


def test_an_overview_is_one_more_tile_whose_score_is_levelled_and_whose_map_does_not_count() -> None:
    overview = TILES.model_copy(update={"overview": Overview(gain=2.0, shift=1.0)})
    grid = overview.grid(40, 52)
    assert (len(grid), grid.parts) == (len(TILES.grid(40, 52)) + 1, len(TILES.grid(40, 52)))
    last = grid.tiles()[-1]
    assert last.last
    assert last.placement == Frame(SIDE, SIDE).placement(40, 52)
    assert grid.nearest((20, 20)) < grid.parts
    heatmap = joined(overview, 40, 52, lambda place: np.full((SIDE, SIDE), 9.0 if place.whole else 1.0))
    np.testing.assert_allclose(heatmap, 1, atol=1e-5)
    for score, expected, highest in ((2.0, 5.0, grid.parts), (0.5, 3.0, 0)):
        joining = Joining(grid, ("score",))
        for number in range(len(grid)):
            joining.add(number, {"score": np.float32(3.0 if number < grid.parts else score)})
        assert (joining.score, joining.highest) == (expected, highest)


def test_an_area_is_read_in_a_tile_that_shows_it_rather_than_in_the_overview() -> None:
    grid = TILES.model_copy(update={"overview": Overview()}).grid(100, 140)
    whole, part = (Look(grid.placement(number), {}) for number in (grid.parts, grid.nearest((70, 31))))
    prediction = Prediction(1.0, 0.5, Decision.REJECT, looks=(whole, part))
    assert prediction.look_at((70, 31)) is part
    assert prediction.look_at((5, 95)) is whole


def spotted(height: int, width: int, *spots: tuple[int, int]) -> np.ndarray:
    pixels = np.full((height, width), 20, np.uint8)
    for x, y in spots:
        pixels[y - 2 : y + 2, x - 2 : x + 2] = 255
    return pixels


@pytest.fixture
def inspector(tmp_path: Path) -> Inspector:
    return Inspector.load(save_model(tmp_path / "model", tiling=TILES), engine="onnxruntime")


def test_a_small_flaw_of_a_large_picture_is_found_where_it_is(inspector: Inspector) -> None:
    """Seen whole, 4 of 100 pixels would be less than one of the frame's."""
    prediction = inspector.inspect(spotted(100, 140, (70, 31), (120, 90)))
    assert prediction.score == 1
    assert prediction.decision is Decision.REJECT
    assert prediction.heatmap is not None
    assert prediction.heatmap.shape == (100, 140)
    np.testing.assert_allclose(prediction.heatmap[20:25, 20:25], 20 / 255, rtol=1e-4)
    assert sorted(region.box for region in prediction.regions) == [(68, 29, 72, 33), (118, 88, 122, 92)]
    assert "around (70, 31)" in prediction.findings[0].text


def test_looks_are_those_of_the_tiles_where_regions_peak(inspector: Inspector) -> None:
    prediction = inspector.inspect(spotted(100, 140, (70, 31), (120, 90)))
    for x, y in ((70, 31), (120, 90)):
        look = prediction.look_at((x, y))
        assert look is not None
        left, top, right, bottom = look.placement.window
        tile = spotted(100, 140, (70, 31), (120, 90))[top:bottom, left:right] / 255
        np.testing.assert_allclose(look.outputs["colour"], tile.mean(), rtol=1e-5)
    assert prediction.look_at((5, 95)) is None
    assert prediction.outputs.keys() == {"colour"}


def test_answers_do_not_depend_on_how_many_tiles_run_at_once(inspector: Inspector, tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (70, 90, 3), np.uint8)
    alone = Inspector.load(inspector.bundle, engine="onnxruntime", threads=1).inspect(picture)
    beside = Inspector.load(inspector.bundle, engine="onnxruntime", threads=4).inspect(picture)
    assert alone.to_json() == beside.to_json()
    np.testing.assert_array_equal(alone.heatmap, beside.heatmap)
    np.testing.assert_array_equal(alone.outputs["colour"], beside.outputs["colour"])


def test_training_and_inspection_join_tiles_alike(inspector: Inspector) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (70, 90, 3), np.uint8)
    pipeline, grid = Pipeline.open(inspector.bundle), TILES.grid(70, 90)
    frames = (
        to_frame(Decoded.of(picture), Frame(SIDE, SIDE), placement=tile.placement) for tile in grid.tiles()
    )
    (answer,) = of_pictures(pipeline.score(frames), grid.tiles(), pipeline.judged)
    prediction = inspector.inspect(picture)
    assert float(answer["score"]) == prediction.score
    np.testing.assert_array_equal(answer["heatmap"], prediction.heatmap)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (SIDE, SIDE), (SIDE + 1, 5)])
def test_pictures_of_any_size(inspector: Inspector, size: tuple[int, int]) -> None:
    prediction = inspector.inspect(np.full(size, 51, np.uint8))
    assert prediction.heatmap is not None
    assert prediction.heatmap.shape == size
    np.testing.assert_allclose(prediction.heatmap, 0.2, rtol=1e-4)


def test_models_without_a_heatmap(tmp_path: Path) -> None:
    outputs = (OutputSpec(name="score", kind="score"), OutputSpec(name="colour", kind="vector"))
    bundle = save_model(tmp_path / "model", tiling=TILES, outputs=outputs, heatmap=None)
    prediction = Inspector.load(bundle).inspect(spotted(100, 140, (70, 31)))
    assert prediction.heatmap is None
    assert prediction.score == 1


def test_tilings_that_cannot_be() -> None:
    with pytest.raises(ValidationError, match="stride of at most the size"):
        Tiling(size=(16, 16), stride=(16, 17))
    with pytest.raises(ValidationError, match="size of the frame"):
        make_manifest(tiling=Tiling(size=(8, 8), stride=(8, 8)))


@given(st.integers(100, 12000), st.integers(100, 12000))
def test_the_scale_keeps_to_the_number_of_tiles(height: int, width: int) -> None:
    tiling = Tiling(size=(320, 320), stride=(288, 288))
    scale = auto_scale(tiling, height, width, 64)
    assert len(tiling.model_copy(update={"scale": scale}).grid(height, width)) <= 64
