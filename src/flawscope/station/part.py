"""All that results tell of one part, and its picture with the heatmap where they can be shown."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flawscope.errors import FlawscopeError
from flawscope.files import sha256
from flawscope.runtime import versions
from flawscope.runtime.bundle import MANIFEST
from flawscope.runtime.chain import Row
from flawscope.runtime.images import read_image
from flawscope.runtime.in_force import InForce
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.overlay import thumbnail, to_webp_bytes
from flawscope.runtime.record import Record, Views
from flawscope.station import chained
from flawscope.station.claims import models_of
from flawscope.station.entries import record_of, views_of
from flawscope.station.names import read_from
from flawscope.station.picture import inspect_one
from flawscope.station.reviews import Review, located, reviews
from flawscope.station.store import opened_to_read, require_results, told

LARGE = 900  # pixels of a picture that is drawn again
FileState = Literal["same", "changed", "gone"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part, by the last record of its picture.

    Attributes:
        row: the record's row in the chain.
        record: what was said of the picture.
        earlier: rows of inspections of the same path before, the latest first.
        in_force: what it was made with; None where the chain does not tell.
        reviews: what people found, of this path; `Review.is_of` tells which are of this picture.
        views: small pictures that were kept; empty where none were, or they are not those that were made.
        file: whether the picture's file has the bytes that were inspected.
        place: where that file lies.
    """

    row: Row
    record: Record
    earlier: tuple[Row, ...]
    in_force: InForce | None
    reviews: tuple[Review, ...]
    views: Views
    file: FileState
    place: Path


def part_of(folder: Path, picture: str) -> Part:
    """What the results in `folder` tell of one picture, named as `station.reviews.located` takes it.

    Raises:
        InputError: there are no results, or none of this picture.
        OutputError: the store is damaged or foreign.
    """
    require_results(folder)
    with contextlib.closing(opened_to_read(folder)) as base, told(folder):
        number = located(base, folder, picture)
        row, *earlier = _inspections(base, folder, number)
        record = record_of(row.entry, folder)
        place = read_from(base, folder) / record.path
        views = views_of(base, number)
        made = [model for at, model in models_of(base, folder) if at < number]
    kept = row.entry.get("views") == chained.hash_of(views)
    return Part(
        row=row,
        record=record,
        earlier=tuple(earlier),
        in_force=next((one for one in reversed(made) if one.identity == record.model), None),
        reviews=tuple(one for one in reviews(folder) if one.path == record.path),
        views=views if kept else Views(),
        file=_file_state(record, place),
        place=place,
    )


def shown(part: Part, model: Path | None = None) -> tuple[Views, str]:
    """The picture and its heatmap, and a sentence on where they come from or why they lack.

    They are drawn again, larger, where the picture's file and the model's folder are those of the record;
    otherwise they are what was kept.

    Args:
        part: of which.
        model: a folder of its model, or one that has its version beside it; else where it lay.
    """
    lacking = _FILE[part.file]
    if part.file == "same":
        place = next(_at_hand(part.in_force, model), None)
        lacking = "the version of the model that judged it is not at hand; name its folder with --model"
        if place is not None:
            return _drawn(part, place)
    if part.views.thumbnail:
        sentence = "Small pictures as they were kept with the record, whose hash the chain holds."
        return part.views, f"{sentence} Not drawn again: {lacking}."
    if part.file == "same":
        with contextlib.suppress(FlawscopeError):
            alone = to_webp_bytes(thumbnail(read_image(part.place), LARGE, None))
            return Views(alone), f"The picture that was inspected, without its heatmap: {lacking}."
    return Views(), f"Not shown: {lacking}, and no small picture of it was kept."


_FILE: dict[FileState, str] = {
    "same": "",
    "changed": "its file has other bytes than those that were inspected",
    "gone": "its file is not there any more, or was never read",
}


def _inspections(base: sqlite3.Connection, folder: Path, number: int) -> Iterator[Row]:
    """A picture's row of this number, and those of inspections of the same path before."""
    row = chained.picture(base, folder, number)
    yield row
    while 0 < (again := row.entry.get("again", 0)) < row.number:
        row = chained.picture(base, folder, again)
        yield row


def _drawn(part: Part, place: Path) -> tuple[Views, str]:
    with Inspector.load(place) as inspector:
        again = inspect_one(inspector, part.place, views=lambda record: True, overlay=lambda record: True)
    score, views = again.record.score, again.views
    if views is None or again.record.picture != part.record.picture:
        return part.views, f"Not drawn again: {again.record.error or _FILE['changed']}."
    with contextlib.suppress(FlawscopeError):  # the small ones serve as well
        intensities = inspector.bundle.manifest.frame.intensities
        overlaid = thumbnail(read_image(again.overlay), LARGE) if again.overlay else None
        views = Views(
            to_webp_bytes(thumbnail(read_image(part.place), LARGE, intensities)),
            b"" if overlaid is None else to_webp_bytes(overlaid),
            views.insets,
        )
    sentence = "Drawn again from the file that was inspected, by the version of the model that judged it"
    if score == part.record.score:
        return views, f"{sentence}; the score is the same."
    return views, f"{sentence}; the score is now {score:.6g}, by {inspector.in_force.engine}."


def _at_hand(wanted: InForce | None, model: Path | None) -> Iterator[Path]:
    """Model folders with the very manifest that was in force, kept versions among them."""
    if wanted is None or not wanted.manifest:
        return
    for place in (model, Path(wanted.folder)):
        if place is not None:
            for folder in (place, versions.folder_of(place) / wanted.version):
                with contextlib.suppress(OSError):
                    if sha256(folder / MANIFEST) == wanted.manifest:
                        yield folder


def _file_state(record: Record, place: Path) -> FileState:
    with contextlib.suppress(OSError):
        if record.picture is not None:
            return "same" if sha256(place) == record.picture else "changed"
    return "gone"
