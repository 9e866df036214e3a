"""Whatever the form of the files, and however the parts lie in each other, the partition is the same."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.annotations.attach import attach
from flawscope.data.annotations.drafts import drafted_shapes
from flawscope.data.annotations.order import ORDER, Component, write_order
from flawscope.data.annotations.partition import classes_of, partition
from flawscope.data.label_folder import LabelFolder
from flawscope.data.layouts import read_dataset

NAMES = ("background", "screw", "nut", "plate")
Map = NDArray[np.uint8]


def runs_of(mask: NDArray[np.bool_]) -> list[int]:
    groups = [(bool(value), len(list(same))) for value, same in groupby(mask.T.ravel().tolist())]
    return ([0] if groups[0][0] else []) + [length for _, length in groups]


def coco(labels: Map, order: Sequence[str]) -> dict[str, Any]:
    """Masks that reach below all that comes before them in the order, as annotators draw nested parts."""
    entries, height, width = list[dict[str, Any]](), *labels.shape
    for name in order:
        number = NAMES.index(name)
        above = np.isin(labels, [NAMES.index(other) for other in order[: order.index(name)]])
        mask = (labels == number) | (above if (labels == number).any() else np.zeros_like(above))
        if mask.any():
            drawn = {"size": [height, width], "counts": runs_of(mask)}
            entries.append({"id": number, "image_id": 1, "category_id": number, "segmentation": drawn})
    return {
        "images": [{"id": 1, "file_name": "0.png", "height": height, "width": width}],
        "annotations": entries,
        "categories": [{"id": number, "name": name} for number, name in enumerate(NAMES)],
    }


def read_back(root: Path, place: Path) -> tuple[Map, tuple[str, ...]]:
    """The partition in numbers of `NAMES`."""
    found = attach(read_dataset(root), place).require()
    names = classes_of(found.samples).names
    numbers = np.array([NAMES.index(name) for name in names], np.uint8)
    return numbers[partition(found.samples[0], names)], names


@settings(max_examples=25)
@given(
    arrays(np.uint8, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.integers(0, 3)).filter(
        lambda labels: bool(labels.any())
    ),
    st.permutations(NAMES[1:]),
)
def test_label_maps_masks_and_polygons_say_the_same(labels: Map, order: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, place = Path(folder, "good"), Path(folder, "annotations")
        root.mkdir()
        Image.fromarray(labels).convert("RGB").save(root / "0.png")
        for form in ("maps", "coco", "labelme"):
            (place / form).mkdir(parents=True)
            write_order(place / form / ORDER, [Component(name) for name in order])
        maps = LabelFolder(place / "maps", root)
        maps.write(read_dataset(root).samples[0], labels, labelled=True)
        maps.write_names(NAMES, made=True)
        (place / "coco" / "coco.json").write_text(json.dumps(coco(labels, order)))
        shapes = drafted_shapes(labels, NAMES, order)
        (place / "labelme" / "0.json").write_text(json.dumps({"shapes": shapes}))
        shown = tuple(name for name in order if NAMES.index(name) in labels)
        for form in ("maps", "coco", "labelme"):
            found, names = read_back(root, place / form)
            np.testing.assert_array_equal(found, labels)
            assert names == ("background", *shown)
