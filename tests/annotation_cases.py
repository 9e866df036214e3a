"""A screw upon a plate, annotated in every form."""

from __future__ import annotations

from typing import Any

import numpy as np

from annotated import polygon
from flawscope.data.annotations.attach import Annotated
from flawscope.data.annotations.partition import classes_of, partition
from flawscope.data.samples import Sample

SCREW, PLATE = polygon("screw", (4, 4, 7, 7)), polygon("plate", (2, 2, 21, 13))


def of(annotated: Annotated, name: str) -> Sample:
    """The picture whose path ends so."""
    (found,) = [one for one in annotated.dataset if one.path.as_posix().endswith(name)]
    return found


def labels_of(annotated: Annotated, name: str = "train/good/000.png") -> Any:
    return partition(of(annotated, name), classes_of(annotated.samples).names)


def expected_nested() -> Any:
    labels = np.zeros((16, 24), np.uint8)
    labels[2:14, 2:22], labels[4:8, 4:8] = 2, 1
    return labels


def coco(**changes: Any) -> dict[str, Any]:
    """The plate as a polygon, and the screw upon it as a mask; COCO's right and bottom edges lie outside."""
    image = {"id": 7, "file_name": "train/good/000.png", "height": 16, "width": 24}
    plate = {"id": 1, "image_id": 7, "category_id": 3, "segmentation": [[2, 2, 22, 2, 22, 14, 2, 14]]}
    runs = [4 * 16 + 4, 4, 12, 4, 12, 4, 12, 4, 16 * 16 + 8]
    screw = {"id": 2, "image_id": 7, "category_id": 5, "segmentation": {"size": [16, 24], "counts": runs}}
    kinds = [{"id": 3, "name": "plate"}, {"id": 5, "name": "screw"}]
    return {"images": [image], "annotations": [plate, screw], "categories": kinds, **changes}
