"""Masks become a partition in the stated order, at the pixels where they were."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from flawscope.segmenters.instances.annotations import target
from flawscope.segmenters.instances.drawing import drawn


def test_the_first_class_in_order_has_a_pixel_that_several_claim() -> None:
    boxes = torch.tensor([[[-0.5, -0.5, 5.5, 5.5], [1.5, 1.5, 3.5, 9.5], [0.0, 0.0, 0.0, 0.0]]])
    classes, masks = torch.tensor([[1, 2, 0]]), torch.full((1, 3, 4, 4), 2.0)
    labels, areas = drawn(masks, boxes, classes, torch.tensor([2, 1, 0]), (10, 8))
    expected = np.zeros((10, 8), np.int64)
    expected[:6, :6] = 1
    expected[2:10, 2:4] = 2
    np.testing.assert_array_equal(labels[0].numpy(), expected)
    assert areas.tolist() == [[36.0, 16.0, 0.0]]
    labels, areas = drawn(masks, boxes, classes, torch.tensor([1, 2, 0]), (10, 8))
    expected[:6, :6] = 1
    np.testing.assert_array_equal(labels[0].numpy(), expected)
    assert areas.tolist() == [[36.0, 16.0, 0.0]]


def test_no_instance_leaves_the_ground() -> None:
    nothing = torch.zeros(2, 20, 4)
    labels, areas = drawn(
        torch.ones(2, 20, 4, 4), nothing, nothing[..., 0].long(), torch.tensor([1, 0]), (5, 6)
    )
    assert not labels.any()
    assert labels.shape == (2, 5, 6)
    assert not areas.any()


@given(st.integers(0, 10_000), st.integers(1, 20))
def test_each_pixel_has_the_lowest_rank_that_claims_it(seed: int, slots: int) -> None:
    random = torch.Generator().manual_seed(seed)
    corners = torch.rand(1, slots, 2, generator=random) * 12
    boxes = torch.cat([corners, corners + 1 + torch.rand(1, slots, 2, generator=random) * 12], 2)
    masks = torch.rand(1, slots, 4, 4, generator=random) * 2
    classes = torch.randint(4, (1, slots), generator=random)
    order = torch.cat([torch.randperm(3, generator=random) + 1, torch.zeros(1, dtype=torch.int64)])
    labels, areas = drawn(masks, boxes, classes, order, (16, 18))
    expected = torch.zeros(16, 18, dtype=torch.int64)
    for label in order.flip(0).tolist():
        for slot in (classes[0] == label).nonzero().flatten().tolist() if label else ():
            alone, area = drawn(
                masks[:, slot, None], boxes[:, slot, None], classes[:, slot, None], order, (16, 18)
            )
            expected[alone[0] == label] = label
            assert area[0, 0] == (alone > 0).sum() == areas[0, slot]
    assert torch.equal(labels[0], expected)


def test_what_a_mask_is_learnt_from_is_where_it_is_drawn() -> None:
    y, x = np.mgrid[:40, :48]
    shape = ((x - 20) / 13) ** 2 + ((y - 17) / 9) ** 2 < 1
    wanted = target(shape.astype(np.int32), np.array([0, 1]), 1)
    boxes = wanted["boxes"]
    masks = project_masks_on_boxes(wanted["masks"].float(), boxes, torch.zeros(1), 28)
    labels, areas = drawn(
        masks[None] / 0.5, boxes[None], torch.ones(1, 1).long(), torch.tensor([1, 0]), (40, 48)
    )
    found = labels[0].numpy() == 1
    assert (found & shape).sum() / (found | shape).sum() > 0.97
    assert areas.item() == found.sum()
    np.testing.assert_allclose(np.argwhere(found).mean(0), np.argwhere(shape).mean(0), atol=0.1)
