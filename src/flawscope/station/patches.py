"""The patch that stands out beside the good patch nearest to it, cut from both pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.bundle import Bundle
from flawscope.runtime.explain.examples import example, tile_size
from flawscope.runtime.explain.nearest_patch import picture_name
from flawscope.runtime.images import to_frame
from flawscope.runtime.overlay import Picture, to_bytes, to_rgb, to_webp_bytes
from flawscope.runtime.record import Inset

MOST = 3  # pairs a picture
_SIDE, _GAP, _AROUND = 144, 8, 3  # pixels of a cut-out, between two of them, and its side in patches
_LINE, _RIM = (255, 255, 255), (20, 20, 20)
_NEEDED = {"patch_side", "patch_top", "patch_left", "nearest_picture", "nearest_top", "nearest_left"}


def match_insets(
    bundle: Bundle, image: NDArray[Any], findings: Iterable[Mapping[str, float]]
) -> tuple[Inset, ...]:
    """Pairs of cut-outs for those findings that tell a patch and its nearest good one.

    Each shows the patch in a box with its surroundings, the inspected picture's at the left. Empty for
    methods that tell none, and where the model folder keeps no good pictures.

    Args:
        bundle: the model, whose folder holds the good pictures.
        image: the inspected picture (H, W, C).
        findings: the values of its findings.

    Raises:
        InputError: a sheet of good pictures is damaged.
    """
    frame = bundle.manifest.frame
    told = [values for values in findings if values.keys() >= _NEEDED][:MOST]
    if not told:
        return ()
    seen = to_bytes(to_frame(to_rgb(image), frame))
    insets = []
    for values in told:
        number = int(values["nearest_picture"])
        good = example(bundle.folder, (frame.height, frame.width), number)
        if good is None:
            continue
        scale = tile_size((frame.height, frame.width))[0] / frame.height
        side, top, left = (values[f"patch_{name}"] for name in ("side", "top", "left"))
        good_top, good_left = scale * values["nearest_top"], scale * values["nearest_left"]
        beside = _cut(to_rgb(good), good_top, good_left, scale * side)
        gap = np.full((_SIDE, _GAP, 3), 128, np.uint8)
        picture = np.concatenate([_cut(seen, top, left, side), gap, beside], 1)
        about = f"patch, and the nearest good one in {picture_name(bundle.manifest, number)}"
        insets.append(Inset(to_webp_bytes(picture), about))
    return tuple(insets)


def _cut(picture: Picture, top: float, left: float, side: float) -> Picture:
    """The patch with its surroundings as (_SIDE, _SIDE, 3), a box around the patch."""
    height, width = picture.shape[:2]
    window = min(round(_AROUND * side), height, width)
    first = min(max(round(top + side / 2 - window / 2), 0), height - window)
    start = min(max(round(left + side / 2 - window / 2), 0), width - window)
    part = np.ascontiguousarray(picture[first : first + window, start : start + window])
    drawn = cv2.resize(part, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    scale = _SIDE / window
    corner = (round((left - start) * scale), round((top - first) * scale))
    opposite = (round((left - start + side) * scale) - 1, round((top - first + side) * scale) - 1)
    for colour, thickness in ((_RIM, 3), (_LINE, 1)):
        cv2.rectangle(drawn, corner, opposite, colour, thickness)
    return np.asarray(drawn, np.uint8)
