"""COCO's instance annotations: pictures, categories, polygons and run-length encoded masks in one file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from flawscope.data.annotations.drawing import CocoPart, Drawing, Reading, Size
from flawscope.data.annotations.rle import counts_of
from flawscope.data.labelme import MAX_SIDE
from flawscope.data.tables import composed, malformed, whole
from flawscope.errors import DataError


def is_coco(content: Any) -> bool:
    """Whether a JSON file's content is COCO's."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def read_coco(path: Path, content: dict[str, Any]) -> Reading:
    """The pictures of a COCO file and what is annotated in each; what cannot be used is a problem."""
    problems = list[DataError]()
    try:
        images, names = _by_id(path, content, "images"), _by_id(path, content, "categories")
        entries = content["annotations"]
        if not isinstance(entries, list):
            raise malformed(path, "annotations", "a list", repr(entries)[:80])
    except DataError as error:
        return Reading((), (error,))
    of_image = defaultdict[Any, list[tuple[str, dict[str, Any]]]](list)
    for number, entry in enumerate(entries, 1):
        where = f"annotation {entry.get('id', number) if isinstance(entry, dict) else number}"
        key = _key(entry, "image_id")
        if key not in images:
            problems.append(malformed(path, where, "the id of one of its images", f"image_id {key!r}"))
        else:
            of_image[key].append((where, entry))
    drawings = []
    for key, image in images.items():
        try:
            drawings.append(_drawing(path, image, of_image[key], names))
        except DataError as error:
            problems.append(error)
    return Reading(drawings, tuple(problems))


def _by_id(path: Path, content: dict[str, Any], kind: str) -> dict[Any, dict[str, Any]]:
    """Images or categories by their ids."""
    entries = content[kind]
    if not isinstance(entries, list):
        raise malformed(path, kind, "a list", repr(entries)[:80])
    found = dict[Any, dict[str, Any]]()
    for number, entry in enumerate(entries, 1):
        key = _key(entry, "id")
        if key is None:
            raise malformed(path, f"{kind} entry {number}", "an object with an id", repr(entry)[:80])
        if key in found:
            raise malformed(path, f"{kind} entry {number}", "an id of its own", f"id {key!r} again")
        found[key] = entry
    return found


def _key(entry: Any, name: str) -> int | str | None:
    value = entry.get(name) if isinstance(entry, dict) else None
    return value if isinstance(value, str) else whole(value)


def _drawing(
    path: Path,
    image: dict[str, Any],
    entries: list[tuple[str, dict[str, Any]]],
    categories: dict[Any, dict[str, Any]],
) -> Drawing:
    """One image's annotations; those that cannot be drawn are among its problems."""
    where, name = f"image {image['id']}", image.get("file_name")
    inside = _inside(name) if isinstance(name, str) else PurePosixPath()
    if not inside.name or ".." in inside.parts or "\0" in str(inside):
        raise malformed(path, where, "a file name inside the pictures' folder", repr(name)[:80])
    size = _size(path, where, image)
    parts, problems = list[CocoPart](), list[DataError]()
    for what, entry in entries:
        try:
            parts.append(_part(path, what, entry, size, categories))
        except DataError as error:
            problems.append(error)
    masks = {part.size for part in parts if part.size is not None}
    if len(masks) > 1:
        got = " and ".join(str(list(each)) for each in sorted(masks))
        problems.append(malformed(path, where, "masks of one size", got))
    size = size or next(iter(masks), None)
    return Drawing(path, path.absolute().parent / inside, tuple(parts), size, tuple(problems))


def _inside(name: str) -> PurePosixPath:
    """A file name as a path below a folder: a root, as of another machine, is left out."""
    return PurePosixPath(name.replace("\\", "/").lstrip("/"))


def _size(path: Path, where: str, image: dict[str, Any]) -> Size | None:
    stated = image.get("height"), image.get("width")
    if stated == (None, None):
        return None
    height, width = (whole(side) or 0 for side in stated)
    if 0 < min(height, width) <= max(height, width) <= MAX_SIDE:
        return height, width
    raise malformed(path, where, "height and width in pixels", f"{stated[0]!r} and {stated[1]!r}"[:80])


def _part(
    path: Path, where: str, entry: dict[str, Any], size: Size | None, categories: dict[Any, dict[str, Any]]
) -> CocoPart:
    category = categories.get(_key(entry, "category_id"))
    name = category.get("name") if category is not None else None
    name = composed(name).strip() if isinstance(name, str) else ""
    if not name:
        got = f"category_id {entry.get('category_id')!r}"
        raise malformed(path, where, "the id of one of its categories, which has a name", got)
    drawn, crowd = entry.get("segmentation"), bool(entry.get("iscrowd"))
    if isinstance(drawn, dict):
        stated, runs = _runs(path, where, drawn, size)
        return CocoPart(path, stated, name, runs=runs, crowd=crowd)
    if not isinstance(drawn, list) or not drawn:
        got = "none" if not drawn else repr(drawn)[:80]
        raise malformed(path, where, "a segmentation of polygons or of counts and size", got)
    outlines = []
    for polygon in drawn:
        try:
            points = np.asarray(polygon, np.float64)
        except (TypeError, ValueError, OverflowError):
            points = np.empty(0)
        if points.ndim != 1 or len(points) % 2 or not (np.abs(points) < MAX_SIDE).all():
            raise malformed(path, where, "a polygon [x, y, x, y, ...]", repr(polygon)[:80])
        if len(points) < 6:
            raise malformed(path, where, "a polygon of 3 points or more", f"{len(points) // 2}")
        outlines.append(points.reshape(-1, 2))  # (2n,) -> (n, 2)
    return CocoPart(path, size, name, tuple(outlines), crowd=crowd)


def _runs(path: Path, where: str, drawn: dict[str, Any], size: Size | None) -> tuple[Size, tuple[int, ...]]:
    """Height, width and runs of a mask."""
    stated = drawn.get("size")
    if not isinstance(stated, list) or len(stated) != 2 or not all(type(side) is int for side in stated):
        raise malformed(path, where, "a size [height, width] beside the counts", repr(stated)[:80])
    height, width = stated
    if not all(0 < side <= MAX_SIDE for side in stated) or (size is not None and size != (height, width)):
        wanted = f"the size of its image, {list(size)}" if size else "a size in pixels"
        raise malformed(path, where, wanted, repr(stated))
    try:
        runs = counts_of(drawn.get("counts"))
    except ValueError as error:
        raise malformed(path, where, "run-length counts", str(error)) from error
    if sum(runs) != height * width:
        raise malformed(path, where, f"counts that add up to {height * width} pixels", f"{sum(runs)}")
    return (height, width), runs
