"""Mask R-CNN (He et al., ICCV 2017) of torchvision's parts upon a feature pyramid of any backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import LevelMapper

from flawscope.nn.backbones.build import Backbone
from flawscope.nn.run import Run
from flawscope.segmenters.instances.boxes import CANONICAL_LEVEL, RATIOS, anchors, moved, within
from flawscope.segmenters.instances.options import InstancesOptions

STRIDES = (4, 8, 16, 32)
BOX_SIDE, MASK_SIDE = 7, 14  # points a side that a box's features are read at (Mask R-CNN, figure 4)
_MOVED, _STRETCHED = 0.1, 0.25  # most of a box's sides, and of their logarithm
_LOSSES = {
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposals",
    "loss_classifier": "classes",
    "loss_box_reg": "boxes",
    "loss_mask": "masks",
}
Target = Mapping[str, Tensor]


class Anchors(nn.Module):
    """Anchors of a pyramid whose strides are known, for torchvision's region proposals.

    Args:
        strides: pixels per cell, by level.
        cells: cells that an anchor's side has.
    """

    def __init__(self, strides: Sequence[int], cells: int) -> None:
        super().__init__()
        self.strides, self.cells = tuple(strides), cells

    def levels(self, maps: Sequence[Tensor]) -> list[NDArray[np.float32]]:
        """Boxes (h * w * 3, 4) of each of the maps (N, C, h, w)."""
        return [
            anchors((grid.shape[2], grid.shape[3]), stride, self.cells)
            for grid, stride in zip(maps, self.strides, strict=True)
        ]

    def forward(self, images: ImageList, maps: list[Tensor]) -> list[Tensor]:
        """All levels' boxes, once for each picture."""
        boxes = torch.from_numpy(np.concatenate(self.levels(maps))).to(maps[0].device)
        return [boxes] * len(images.image_sizes)


class MaskRCNN(nn.Module):
    """What learns and finds instances; its parts are called as torchvision calls them.

    Args:
        backbone: with maps at strides 4, 8, 16 and 32, the finest first.
        classes: K, beside the ground 0.
        options: widths, anchors and numbers of proposals.
    """

    def __init__(self, backbone: Backbone, classes: int, options: InstancesOptions) -> None:
        super().__init__()
        self.backbone, self.near, width = backbone, options.near, options.width
        channels = [backbone.channels[layer] for layer in backbone.layers]
        self.fpn = FeaturePyramidNetwork(channels, width, LastLevelMaxPool())
        both = {"training": options.candidates, "testing": options.candidates}
        after = {"training": options.proposals, "testing": options.proposals}
        self.rpn = RegionProposalNetwork(
            Anchors((*STRIDES, 2 * STRIDES[-1]), options.anchor),
            RPNHead(width, len(RATIOS)),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n=both,
            post_nms_top_n=after,
            nms_thresh=0.7,
        )
        self.roi_heads = RoIHeads(
            _pool(BOX_SIDE, options.canonical),
            TwoMLPHead(width * BOX_SIDE**2, options.head),
            FastRCNNPredictor(options.head, classes + 1),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=options.sampled,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=0.05,
            nms_thresh=0.5,
            detections_per_img=options.slots,
            mask_roi_pool=_pool(MASK_SIDE, options.canonical),
            mask_head=MaskRCNNHeads(width, (width,) * options.convolutions, 1),
            mask_predictor=MaskRCNNPredictor(width, width, classes + 1),
        )
        # torchvision draws weights that make masks sure of themselves before they have learnt
        nn.init.normal_(self.roi_heads.mask_predictor.mask_fcn_logits.weight, std=1e-3)
        nn.init.zeros_(self.roi_heads.mask_predictor.mask_fcn_logits.bias)

    def pyramid(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Maps (N, width, h, w) at strides 4 to 64, called "0" to "4", of the backbone's maps."""
        ordered = [maps[layer] for layer in self.backbone.layers]
        found = self.fpn({str(level): grid for level, grid in enumerate(ordered)})
        return dict(zip("01234", found.values(), strict=True))

    def losses(self, pixels: Tensor, targets: Sequence[Target], run: Run) -> dict[str, Tensor]:
        """The five losses of Mask R-CNN, by name.

        Args:
            pixels: (n, 3, H, W) in [0, 1].
            targets: of each picture, boxes (m, 4), labels (m,) from 1 on, and masks (m, H, W) uint8.
            run: how numbers are multiplied; boxes stay in float32.
        """
        with run.autocast():
            maps = {name: grid.float() for name, grid in self.pyramid(self.backbone(pixels)).items()}
        sizes = [(pixels.shape[2], pixels.shape[3])] * len(pixels)
        listed = [dict(target) for target in targets]
        proposals, first = self.rpn(ImageList(pixels, sizes), maps, listed)
        for number, target in enumerate(targets):
            around = near(target["boxes"], self.near)
            proposals[number] = torch.cat([proposals[number], within(around, sizes[number], 0.0, 0.0)])
        with run.autocast():
            _, second = self.roi_heads(maps, proposals, sizes, listed)
        return {_LOSSES[name]: value.float() for name, value in {**first, **second}.items()}

    def lower(self, levels: int) -> list[nn.Parameter]:
        """Parameters of the backbone up to the last of its lowest `levels` levels."""
        if not levels:
            return []
        named = list(self.backbone.body.named_parameters())  # in the order of work
        last = f"{self.backbone.layers[levels - 1]}."
        until = max(place for place, (name, _) in enumerate(named) if name.startswith(last))
        return [parameter for _, parameter in named[: until + 1]]


def near(boxes: Tensor, count: int) -> Tensor:
    """So many boxes around each of the boxes (m, 4), moved and stretched at random: (m * count, 4)."""
    drawn = torch.rand(len(boxes) * count, 4, device=boxes.device) * 2 - 1
    spread = torch.tensor([_MOVED, _MOVED, _STRETCHED, _STRETCHED], device=boxes.device)
    return moved(boxes.repeat(count, 1), drawn * spread, (1.0, 1.0))


def _pool(side: int, canonical: int) -> MultiScaleRoIAlign:
    """Reads the four finer levels at their strides, whatever the first picture's size is."""
    pool = MultiScaleRoIAlign(
        ["0", "1", "2", "3"], side, 2, canonical_scale=canonical, canonical_level=CANONICAL_LEVEL
    )
    pool.scales = [1 / stride for stride in STRIDES]
    pool.map_levels = LevelMapper(2, 5, canonical, CANONICAL_LEVEL)
    return pool
