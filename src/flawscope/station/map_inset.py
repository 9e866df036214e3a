"""The maps that a heatmap is joined from, side by side (the thesis on EfficientAD, figures 5.3 and 5.4)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain.two_maps import LOCAL, READER, WHOLE, local_weight
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.overlay import Picture, colour_map, heatmap_overlay, thumbnail, to_webp_bytes
from flawscope.runtime.prediction import Prediction
from flawscope.runtime.record import Inset

_SIDE, _GAP, _BAR = 200, 8, 10  # pixels of a map, between two of them, and of the colour scale's width


def map_inset(manifest: Manifest, image: NDArray[Any], prediction: Prediction) -> Inset | None:
    """Local, global and joint map over the picture (H, W, C), at the right their colour scale.

    All three have the scale of the heatmap, since local and global map are scaled alike before they are
    joined. Of a picture in tiles they show the one with the highest score. None where the manifest names
    another reader than that of two maps, or there is no such scale.
    """
    levels, outputs = manifest.heatmap, prediction.outputs
    if levels is None or manifest.explains != READER or not outputs.keys() >= {LOCAL, WHOLE}:
        return None
    look = prediction.looks[0].placement
    left, top, right, bottom = look.window
    weight = local_weight(manifest)
    local, whole = (np.asarray(outputs[name], np.float32) for name in (LOCAL, WHOLE))
    maps = local, whole, np.asarray(weight * local + (1 - weight) * whole, np.float32)
    small = thumbnail(image[top:bottom, left:right], _SIDE, manifest.frame.intensities)
    height, width = small.shape[:2]
    placement = look.alone((height, width))
    drawn = [
        heatmap_overlay(small, placement.back(values), low=levels.low, high=levels.high) for values in maps
    ]
    gap = np.full((height, _GAP, 3), 128, np.uint8)
    parts = [part for each in drawn for part in (each, gap)]
    picture = np.concatenate([*parts, _scale(height)], 1)
    about = "" if look.whole else f"the tile at ({left}, {top}): "
    about += (
        f"local map, global map, and both joined ({weight:.3g} · local + {1 - weight:.3g} · global); "
        f"colours in each from {levels.low:.3g} (weak) to {levels.high:.3g} (strong)"
    )
    return Inset(to_webp_bytes(picture), about)


def _scale(height: int) -> Picture:
    """The overlay's colours as (height, _BAR, 3), strong at the top."""
    column = np.ascontiguousarray(colour_map()[::-1, None])  # (256, 1, 3)
    return np.asarray(cv2.resize(column, (_BAR, height), interpolation=cv2.INTER_AREA), np.uint8)
