"""From a pyramid of features to instances and labels, with as many slots for every picture: it exports.

What torchvision does with lists of unequal length is done here by ranks, masks and matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from flawscope.segmenters.instances.boxes import cut_out, kept, likeliest, moved, within
from flawscope.segmenters.instances.drawing import drawn
from flawscope.segmenters.instances.network import BOX_SIDE, MASK_SIDE, MaskRCNN
from flawscope.segmenters.instances.options import InstancesOptions

_DOUBLE_PROPOSAL, _DOUBLE = 0.7, 0.5  # intersection over union (torchvision, as Faster R-CNN)
_MOVES = (10.0, 5.0)  # of a box's middle and sides, where its class is known (torchvision)
_SURE = 8.0  # logit of a proposal beyond which more makes no difference
_PER_SLOT = 4  # pairs of proposal and class that are looked at
_AROUND = 0.5  # pixels from a pixel's middle to its border


class Found(NamedTuple):
    """What a picture shows: D slots, the likeliest instance first, empty ones last and 0 throughout.

    Attributes:
        labels: (N, H, W) int64, the partition; 0 where nothing is found.
        classes: (N, D) int64, 0 for an empty slot.
        scores: (N, D) from 0 to 1.
        boxes: (N, D, 4) x0, y0, x1, y1 in pixels; whole numbers are the middles of pixels.
        areas: (N, D) pixels of the instance's mask, whatever lies upon it.
    """

    labels: Tensor
    classes: Tensor
    scores: Tensor
    boxes: Tensor
    areas: Tensor


def find(
    network: MaskRCNN,
    levels: Sequence[Tensor],
    size: tuple[int, int],
    options: InstancesOptions,
    order: Tensor,
) -> Found:
    """Instances in pictures of `size` (H, W), and the partition that they make.

    Args:
        network: in evaluation mode.
        levels: of its pyramid, (N, C, h, w) each.
        size: of the pictures.
        options: thresholds and numbers of boxes.
        order: (K + 1,) int64, classes in the order in which they claim pixels, 0 last.
    """
    proposals = _proposals(network, levels, size, options)
    scores, classes, boxes = _classified(network, levels[:-1], proposals, size, options)
    wide = boxes
    if options.margin:
        half = (boxes[..., 2:] - boxes[..., :2]) * (0.5 * options.margin)
        wide = within(torch.cat([boxes[..., :2] - half, boxes[..., 2:] + half], -1), size, -_AROUND, -_AROUND)
    masks = _masks(network, levels[:-1], wide, classes, options.canonical)
    labels, areas = drawn(masks / options.mask, wide, classes, order, size)
    return Found(labels, classes, scores, boxes, areas)


def _proposals(
    network: MaskRCNN, levels: Sequence[Tensor], size: tuple[int, int], options: InstancesOptions
) -> Tensor:
    """Boxes (N, P, 4) that may hold an instance; doubles come last."""
    likely, offsets = network.rpn.head(list(levels))
    around = network.rpn.anchor_generator.levels(levels)
    scores = [
        score.permute(0, 2, 3, 1).flatten(1).clamp(-_SURE, _SURE) for score in likely
    ]  # (N, h * w * 3) each
    counts = [min(options.candidates, len(boxes)) for boxes in around]
    best, first = [], 0
    for score, count, boxes in zip(scores, counts, around, strict=True):
        best.append(likeliest(score, count) + first)
        first += len(boxes)
    chosen = torch.cat(best, 1)  # (N, M), by level and by falling score
    score = torch.cat(scores, 1).gather(1, chosen)
    moves = torch.cat([move.permute(0, 2, 3, 1).flatten(1) for move in offsets], 1).view(-1, first, 4)
    anchors = torch.from_numpy(np.concatenate(around)).to(score.device)[chosen]  # (N, M, 4)
    proposals = within(moved(anchors, _at(moves, chosen), (1.0, 1.0)), size, 0.0, 0.0)
    kinds = torch.from_numpy(np.repeat(np.arange(len(counts)), counts)).to(score.device)  # (M,)
    score = torch.where(kept(proposals, _DOUBLE_PROPOSAL, kinds), score, score - 4 * _SURE)
    return _at(proposals, likeliest(score, min(options.proposals, sum(counts))))


def _classified(
    network: MaskRCNN,
    levels: Sequence[Tensor],
    proposals: Tensor,
    size: tuple[int, int],
    options: InstancesOptions,
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (N, D), classes (N, D) and boxes (N, D, 4) of the slots."""
    heads = network.roi_heads
    logits, offsets = heads.box_predictor(
        heads.box_head(cut_out(levels, proposals, BOX_SIDE, options.canonical))
    )
    classes = logits.shape[1] - 1
    pairs = proposals.shape[1] * classes
    scores = torch.softmax(logits, 1)[:, 1:].reshape(-1, pairs)  # (N, P * K)
    moves = offsets[:, 4:].reshape(-1, pairs, 4)  # (N, P * K, 4)
    slots = min(options.slots, pairs)
    best, places = scores.topk(min(_PER_SLOT * slots, pairs), 1)  # (N, M)
    owners = torch.div(places, classes, rounding_mode="floor")
    kinds = places - owners * classes + 1  # (N, M)
    boxes = moved(_at(proposals, owners), _at(moves, places), _MOVES)
    boxes = within(boxes, size, -_AROUND, -_AROUND)
    sides = boxes[..., 2:] - boxes[..., :2]
    counts = kept(boxes, _DOUBLE, kinds) & (best > options.score) & (sides.amin(2) >= 1)
    best, order = torch.where(counts, best, 0.0).topk(slots, 1)  # (N, D)
    filled = best > 0
    kinds = torch.where(filled, kinds.gather(1, order), 0)
    return best, kinds, torch.where(filled.unsqueeze(2), _at(boxes, order), 0.0)


def _masks(
    network: MaskRCNN, levels: Sequence[Tensor], boxes: Tensor, classes: Tensor, canonical: int
) -> Tensor:
    """Probabilities (N, D, s, s) of the class's mask within each box."""
    heads = network.roi_heads
    read = cut_out(levels, boxes, MASK_SIDE, canonical)
    logits = heads.mask_predictor(heads.mask_head(read))  # (N * D, K + 1, s, s)
    side = logits.shape[2]
    own = classes.reshape(-1, 1, 1, 1).expand(-1, 1, side, side)
    return torch.sigmoid(logits.gather(1, own)).view(-1, boxes.shape[1], side, side)


def _at(rows: Tensor, places: Tensor) -> Tensor:
    """Rows (N, R, 4) at places (N, M): (N, M, 4)."""
    return rows.gather(1, places.unsqueeze(2).expand(-1, -1, 4))
