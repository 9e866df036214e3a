"""Inspect many pictures with a trained model: results, overlays, counts. No torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import FlawscopeError, InputError, Stopped
from flawscope.progress import Progress, Silent
from flawscope.runtime.images import labels_from_frame, read_image
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.overlay import Picture, heatmap_overlay, segment_outlines, write_png
from flawscope.runtime.prediction import Decision, Prediction
from flawscope.station.results import OVERLAYS as OVERLAY_FOLDER
from flawscope.station.results import Results, record

Overlays = Literal["flagged", "all", "none"]
OVERLAYS: tuple[Overlays, ...] = ("flagged", "all", "none")


@dataclass(slots=True)
class Summary:
    """How an inspection went: pictures by verdict, skipped because already done, and unreadable."""

    accept: int = 0
    review: int = 0
    reject: int = 0
    failed: int = 0
    skipped: int = 0
    worst: list[tuple[float, str, str]] = field(default_factory=list)

    def add(self, path: Path, answer: Prediction | FlawscopeError) -> None:
        """Count one answer."""
        if isinstance(answer, FlawscopeError):
            self.failed += 1
            return
        setattr(self, answer.decision.value, getattr(self, answer.decision.value) + 1)
        self.worst = sorted([*self.worst, (answer.score, str(path), answer.decision.value)], reverse=True)[
            :10
        ]


def model_identity(inspector: Inspector) -> str:
    """A digest of graph, scalars and calibration: the same digest means the same verdicts."""
    manifest = inspector.bundle.manifest
    files = "".join(f"{name}:{entry.sha256}" for name, entry in sorted(manifest.files.items()))
    knobs = "".join(f"{name}={value}" for name, value in manifest.scalar_values().items())
    text = manifest.calibration.model_dump_json() + files + knobs
    return hashlib.sha256(text.encode()).hexdigest()


def inspect_pictures(
    inspector: Inspector,
    paths: Iterable[Path],
    *,
    out: Path | None = None,
    overlays: Overlays = "flagged",
    batch: int = 8,
    fresh: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
    emit: Callable[[dict[str, Any]], None] = lambda line: None,
) -> Summary:
    """Inspect `paths`; with `out`, write results.jsonl, results.csv and overlays there, and resume.

    With `batch` 1 each picture is answered before the next is asked for, as a watched folder needs it.
    A picture that cannot be read is recorded with its error and counted; it never ends the run.

    Raises:
        OutputError: `out` cannot be written, or holds results of another model.
        Stopped: `stopped()` became true; what is done is kept.
    """
    results = Results(out, model=model_identity(inspector), fresh=fresh) if out is not None else None
    summary = Summary()
    waiting = _waiting(paths, results, summary)
    total = len(paths) - summary.skipped if isinstance(paths, list) else 0
    try:
        with (progress or Silent()).stage("inspecting", total) as stage:
            for path, answer in inspector.inspect_many(waiting, batch=batch):
                line = record(path, answer)
                if isinstance(answer, Prediction):
                    line |= _moved(answer)
                summary.add(path, answer)
                if results is not None:
                    results.append(path, line)
                    if isinstance(answer, Prediction):
                        _write_overlay(results.folder, inspector, path, answer, overlays)
                emit(line)
                stage.advance()
                if stopped():
                    raise _stopped(results)
    finally:
        if results is not None and results.lines:
            results.write_table()
    return summary


def _waiting(paths: Iterable[Path], results: Results | None, summary: Summary) -> Iterable[Path]:
    if results is None:
        return paths
    if isinstance(paths, list):
        waiting = [path for path in paths if not results.done(path)]
        summary.skipped = len(paths) - len(waiting)
        return waiting
    return _undone(paths, results, summary)


def _undone(paths: Iterable[Path], results: Results, summary: Summary) -> Iterator[Path]:
    for path in paths:
        if results.done(path):
            summary.skipped += 1
        else:
            yield path


def _write_overlay(
    folder: Path, inspector: Inspector, path: Path, prediction: Prediction, overlays: Overlays
) -> None:
    for verdict in Decision:
        overlay_path(folder, path, verdict).unlink(missing_ok=True)
    flagged = prediction.decision is not Decision.ACCEPT
    if overlays == "none" or (overlays == "flagged" and not flagged) or prediction.heatmap is None:
        return
    try:
        pixels = read_image(path)
    except InputError:
        return  # moved away or replaced since it was inspected; its verdict stands
    if pixels.shape[:2] != prediction.heatmap.shape:
        return
    picture = laid_over(pixels, inspector.bundle.manifest, prediction, boxes=True)
    if picture is not None:
        write_png(overlay_path(folder, path, prediction.decision), picture)


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
    if prediction.segments is None:
        return picture
    segments = prediction.segments
    labels = labels_from_frame(segments.labels.astype(np.int16), manifest.frame, *prediction.heatmap.shape)
    return segment_outlines(picture, labels, segments.marks)


def _moved(prediction: Prediction) -> dict[str, list[list[str | float]]]:
    """What moved the score, for the picture's line; nothing where the method does not tell."""
    moved: list[list[str | float]] = [
        [label, float(f"{value:.6g}")] for label, value in prediction.contributions
    ]
    return {"contributions": moved} if moved else {}


def overlay_path(folder: Path, path: Path, decision: Decision) -> Path:
    """Where the overlay of the picture `path` lies in the results folder."""
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    stem = path.stem[:40].encode(errors="replace").decode()
    return folder / OVERLAY_FOLDER / decision.value / f"{stem}.{digest}.png"


def _stopped(results: Results | None) -> Stopped:
    fix = (
        f"Run the same command again to go on; results so far are in {results.folder}."
        if results
        else "Nothing was written; with --out, the same command again goes on where it stopped."
    )
    return Stopped(
        "inspection",
        expected="to run to its end",
        got="a request to stop",
        fix=fix,
    )
