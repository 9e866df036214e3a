"""Rotation-invariant features of components (section 3.1 and A.4 of the CSAD paper)."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.backbones.folding import folded
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.run import Run
from flawscope.segmenters.pseudo_labels.options import FeatureOptions

Rows = NDArray[np.float32]
Picture = NDArray[np.uint8]

SIDE = 64  # pixels of a crop, and of the diagonal of the component in it
_BATCH = 32
_STRIDE = 32  # of the deepest stage
_LAB = 10.0  # units of L*a*b* that count as one


class ComponentFeatures:
    """Describes components by a frozen network's deepest map of their crops, averaged over turns and places.

    Args:
        options: see there.
        run: its device computes.

    Raises:
        OptionError: unknown network or layer.
        WeightsError: pretrained weights are not to be had.
    """

    def __init__(self, options: FeatureOptions, run: Run) -> None:
        self.options, self.device = options, run.torch_device()
        self.backbone = folded(_network(options)).to(self.device)
        (self.layer,) = self.backbone.layers
        turns = torch.arange(options.rotations) * (2 * math.pi / options.rotations)
        cos, sin = turns.cos(), turns.sin()
        matrices = torch.stack([cos, -sin, 0 * cos, sin, cos, 0 * cos], 1).view(-1, 2, 3)  # (R, 2, 3)
        self.grids = F.affine_grid(matrices, [options.rotations, 3, SIDE, SIDE], align_corners=False).to(
            self.device
        )  # (R, 64, 64, 2)

    def __call__(self, picture: Picture, masks: NDArray[np.bool_]) -> Rows:
        """Features (M, C + 4): the network's, log2 of the share of the picture's area, mean L*a*b* in tens.

        Args:
            picture: (H, W, 3) RGB.
            masks: (M, H, W), none without pixels.
        """
        around = ground_colour(picture, masks) if self.options.outside == "ground" else np.zeros(3, np.uint8)
        crops, centres = zip(*(crop(picture, mask, around) for mask in masks), strict=True)
        deep = self._deep(np.stack(crops), np.array(centres, np.float32), around)
        return np.hstack([deep, size_and_colour(picture, masks)])

    @torch.inference_mode()
    def _deep(self, crops: NDArray[np.uint8], centres: Rows, around: NDArray[np.uint8]) -> Rows:
        """The network's part (M, C) of crops (M, 64, 64, 3), turned round their centres (M, 2)."""
        ground = torch.from_numpy(around / np.float32(255)).view(3, 1, 1).to(self.device)
        upright = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2) / 255 - ground  # (M, 3, 64, 64)
        shifts = torch.from_numpy(centres / (SIDE / 2) - 1).view(-1, 1, 1, 2).to(self.device)  # (M, 1, 1, 2)
        count = len(self.grids)
        total = torch.zeros(len(crops), self.backbone.channels[self.layer], device=self.device)
        for some in torch.split(torch.arange(len(crops) * count, device=self.device), _BATCH):
            component, turn = some // count, some % count
            places = self.grids[turn] + shifts[component]  # (n, 64, 64, 2)
            turned = F.grid_sample(upright[component], places, align_corners=False) + ground
            turned = turned.contiguous(memory_format=torch.channels_last)
            vectors = self.backbone(turned)[self.layer].mean((2, 3))  # (n, C, h, w) -> (n, C)
            total.index_add_(0, component, vectors)
        return np.asarray((total / count).cpu().numpy(), np.float32)


def crop(
    picture: Picture, mask: NDArray[np.bool_], around: NDArray[np.uint8]
) -> tuple[Picture, tuple[float, float]]:
    """A component alone, (64, 64, 3), its minimum bounding rectangle 64 pixels across, and its centre x, y.

    The rectangle lies in the middle, but for the fraction of a pixel that the centre tells.

    Args:
        picture: (H, W, 3).
        mask: (H, W) with at least one pixel.
        around: (3,) colour of all that is not in the mask.
    """
    points = cv2.findNonZero(mask.astype(np.uint8))
    (x, y), (across, down), _ = cv2.minAreaRect(points)
    left, top, width, height = cv2.boundingRect(points)
    scale = SIDE / math.hypot(across + 1, down + 1)  # pixels reach half a pixel beyond their centres
    box = (slice(top, top + height), slice(left, left + width))
    alone = np.where(mask[box][..., None], picture[box], around)
    size = tuple(min(max(round(side * scale), 1), SIDE) for side in (width, height))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(alone, size, interpolation=way), np.uint8)
    canvas = np.broadcast_to(around, (SIDE, SIDE, 3)).copy()
    inner = ((x - left + 0.5) * size[0] / width, (y - top + 0.5) * size[1] / height)  # the centre in `small`
    column, row = (
        min(max(round(SIDE / 2 - middle), 0), SIDE - length)
        for middle, length in zip(inner, size, strict=True)
    )
    canvas[row : row + size[1], column : column + size[0]] = small
    return canvas, (column + inner[0], row + inner[1])


def size_and_colour(picture: Picture, masks: NDArray[np.bool_]) -> Rows:
    """log2 of the share of the picture that each mask takes, and its mean L*a*b* in tens: (M, 4)."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    shares = masks.mean((1, 2))
    means = np.stack([lab[mask].mean(0) for mask in masks])  # (M, 3)
    return np.column_stack([np.log2(shares), means / _LAB]).astype(np.float32)


def weighted(rows: Rows, options: FeatureOptions) -> NDArray[np.float64]:
    """Features (n, C + 4) with size and colour by their weights; (n, C) where both are 0.

    The spread of the network's part, the root of its mean squared distance to the mean, is the unit.
    """
    deep = rows[:, :-4].astype(np.float64)
    if options.size == options.colour == 0:
        return deep
    spread = math.sqrt(deep.var(0).sum())
    weights = np.array([options.size, *3 * [options.colour]])
    kept = weights > 0
    return np.hstack([deep, rows[:, -4:][:, kept] * weights[kept] * spread])


def ground_colour(picture: Picture, masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Mean colour (3,) of what no mask covers; of the whole picture where they cover all."""
    bare = ~masks.any(0)
    return np.asarray((picture[bare] if bare.any() else picture.reshape(-1, 3)).mean(0).round(), np.uint8)


def _network(options: FeatureOptions) -> Backbone:
    layers = None if options.layer is None else (options.layer,)
    backbone = build_backbone(options.backbone, layers, strides=(_STRIDE,), size=(SIDE, SIDE))
    if options.weights == "pretrained":
        load_pretrained(backbone)
    return backbone
