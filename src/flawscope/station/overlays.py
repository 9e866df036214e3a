"""Overlays in a results folder: where each lies, written anew or taken away with its picture's verdict."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path

from flawscope.files import PART, unwritable, write_atomically
from flawscope.folders import abandoned
from flawscope.runtime.prediction import Decision
from flawscope.station.picture import Inspected

OVERLAYS = "overlays"
_OURS = re.compile(r"\.[0-9a-f]{8}\.png$")


def overlay_path(folder: Path, path: Path, decision: Decision) -> Path:
    """Where the overlay of the picture `path` lies in the results folder."""
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    stem = path.stem[:40].encode(errors="replace").decode()
    return folder / OVERLAYS / decision.value / f"{stem}.{digest}.png"


def write_overlay(folder: Path, inspected: Inspected) -> None:
    """Write a picture's overlay, where it has one, in the place of earlier ones.

    Raises:
        OutputError: it cannot be written, or an earlier one cannot be removed.
    """
    record = inspected.record
    for verdict in Decision:
        earlier = overlay_path(folder, Path(record.path), verdict)
        try:
            with contextlib.suppress(ValueError):  # a name that no file can have
                earlier.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(earlier, error) from error
    if inspected.overlay and record.decision is not None:
        with write_atomically(overlay_path(folder, Path(record.path), record.decision)) as stream:
            stream.write(inspected.overlay)


def clear_overlays(folder: Path) -> None:
    """Take away overlays, and what a kill left of some; whatever else lies beside them stays."""
    for place in (folder / OVERLAYS / verdict for verdict in Decision):
        for part in abandoned(place, PART):
            shutil.rmtree(part, ignore_errors=True)
        for path in place.glob("*.png"):
            if _OURS.search(path.name):
                with contextlib.suppress(OSError):
                    path.unlink()
