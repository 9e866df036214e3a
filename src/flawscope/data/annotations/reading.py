"""Annotations of any form, found by looking: a COCO file, LabelMe files, or indexed PNG with names.

A folder that holds JSON of LabelMe or COCO is read as such, since pictures may lie beside it; any other one
as label maps (`flawscope.data.label_folder`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from flawscope.data.annotations.coco import is_coco, read_coco
from flawscope.data.annotations.drawing import Drawing, Reading, ShapesPart
from flawscope.data.annotations.order import ORDER
from flawscope.data.label_folder import NAMES, SHEET, LabelFolder, LabelPart
from flawscope.data.labelme import LabelMe
from flawscope.data.picture_maps import SUFFIXES
from flawscope.data.segment_maps import MOST_SEGMENTS, pixels_of, read_labels
from flawscope.data.tables import composed, malformed, read_json
from flawscope.errors import DataError, InputError


def read_annotations(place: Path) -> Reading:
    """What is annotated in a file, or in a folder and those below it; what cannot be used is told beside it.

    Raises:
        DataError: nothing there, or nothing that is an annotation.
    """
    files = annotation_files(place)
    found = [_of_json(path) for path in files if path.suffix.lower() == ".json"]
    drawings = [drawing for reading in found for drawing in reading.drawings]
    problems = [error for reading in found for error in reading.problems]
    maps = [path for path in files if path.suffix.lower() in SUFFIXES and path.name != SHEET]
    if not drawings and not problems and maps:
        return _of_maps(place, maps)
    if not drawings and not problems:
        raise DataError(
            f"annotations {place}",
            expected="a COCO file, LabelMe files, or label maps as indexed PNG",
            got="none of them" if place.exists() else "nothing there",
            fix="Correct the path, or draft some: flawscope annotate init.",
        )
    return Reading(drawings, tuple(problems))


def annotation_files(place: Path) -> list[Path]:
    """Files of a place that may be annotations, sorted, without hidden ones; and the order that is stated."""
    if not place.is_dir():
        return [path for path in (place, place.parent / ORDER) if path.is_file()]
    wanted = (".json", *SUFFIXES)
    below = (path for path in place.rglob("*") if path.suffix.lower() in wanted or path == place / ORDER)
    shown = (path for path in below if not any(p.startswith(".") for p in path.relative_to(place).parts))
    return sorted(path for path in shown if path.is_file())


def _of_json(path: Path) -> Reading:
    """The pictures of one JSON file; none where it is something else."""
    try:
        content = read_json(path)
        if is_coco(content):
            return read_coco(path, content)
        if content is None:
            raise malformed(path, 1, "annotations", "null alone")
        if not isinstance(content, dict) or "shapes" not in content:
            return Reading(())
        return Reading([_of_labelme(path, content)])
    except DataError as error:
        return Reading((), (error,))


def _of_labelme(path: Path, content: dict[str, Any]) -> Drawing:
    """A part for each shape, or for all of one group and label."""
    whole = LabelMe.of(path, content)
    groups = defaultdict[tuple[str, int | None, int], list[int]](list)
    for number, shape in enumerate(whole.shapes):
        groups[shape.label, shape.group, number if shape.group is None else 0].append(number)
    parts = tuple(
        ShapesPart(replace(whole, shapes=tuple(whole.shapes[number] for number in numbers)), label)
        for (label, *_), numbers in groups.items()
    )
    problems = tuple(
        malformed(path, "shapes", "shapes that can be drawn", reason) for reason in whole.skipped
    )
    size = (whole.height, whole.width) if whole.height and whole.width else None
    return Drawing(path, path.absolute(), parts, size, problems)


def _of_maps(place: Path, paths: list[Path]) -> Reading:
    """A part for each class that a map shows; maps that a command made and found unreliable are left out."""
    folder = LabelFolder(place if place.is_dir() else place.parent, None)
    try:
        names = _called(folder)
    except DataError as error:
        return Reading((), (error,))
    drawings, problems = list[Drawing](), list[DataError]()
    for path in paths:
        if folder.usable(path):
            try:
                drawings.append(_of_map(path, names))
            except InputError as error:
                problems.append(DataError(error.what, expected=error.expected, got=error.got, fix=error.fix))
    return Reading(drawings, tuple(problems))


def _called(folder: LabelFolder) -> tuple[str, ...] | None:
    """What the classes of label maps are called, as labels are read in every other form."""
    names = folder.names()
    if names is None:
        return None
    called = tuple(composed(name).strip() for name in names)
    if not all(called[1:]):
        raise malformed(folder.folder / NAMES, f"entry {called.index('', 1) + 1}", "a name", "a blank one")
    return called


def _of_map(path: Path, names: tuple[str, ...] | None) -> Drawing:
    labels = read_labels(path)
    called = names or tuple(f"component {index}" for index in range(MOST_SEGMENTS))
    highest = int(labels.max())
    if highest >= len(called):
        got = f"index {highest} in {pixels_of(labels, highest)}"
        raise malformed(path, "pixels", f"indices from 0 to {len(called) - 1}, which {NAMES} names", got)
    shown = [index for index in np.unique(labels).tolist() if index]
    parts = tuple(LabelPart(path, index, called[index]) for index in shown)
    return Drawing(path, path.absolute(), parts, (labels.shape[0], labels.shape[1]))
