"""One picture: inspected, recorded and drawn while its pixels are at hand, so that it is decoded once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from flawscope.errors import FlawscopeError
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.overlay import (
    Picture,
    heatmap_overlay,
    segment_outlines,
    thumbnail,
    to_png_bytes,
    to_webp_bytes,
)
from flawscope.runtime.prediction import Finding, Prediction
from flawscope.runtime.record import Inset, Record, State, Truth, Views
from flawscope.station.patches import match_insets

SIDE = 360  # pixels of a small picture
MOST = 300  # pictures of a report that are shown; memory and disk stay bounded by it

Wish = Callable[[Record], bool]


@dataclass(frozen=True, slots=True)
class Inspected:
    """One picture's record, and what was made of it on the way.

    Attributes:
        record: what is kept, sent and shown.
        prediction: the answer with its arrays; None where the picture could not be inspected.
        views: small pictures for a report, where they were wished for.
        overlay: a PNG file of the picture's own size under its heatmap, likewise; else empty.
    """

    record: Record
    prediction: Prediction | None = None
    views: Views | None = None
    overlay: bytes = b""


def inspect_one(
    inspector: Inspector,
    path: Path,
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
    state, model = file_state(path), inspector.identity
    try:
        image, prediction = inspector.look(path)
    except FlawscopeError as error:
        return Inspected(Record.of(path, error, state=state, model=model, truth=truth))
    bundle = inspector.bundle
    record = Record.of(path, prediction, state=state, model=model, truth=truth)
    small, whole = views(record), overlay(record)
    laid = laid_over(image, bundle.manifest, prediction, boxes=boxes) if small or whole else None
    return Inspected(
        record,
        prediction,
        _views(bundle, image, laid, record.findings) if small else None,
        b"" if laid is None or not whole else to_png_bytes(laid),
    )


def file_state(path: Path) -> State | None:
    """Size in bytes and time of change in ns; None where there is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - asked for a million pictures at once, and a third quicker
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def laid_over(
    pixels: NDArray[Any], manifest: Manifest, prediction: Prediction, *, boxes: bool
) -> Picture | None:
    """The heatmap over its picture (H, W, C) as (H, W, 3) RGB, or None where the method has no heatmap.

    Methods that divide pictures into segments get their outlines too; `boxes` draws the regions.
    """
    scale = manifest.heatmap
    if prediction.heatmap is None or scale is None:
        return None
    picture = heatmap_overlay(
        pixels,
        prediction.heatmap,
        low=scale.low,
        high=scale.high,
        threshold=scale.threshold,
        regions=prediction.regions if boxes else (),
    )
    segments = prediction.segments
    if segments is None:
        return picture
    labels = manifest.frame.placement(*prediction.heatmap.shape).labels_back(segments.labels)
    return segment_outlines(picture, labels, segments.marks)


def _views(bundle: Bundle, image: NDArray[Any], laid: Picture | None, findings: Iterable[Finding]) -> Views:
    small = b"" if laid is None else to_webp_bytes(thumbnail(laid, SIDE))
    insets: tuple[Inset, ...] = ()
    with contextlib.suppress(FlawscopeError):  # a damaged sheet of good pictures; the verdict stands
        insets = match_insets(bundle, image, [finding.values for finding in findings])
    return Views(to_webp_bytes(thumbnail(image, SIDE)), small, insets)
