"""Parts drawn in the box around them have the pixels that they have on the whole picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flawscope.data.annotations.drawing import CocoPart, ShapesPart
from flawscope.data.annotations.partition import painted
from flawscope.data.annotations.sheet import Sheet
from flawscope.data.label_folder import LabelPart
from flawscope.data.labelme import LabelMe
from flawscope.data.samples import PartSource

HEIGHT, WIDTH = 30, 40
FILE = Path("some.json")

places = st.integers(-40, 140).map(lambda value: value / 2)
pairs = st.tuples(places, places)


def shapes_of(kind: str, least: int, most: int) -> st.SearchStrategy[dict[str, object]]:
    points = st.lists(pairs, min_size=least, max_size=most)
    return points.map(lambda found: {"shape_type": kind, "points": found})


shapes = st.one_of(
    shapes_of("polygon", 3, 6), shapes_of("rectangle", 2, 2), shapes_of("circle", 2, 2),
    shapes_of("line", 2, 2), shapes_of("linestrip", 2, 4), shapes_of("points", 1, 3),
)  # fmt: skip
labelme = st.lists(shapes, max_size=3).map(
    lambda found: ShapesPart(LabelMe.of(FILE, {"shapes": found}), "screw")
)
outlines = st.lists(pairs, min_size=3, max_size=6).map(lambda found: np.array(found, np.float64))
coco = st.lists(outlines, max_size=3).map(lambda found: CocoPart(FILE, None, "nut", tuple(found)))


def literal(part: PartSource) -> NDArray[np.bool_]:
    """A part's pixels, on the whole picture from the first to the last."""
    if not isinstance(part, CocoPart):
        return part.read(HEIGHT, WIDTH)
    area = np.zeros((HEIGHT, WIDTH), np.bool_)
    for points in part.outlines:
        inside = np.zeros_like(area)
        for edge in zip(points.tolist(), np.roll(points, -1, axis=0).tolist(), strict=True):
            (x0, y0), (x1, y1) = sorted(edge, key=lambda end: end[::-1])
            for row in range(HEIGHT):
                if y0 <= row + 0.5 < y1:
                    x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                    inside[row] ^= np.arange(WIDTH) >= np.ceil(x - 0.5)
        area |= inside
    return area


@settings(max_examples=60)
@given(st.lists(st.one_of(labelme, coco), min_size=1, max_size=4))
def test_parts_have_the_same_pixels_and_leave_nothing_behind(parts: list[PartSource]) -> None:
    sheet, expected = Sheet(HEIGHT, WIDTH), np.zeros((HEIGHT, WIDTH), np.uint8)
    for part in parts:
        area = np.zeros((HEIGHT, WIDTH), np.bool_)
        box, mask = sheet.draw(part)
        area[box] = mask
        np.testing.assert_array_equal(area, literal(part))
        np.testing.assert_array_equal(part.read(HEIGHT, WIDTH), area)
    values = list(range(1, len(parts) + 1))
    for part, value in reversed(list(zip(parts, values, strict=True))):
        expected[literal(part)] = value
    np.testing.assert_array_equal(painted(parts, values, (HEIGHT, WIDTH)), expected)


def test_small_parts_of_a_large_picture_are_drawn_small() -> None:
    corners = [[100.0, 50.0], [120.0, 50.0], [120.0, 90.0]]
    polygon = {"shape_type": "polygon", "points": corners}
    runs = (1000 * 60 + 40, 30, 970, 30, 1000 * 1938 + 930)
    sheet = Sheet(1000, 2000)
    for part in (
        ShapesPart(LabelMe.of(FILE, {"shapes": [polygon]}), "screw"),
        CocoPart(FILE, None, "nut", (np.array(corners),)),
        CocoPart(FILE, (1000, 2000), "nut", runs=runs),
    ):
        assert sheet.draw(part)[1].size < 3000


def test_a_label_map_is_read_once(tmp_path: Path) -> None:
    labels = np.arange(HEIGHT * WIDTH, dtype=np.int64).reshape(HEIGHT, WIDTH).astype(np.uint8) % 5
    np.save(tmp_path / "map.npy", labels)
    parts = [LabelPart(tmp_path / "map.npy", index, str(index)) for index in range(1, 5)]
    sheet = Sheet(HEIGHT, WIDTH)
    sheet.draw(parts[0])
    (tmp_path / "map.npy").unlink()
    for part in parts:
        np.testing.assert_array_equal(sheet.draw(part)[1], labels == part.index)
