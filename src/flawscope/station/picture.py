"""One picture: inspected, recorded and drawn while its pixels are at hand, so that it is decoded once.

One that was decoded at a part of its size is decoded in full where it is drawn.

Where findings tell a patch that stands out, it is cut out beside the good patch nearest to it. Where the
heatmap is joined from a local and a global map, a flagged picture shows the three side by side.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.errors import FlawscopeError
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.conditions import conditions
from flawscope.runtime.endings import zeros_at_end
from flawscope.runtime.explain.examples import example, tile_size
from flawscope.runtime.explain.nearest_patch import picture_name
from flawscope.runtime.images import decode, to_frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.overlay import (
    Picture,
    draw_box,
    heatmap_overlay,
    reduced,
    segment_outlines,
    thumbnail,
    to_bytes,
    to_png_bytes,
    to_rgb,
    to_webp_bytes,
)
from flawscope.runtime.picture_file import PictureFile
from flawscope.runtime.placement import Placement
from flawscope.runtime.prediction import Finding, Prediction, Region
from flawscope.runtime.record import Inset, Record, Truth, Views
from flawscope.runtime.reduction import Decoded
from flawscope.station.map_inset import map_inset
from flawscope.station.states import file_state

SIDE = 360  # pixels of a small picture
DRAWN = 8_000_000  # pixels of an overlay: more cost a second for each ten million, and no screen shows them
MOST = 300  # pictures of a report that are shown; memory and disk stay bounded by it
MOST_INSETS = 3  # pairs of cut-outs a picture
LARGE = "tiles"  # the value that findings of pictures have which are larger than what calibrated
_INSET, _GAP, _AROUND = 144, 8, 3  # pixels of a cut-out, between two of them, and its side in patches
_NEEDED = {"patch_side", "patch_top", "patch_left", "nearest_picture", "nearest_top", "nearest_left"}

Wish = Callable[[Record], bool]


@dataclass(frozen=True, slots=True)
class Inspected:
    """One picture's record, and what was made of it on the way.

    Attributes:
        record: what is kept, sent and shown.
        prediction: the answer with its arrays; None where the picture could not be inspected.
        views: small pictures for a report, where they were wished for.
        overlay: a PNG file of the picture under its heatmap, likewise; else empty. It has the picture's own
            size up to 8 megapixels, and is reduced to that beyond.
        passing: whether the system could not read the file, for a reason that may pass.
    """

    record: Record
    prediction: Prediction | None = None
    views: Views | None = None
    overlay: bytes = b""
    passing: bool = False


def inspect_one(
    inspector: Inspector,
    path: Path | str,
    *,
    truth: Truth | None = None,
    views: Wish = lambda record: False,
    overlay: Wish = lambda record: False,
    boxes: bool = True,
) -> Inspected:
    """Inspect one picture; whatever is wrong with it becomes the record's error.

    It keeps nothing and writes nothing, and may run in many threads or processes at once. `views` and
    `overlay` say from the record whether to draw; `boxes` draws the regions of the heatmap too.
    """
    path = Path(path)
    with inspector.turn(path):
        return _inspected(inspector, path, truth, views, overlay, boxes=boxes)


def _inspected(
    inspector: Inspector, path: Path, truth: Truth | None, views: Wish, overlay: Wish, *, boxes: bool
) -> Inspected:
    file = PictureFile(path)
    of = functools.partial(Record.of, path, state=file_state(path), model=inspector.identity, truth=truth)
    try:
        seen, prediction = inspector.look(file)
        told = (*_unwritten(path), *_large(inspector.bundle.manifest, seen))
        prediction = replace(prediction, findings=(*told, *prediction.findings))
    except FlawscopeError as error:
        cause = error.__cause__
        passing = isinstance(cause, OSError) and cause.errno is not None  # a decoder's own has no number
        return Inspected(of(error, picture=file.sha256), passing=passing)
    bundle = inspector.bundle
    known = bundle.manifest.conditions
    found = conditions(seen, bundle.manifest.frame) if known else {}
    shared = {name: value for name, value in found.items() if name in known}
    record = of(prediction, picture=file.sha256, conditions=shared)
    small, whole = views(record), overlay(record)
    image = _in_full(seen, file) if small or whole else None
    if image is None:
        return Inspected(record, prediction)
    laid = laid_over(image, bundle.manifest, prediction, boxes=boxes)
    return Inspected(
        record,
        prediction,
        _views(bundle, image, laid, record, prediction) if small else None,
        b"" if laid is None or not whole else to_png_bytes(laid),
    )


def _in_full(seen: Decoded, file: PictureFile) -> NDArray[Any] | None:
    """The picture's own pixels (H, W, C); None where the file cannot be read any more, or is another now."""
    if seen.full:
        return seen.pixels
    again = PictureFile(file.path)
    with contextlib.suppress(FlawscopeError):
        pixels = decode(again, None).pixels
        return pixels if again.sha256 == file.sha256 else None
    return None


def _unwritten(path: Path) -> Iterator[Finding]:
    with contextlib.suppress(OSError):  # it may be gone by now
        if share := zeros_at_end(path):
            text = f"The last {share:.0%} of the file are zeros: black there, or never written to its end."
            yield Finding(text, {"zeros_at_end": share})


def _large(manifest: Manifest, image: Decoded) -> Iterator[Finding]:
    """A picture scores what its highest tile scores, so the promise holds for those with no more tiles."""
    tiling, most = manifest.tiling, manifest.calibrated_tiles
    if tiling is None or most is None:
        return
    count = len(tiling.grid(*image.size))
    if count > most:
        text = (
            f"The picture has {count} tiles, those that calibrated the model up to {most}: with more of them "
            "a good part is rejected more often. Calibrate on good pictures of this size."
        )
        yield Finding(text, {LARGE: float(count), "tiles_calibrated": float(most)})


def laid_over(
    pixels: NDArray[Any], manifest: Manifest, prediction: Prediction, *, boxes: bool
) -> Picture | None:
    """The heatmap over its picture (H, W, C) as RGB, or None where the method has no heatmap.

    It is (H, W, 3), reduced in proportion where that is more than 8 megapixels. Methods that divide pictures
    into segments get their outlines too; `boxes` draws the regions.
    """
    levels, heatmap = manifest.heatmap, prediction.heatmap
    if heatmap is None or levels is None:
        return None
    scale = min(1.0, math.sqrt(DRAWN / heatmap.size), DRAWN / max(heatmap.shape))
    shown = reduced(pixels, scale, manifest.frame.intensities)
    height, width = shown.shape[:2]
    if heatmap.shape != (height, width):
        heatmap = np.asarray(cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    regions = prediction.regions if boxes else ()
    picture = heatmap_overlay(
        shown,
        heatmap,
        low=levels.low,
        high=levels.high,
        threshold=levels.threshold,
        regions=regions if scale == 1.0 else [_scaled(region, scale) for region in regions],
    )
    segments = prediction.segments
    if segments is None or manifest.tiling is not None:
        return picture
    labels = manifest.frame.placement(height, width).labels_back(segments.labels)
    told = [
        (int(finding.values[name]), _scaled(finding.region, scale).box if finding.region else None)
        for finding in prediction.findings
        for name in segments.values
        if name in finding.values
    ]
    avoided = [_scaled(region, scale).box for region in prediction.regions]
    return segment_outlines(picture, labels, segments.marks, told=told, avoided=avoided)


def _scaled(region: Region, scale: float) -> Region:
    """The region in a picture drawn at that scale, its box rounded outward."""
    left, top, right, bottom = region.box
    low, high = (math.floor(scale * left), math.floor(scale * top)), (scale * right, scale * bottom)
    return replace(region, box=(*low, math.ceil(high[0]), math.ceil(high[1])))


def _views(
    bundle: Bundle, image: NDArray[Any], laid: Picture | None, record: Record, prediction: Prediction
) -> Views:
    small_picture = thumbnail(image, SIDE, bundle.manifest.frame.intensities)
    small = b"" if laid is None else to_webp_bytes(thumbnail(laid, SIDE))
    insets: tuple[Inset, ...] = ()
    with contextlib.suppress(FlawscopeError):  # a damaged sheet of good pictures; the verdict stands
        insets = match_insets(bundle, image, [finding.values for finding in record.findings])
    if record.flagged and (maps := map_inset(bundle.manifest, image, prediction)):
        insets = (maps, *insets)
    return Views(to_webp_bytes(small_picture), small, insets)


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
    told = [values for values in findings if values.keys() >= _NEEDED][:MOST_INSETS]
    if not told:
        return ()
    shown = image if image.dtype == np.uint8 else to_rgb(image, frame.intensities)
    insets = []
    for values in told:
        seen = to_bytes(
            to_frame(shown, replace(frame, intensities=None), placement=_tile(bundle, image, values))
        )
        number = int(values["nearest_picture"])
        good = example(bundle.folder, (frame.height, frame.width), number, bundle.manifest.files)
        if good is None:
            continue
        scale = tile_size((frame.height, frame.width))[0] / frame.height
        side, top, left = (values[f"patch_{name}"] for name in ("side", "top", "left"))
        good_top, good_left = scale * values["nearest_top"], scale * values["nearest_left"]
        beside = _cut(to_rgb(good), good_top, good_left, scale * side)
        gap = np.full((_INSET, _GAP, 3), 128, np.uint8)
        picture = np.concatenate([_cut(seen, top, left, side), gap, beside], 1)
        about = f"patch, and the nearest good one in {picture_name(bundle.manifest, number)}"
        insets.append(Inset(to_webp_bytes(picture), about))
    return tuple(insets)


def _tile(bundle: Bundle, image: NDArray[Any], values: Mapping[str, float]) -> Placement | None:
    """Where the picture lies in the tile that a finding tells of; None for a picture that is seen whole."""
    tiling = bundle.manifest.tiling
    if tiling is None or not values.keys() >= {"tile_top", "tile_left"}:
        return None
    height, width = image.shape[:2]
    corner = -round(values["tile_top"]), -round(values["tile_left"])
    return Placement(tiling.size, (height, width), corner, tiling.working(height, width))


def _cut(picture: Picture, top: float, left: float, side: float) -> Picture:
    """The patch with its surroundings as (_INSET, _INSET, 3), a box around the patch."""
    height, width = picture.shape[:2]
    window = min(round(_AROUND * side), height, width)
    first = min(max(round(top + side / 2 - window / 2), 0), height - window)
    start = min(max(round(left + side / 2 - window / 2), 0), width - window)
    part = np.ascontiguousarray(picture[first : first + window, start : start + window])
    drawn = np.asarray(cv2.resize(part, (_INSET, _INSET), interpolation=cv2.INTER_CUBIC), np.uint8)
    scale = _INSET / window
    corner = (round((left - start) * scale), round((top - first) * scale))
    opposite = (round((left - start + side) * scale) - 1, round((top - first + side) * scale) - 1)
    draw_box(drawn, corner, opposite, 1)
    return drawn
