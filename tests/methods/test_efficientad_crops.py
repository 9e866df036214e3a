"""Crops of pictures with defects: a network says the same of the cells in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from flawscope.methods.efficientad.crops import Crops
from flawscope.nn.backbones.pdn import cells, pdn, pdn_cells
from flawscope.nn.student_teacher.networks import at_centres, taps

RECTANGLES = (
    [(0, 0, 9, 5)],
    [(61, 90, 9, 6)],  # in the corner, cut off by the border
    [(20, 30, 9, 9), (25, 36, 9, 9)],  # overlapping
    [(3, 40, 30, 4)],  # longer than a crop is for
    [(33, 2, 1, 1), (34, 80, 5, 2), (60, 41, 7, 9)],
)


@pytest.mark.parametrize("size", ["small", "medium"])
@pytest.mark.parametrize("padding", [False, True])
def test_cells_in_defects_are_the_same_in_crops(size: Any, padding: bool) -> None:
    torch.manual_seed(0)
    network = pdn(size, 1, padding=padding)
    places = cells(network)[-2:]
    crops = Crops((66, 97), places[-1], (9, 9))
    for rectangles in RECTANGLES:
        picture, mask = torch.rand(1, 3, 66, 97), torch.zeros(1, 66, 97, dtype=torch.bool)
        for top, left, height, width in rectangles:
            mask[:, top : top + height, left : left + width] = True
        cut = crops(picture[0].numpy(), mask[0].numpy())
        parts, masks = (torch.from_numpy(np.stack(each)) for each in cut)
        assert parts.shape[2:] == masks.shape[1:] == crops.sides
        assert int(masks.sum()) == int(mask.sum())
        with torch.no_grad():
            levels = zip(places, taps(network, picture, 2), taps(network, parts, 2), strict=True)
            for where, whole, part in levels:
                expected, found = (
                    values.movedim(1, 3)[at_centres(marked, where, (values.shape[2], values.shape[3]))][:, 0]
                    for values, marked in ((whole, mask), (part, masks))
                )
                torch.testing.assert_close(found.sort().values, expected.sort().values)


def test_a_crop_is_the_picture_where_that_is_small() -> None:
    crops = Crops((40, 200), pdn_cells("small")[-1], (20, 20))
    assert crops.sides == (40, 56)
    assert crops(np.zeros((3, 40, 200), np.float32), np.zeros((40, 200), np.bool_)) == ([], [])
