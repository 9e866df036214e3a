"""Segment maps drawn for people: over pictures, with outlines and a legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from flawscope.data.segment_maps import Labels, segment_colours, shares_of
from flawscope.data.sheets import CAPTION, INK, PAPER, fitted
from flawscope.runtime.overlay import Picture, to_rgb

SIDE, GAP = 320, 12  # pixels of a cell's longer side, between cells
_ROW, _SWATCH, _COLUMN, _NAMED = 24, 16, 104, 180  # of the legend, its columns of shares and of names
_OPACITY, _FINER = 0.4, 2
_RIM, _LINE = (150, 150, 150), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture of the sheet: (H, W, C) of 8 or 16 bits, shown at the map's proportions.

    `show` says what is seen: the picture, the segments over it, or the map alone. `labels` are the picture's
    own segments, where it does not have those of the sheet.
    """

    caption: str
    picture: NDArray[Any]
    show: Literal["picture", "overlay", "map"] = "overlay"
    labels: Labels | None = None


def segment_sheet(
    labels: Labels,
    cells: Sequence[Cell],
    *,
    shares: NDArray[np.float64] | None = None,
    columns: int = 4,
    side: int = SIDE,
) -> Picture:
    """The cells in rows, and beside them each segment's colour, index and share: (H, W, 3) RGB.

    The shares are by default those of `labels`, whose proportions all cells have.
    """
    shares = shares_of(labels) if shares is None else shares
    scale = side / max(labels.shape)
    height, width = (max(round(length * scale), 1) for length in labels.shape)
    columns = min(columns, len(cells))
    rows = math.ceil(len(cells) / columns)
    body = rows * (height + CAPTION + GAP)
    lines = max(1, (body - GAP) // _ROW)
    legend = math.ceil(len(shares) / lines) * _COLUMN
    size = (GAP + columns * (width + GAP) + legend + GAP, max(GAP + body, 2 * GAP + _ROW))
    sheet = Image.new("RGB", size, PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for index, cell in enumerate(cells):
        left = GAP + index % columns * (width + GAP)
        top = GAP + index // columns * (height + CAPTION + GAP)
        own = labels if cell.labels is None else cell.labels
        sheet.paste(Image.fromarray(_drawn(own, cell, height, width)), (left, top))
        draw.text((left, top + height + 3), fitted(cell.caption, font, width), INK, font)
    _draw_legend(draw, font, shares, lines, GAP + columns * (width + GAP))
    return np.asarray(sheet)


def overlay_segments(picture: Picture, labels: Labels, opacity: float = _OPACITY) -> Picture:
    """Segments in their colours, with white outlines, over a picture (H, W, 3) of the map's size (H, W)."""
    colours = segment_colours(int(labels.max()) + 1)[labels]  # (H, W, 3)
    mixed = picture + (colours.astype(np.float32) - picture) * opacity
    mixed[_outlines(labels)] = _LINE
    return (mixed + 0.5).astype(np.uint8)


def with_names(picture: Picture, names: Mapping[int, str]) -> Picture:
    """The picture (H, W, 3) above rows of names, each beside its segment's colour: (H + rows, W, 3)."""
    colours, width = segment_colours(max(names, default=0) + 1).tolist(), picture.shape[1]
    across = max(1, width // _NAMED)
    rows = math.ceil(len(names) / across)
    legend = Image.new("RGB", (width, 2 * GAP + rows * _ROW), PAPER)
    draw, font = ImageDraw.Draw(legend), ImageFont.load_default(14)
    for place, (label, name) in enumerate(names.items()):
        x, y = GAP + place % across * _NAMED, GAP + place // across * _ROW
        draw.rectangle((x, y, x + _SWATCH, y + _SWATCH), tuple(colours[label]), _RIM)
        draw.text((x + _SWATCH + 8, y), fitted(name, font, _NAMED - _SWATCH - 16), INK, font)
    return np.concatenate([picture, np.asarray(legend)])


def _drawn(labels: Labels, cell: Cell, height: int, width: int) -> Picture:
    """A cell (height, width, 3); segments are drawn twice as large and reduced, which smooths outlines."""
    way = cv2.INTER_AREA if cell.picture.shape[0] > height else cv2.INTER_LINEAR
    picture = np.asarray(cv2.resize(to_rgb(cell.picture), (width, height), interpolation=way), np.uint8)
    if cell.show == "picture":
        return picture
    size = (_FINER * width, _FINER * height)
    shape = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    larger = picture.repeat(_FINER, axis=0).repeat(_FINER, axis=1)
    drawn = overlay_segments(larger, shape, 1.0 if cell.show == "map" else _OPACITY)
    return np.asarray(cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _outlines(labels: Labels) -> NDArray[np.bool_]:
    """Pixels on either side of a border between segments."""
    lines = np.zeros(labels.shape, np.bool_)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    lines[:, 1:] |= across
    lines[:, :-1] |= across
    lines[1:] |= down
    lines[:-1] |= down
    return lines


def _draw_legend(
    draw: ImageDraw.ImageDraw, font: Any, shares: NDArray[np.float64], lines: int, left: int
) -> None:
    colours = segment_colours(len(shares)).tolist()
    for index, share in enumerate(shares):
        x, y = left + index // lines * _COLUMN, GAP + index % lines * _ROW
        draw.rectangle((x, y, x + _SWATCH, y + _SWATCH), tuple(colours[index]), _RIM)
        draw.text((x + _SWATCH + 8, y), str(index), INK, font)
        draw.text((x + _SWATCH + 32, y), f"{share:.1%}", INK, font)
