"""Annotated parts that no file holds, and shapes of LabelMe files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.data.samples import Sample


@dataclass(frozen=True)
class Quarter:
    """The upper left quarter of a picture, annotated as a screw."""

    name: str = "screw"
    order: int = 0
    ignore: bool = False
    crowd: bool = False

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        area = np.zeros((height, width), np.bool_)
        area[: height // 2, : width // 2] = True
        return area


def annotated(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """The same samples, each with one part."""
    return tuple(replace(sample, parts=(Quarter(),)) for sample in samples)


def polygon(label: str, box: tuple[int, int, int, int], **more: Any) -> dict[str, Any]:
    """A LabelMe shape of the pixels from left and top to right and bottom, these included."""
    left, top, right, bottom = box
    points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"label": label, "points": points, "shape_type": "polygon", "group_id": None, **more}
