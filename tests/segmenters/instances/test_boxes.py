"""Boxes in fixed shapes, against torchvision's own functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign, box_iou, nms

from flawscope.segmenters.instances.boxes import anchors, cut_out, kept, likeliest, moved, overlap, within
from flawscope.segmenters.instances.network import near


def some_boxes(count: int, seed: int, side: float = 60.0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=random) * side
    return torch.cat([corners, corners + 2 + torch.rand(count, 2, generator=random) * side / 2], 1)


def test_anchors_are_torchvisions() -> None:
    made = AnchorGenerator(((32,), (64,)), ((0.5, 1.0, 2.0),) * 2)
    maps = [torch.zeros(1, 1, 16, 24), torch.zeros(1, 1, 8, 12)]
    expected = made(ImageList(torch.zeros(1, 3, 64, 96), [(64, 96)]), maps)[0]
    found = np.concatenate([anchors((16, 24), 4, 8), anchors((8, 12), 8, 8)])
    np.testing.assert_array_equal(found, expected.numpy())


def test_offsets_move_boxes_as_torchvision_does() -> None:
    boxes, offsets = some_boxes(20, 0), torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    expected = BoxCoder((10.0, 10.0, 5.0, 5.0)).decode_single(offsets, boxes)
    torch.testing.assert_close(moved(boxes, offsets, (10.0, 5.0)), expected)


def test_of_equal_logits_the_first_are_taken() -> None:
    logits = torch.zeros(2, 12288)
    logits[0, 5000], logits[1, 7] = 0.1, -8.0
    assert likeliest(logits, 8).tolist() == [[5000, 0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6, 8]]
    assert likeliest(logits - 8.0, 8).tolist() == likeliest(logits, 8).tolist()


def test_boxes_are_cut_at_the_picture() -> None:
    boxes = torch.tensor([[[-3.0, 2.0, 9.0, 99.0]]])
    assert within(boxes, (10, 8), -0.5, -0.5).tolist() == [[[-0.5, 2.0, 7.5, 9.5]]]
    assert within(boxes, (10, 8), 0.0, 0.0).tolist() == [[[0.0, 2.0, 8.0, 10.0]]]


@pytest.mark.parametrize("seed", range(12))
def test_doubles_are_those_of_torchvision(seed: int) -> None:
    boxes = torch.stack([some_boxes(40, seed), some_boxes(40, seed + 100)])
    scores = torch.linspace(1, 0, 40)
    kinds = torch.randint(3, (2, 40), generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(overlap(boxes)[0], box_iou(boxes[0], boxes[0]))
    found = kept(boxes, 0.3, kinds)
    for row, own, kind in zip(found, boxes, kinds, strict=True):
        expected = [nms(own[kind == one], scores[kind == one], 0.3) for one in range(3)]
        places = [torch.arange(40)[kind == one][keep] for one, keep in enumerate(expected)]
        assert row.nonzero().flatten().tolist() == torch.cat(places).sort().values.tolist()


def test_boxes_near_another_overlap_with_it_and_differ() -> None:
    torch.manual_seed(0)
    boxes = some_boxes(5, 0)
    drawn = near(boxes, 40)
    shared = box_iou(drawn, boxes)[range(200), list(range(5)) * 40]
    assert shared.min() > 0.5
    assert shared.std() > 0.05
    assert (
        drawn[:, 2] - drawn[:, 0] > boxes.repeat(40, 1)[:, 2] - boxes.repeat(40, 1)[:, 0]
    ).float().mean() > 0.3
    assert near(boxes[:0], 3).shape == (0, 4)


def test_a_box_without_extent_doubles_none() -> None:
    boxes = torch.zeros(1, 3, 4)
    assert kept(boxes, 0.5, torch.zeros(3)).all()


def test_features_are_cut_out_as_torchvision_does() -> None:
    random = torch.Generator().manual_seed(0)
    maps = {str(level): torch.randn(2, 5, 64 >> level, 64 >> level, generator=random) for level in range(4)}
    boxes = torch.stack([some_boxes(9, seed, 250.0) for seed in (0, 1)])
    boxes[0, :2] = torch.tensor([[0.0, 0.0, 256.0, 256.0], [3.0, 3.0, 3.0, 3.0]])
    pool = MultiScaleRoIAlign(list("0123"), 7, 2)
    expected = pool(maps, list(boxes), [(256, 256)] * 2)
    torch.testing.assert_close(cut_out(list(maps.values()), boxes, 7, 224), expected)
