"""Mask scores, RFM and places of masks equal cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flawscope.errors import OptionError
from flawscope.methods.sadsem.masks import MaskBank, MaskOptions, SmallMasks, uncut

SIZE = (8, 8)


def block(top: int, left: int, height: int = 4, width: int = 4) -> Tensor:
    """A rectangle in a mask of 8×8, (1, 1, 8, 8)."""
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., top : top + height, left : left + width] = 1
    return mask


def bank(*masks: Tensor, **options: object) -> MaskBank:
    """A bank of 4×4 cells that has stored these masks."""
    made = MaskBank(masks[0].shape[1], SIZE, MaskOptions.model_validate({"side": 4, **options}))
    made.learn([made.small(mask)[0] for mask in masks])
    return made


def test_a_cell_holds_the_share_that_the_mask_covers() -> None:
    small, _, _ = SmallMasks(SIZE, MaskOptions(side=4))(block(1, 2, 3, 4))
    assert small[0, 0].tolist() == [[0, 0.5, 0.5, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_sides_that_do_not_divide_keep_the_area() -> None:
    small, _, _ = SmallMasks(SIZE, MaskOptions(side=3))(block(0, 0, 8, 3))
    assert small.sum().item() * (8 / 3) ** 2 == pytest.approx(24, rel=1e-5)
    assert small[0, 0, 0].tolist() == pytest.approx([1, 1 / 8, 0], abs=1e-6)  # 3 of 8 pixels in cells of 2.67


def test_rfm_is_the_distance_to_the_nearest_other_mask() -> None:
    # cells covered: 4, the same 4 but for a half, and 4 others
    stored = bank(block(0, 0), block(0, 0, 4, 3), block(4, 4))
    assert stored.rescaling[:, 0].tolist() == [1.0, 1.0, 7.0]
    assert bank(block(0, 0)).rescaling.tolist() == [[0.0]]  # a single example


def test_the_score_of_a_mask() -> None:
    stored = bank(block(0, 0), block(0, 0, 4, 3))
    # the block moved by a cell to the right: nearest is the whole block, 4 cells apart, whose RFM is 1
    raw = stored.raw(stored.small(block(0, 2))[0])[0, 0]
    assert raw.tolist() == [[3, 0, 3, 0], [3, 0, 3, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    # within the RFM nothing is told: half a cell apart twice, 0.5 · 1 − 1 < 0
    raw = stored.raw(stored.small(block(0, 0, 3, 4))[0])
    assert raw.amax() == 0


def test_an_absent_mask_scores_where_the_nearest_good_one_lies() -> None:
    stored = bank(block(0, 0), block(4, 4))
    peaks, heat = stored(torch.zeros(1, 1, *SIZE))
    # either is 4 cells away; RFM 8: 1 · 4 − 8 < 0, for good pictures differ as much
    assert peaks.item() == 0
    stored = bank(block(0, 0))
    peaks, heat = stored(torch.zeros(1, 1, *SIZE))
    assert peaks.item() == 4
    assert heat[0, :4, :4].min() == 4
    assert heat[0, 4:].max() == heat[0, :, 4:].max() == 0


def test_the_largest_score_of_tuning_pictures_becomes_1() -> None:
    stored = bank(block(0, 0), least=2.0)
    stored.scale(torch.tensor([[3.0], [5.0]]))
    assert stored.top.tolist() == [5.0]
    stored.scale(torch.tensor([[0.5]]))
    assert stored.top.tolist() == [2.0]
    bare = bank(block(0, 0))
    bare.scale(torch.zeros(2, 1))
    assert bare.top.tolist() == [1.0]


def test_stored_masks_may_tell_what_is_usual_too() -> None:
    # the outer two are 4 cells from the one in the middle, whose RFM is 4: 1 · 4 − 4; it is 8 from none
    masks = block(0, 0), block(0, 2), block(4, 2)
    stored = bank(*masks, left_out=True)
    assert stored.rescaling[:, 0].tolist() == [4, 4, 8]
    stored.scale(torch.zeros(1, 1))
    assert stored.top.tolist() == [4.0]  # the last one: 1 · 8 − 4
    alone = bank(block(0, 0), left_out=True)
    alone.scale(torch.full((1, 1), 0.5))
    assert alone.top.tolist() == [0.5]


def test_centred_masks_may_lie_anywhere() -> None:
    stored = bank(block(0, 0), placed="centred")
    peaks, _ = stored(block(3, 4))
    assert peaks.item() == pytest.approx(0, abs=1e-5)
    # a missing quarter is found where it is missing, at its place in the picture
    broken = block(4, 4)
    broken[..., 4:6, 4:6] = 0
    peaks, heat = stored(broken)
    row, column = divmod(int(heat[0].argmax()), 8)
    assert peaks.item() > 0.5
    assert 3 <= row <= 5
    assert 3 <= column <= 5
    assert stored(torch.zeros(1, 1, *SIZE))[0].item() == pytest.approx(4)


def test_each_component_has_masks_of_its_own() -> None:
    both = torch.cat([block(0, 0), block(4, 4)], 1)
    stored = bank(both)
    peaks, heat = stored(torch.cat([both, both.flip(1)]))
    assert peaks.tolist() == [[0, 0], [8, 8]]
    assert heat.shape == (2, *SIZE)
    assert heat[1, :4, :4].min() == 8


def test_only_so_many_masks_are_stored() -> None:
    assert len(bank(*[block(0, 0)] * 5, most=2).stored) == 2


def test_masks_larger_than_the_picture_are_refused() -> None:
    with pytest.raises(OptionError, match=r"'masks\.side' of sadsem: expected at most the shorter side"):
        SmallMasks((8, 6), MaskOptions(side=8))


def test_a_mask_that_the_border_cuts_counts_as_absent() -> None:
    masks = torch.zeros(1, 3, 6, 8)
    masks[0, 0, 1:5, 1:7] = 1
    masks[0, 1, 0:3, 2:4] = 1
    masks[0, 2, 2:4, 7] = 1
    kept = uncut(masks)
    assert torch.equal(kept[0, 0], masks[0, 0])
    assert not kept[0, 1:].any()
