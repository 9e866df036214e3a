"""Segment maps drawn over pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from flawscope.data.segment_maps import segment_colours
from flawscope.data.sheets import CAPTION, fitted
from flawscope.data.sheets.segments import GAP, Cell, overlay_segments, segment_sheet


def halves() -> np.ndarray:
    labels = np.zeros((40, 60), np.uint8)
    labels[:, 30:] = 1
    return labels


def test_an_overlay_mixes_colours_and_draws_borders_white() -> None:
    picture = np.full((40, 60, 3), 100, np.uint8)
    drawn = overlay_segments(picture, halves(), 0.5)
    colours = segment_colours(2).astype(float)
    np.testing.assert_allclose(drawn[5, 5], (100 + colours[0]) / 2, atol=0.6)
    np.testing.assert_allclose(drawn[5, 50], (100 + colours[1]) / 2, atol=0.6)
    assert (drawn[:, 29:31] == 255).all()
    assert (overlay_segments(picture, np.zeros((40, 60), np.uint8), 1.0) == colours[0]).all()


def test_the_sheet_shows_picture_overlay_and_map_beside_a_legend() -> None:
    random = np.random.default_rng(0)
    grey = random.integers(0, 255, (80, 120, 1), np.uint8)
    deep = np.full((40, 60, 3), 4000, np.uint16)
    cells = [Cell("ünï", grey, "picture"), Cell("b" * 200, deep), Cell("map", deep, "map")]
    sheet = segment_sheet(halves(), cells, side=120)
    height, width = 80, 120
    assert sheet.shape == (2 * GAP + height + CAPTION, GAP + 3 * (width + GAP) + 104 + GAP, 3)
    np.testing.assert_array_equal(sheet[GAP : GAP + height, GAP : GAP + width, 0], grey[..., 0])
    shown = sheet[GAP : GAP + height, GAP + 2 * (width + GAP) :][:, :width]
    colours = segment_colours(2)
    assert (shown[:, : width // 2 - 1] == colours[0]).all()
    assert (shown[:, width // 2 + 1 :] == colours[1]).all()
    legend = sheet[:, GAP + 3 * (width + GAP) :]
    assert all((legend == colour).all(2).sum() > 100 for colour in colours)


def test_a_picture_may_have_segments_of_its_own() -> None:
    deep = np.zeros((40, 60, 3), np.uint8)
    own = [Cell("a", deep, "map"), Cell("b", deep, "map", np.full((20, 30), 2, np.uint8))]
    sheet = segment_sheet(halves(), own, shares=np.array([0.25, 0.25, 0.5]), side=120)
    cells = [sheet[GAP : GAP + 80, GAP + place * 132 :][:, :120] for place in (0, 1)]
    colours = segment_colours(3)
    assert (cells[0][:, :55] == colours[0]).all()
    assert (cells[1] == colours[2]).all()
    assert (sheet[:, 2 * 132 + GAP :] == colours[2]).all(2).any()


@pytest.mark.parametrize(("count", "cells", "columns"), [(12, 12, 4), (64, 1, 4), (64, 3, 1)])
def test_many_cells_and_segments_have_room(count: int, cells: int, columns: int) -> None:
    labels = np.arange(64 * 64).reshape(64, 64) * count // (64 * 64)
    picture = np.zeros((64, 64, 3), np.uint8)
    sheet = segment_sheet(
        labels.astype(np.uint8), [Cell(str(index), picture) for index in range(cells)], columns=columns
    )
    assert all((sheet == colour).all(2).any() for colour in segment_colours(count))


def test_a_caption_keeps_its_end_within_the_width() -> None:
    font = ImageFont.load_default(14)
    assert fitted("good/001.png", font, 500) == "good/001.png"
    assert fitted("größe.png", font, 500) == "gr??e.png"
    cut = fitted("a_very_long_folder_name/001.png", font, 90)
    assert cut.startswith("...")
    assert cut.endswith("/001.png")
    assert font.getlength(cut) <= 90
