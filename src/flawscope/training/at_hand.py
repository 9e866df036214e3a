"""Pictures that a model has seen, found again: by content, in the folders that its recipe names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flawscope.data.samples import Sample
from flawscope.errors import FlawscopeError
from flawscope.files import remembered_sha256
from flawscope.runtime.provenance import Role, SeenPicture
from flawscope.station.sources import collect


@dataclass(frozen=True, slots=True)
class AtHand:
    """Pictures of one role: those that were found, in the model's order, and how many were not."""

    samples: tuple[Sample, ...]
    missing: int


def at_hand(pictures: Iterable[SeenPicture], role: Role, sources: Sequence[str | Path]) -> AtHand:
    """Find the pictures of this role in folders, files and patterns; a source that is gone holds none.

    Files of a picture's name are looked into first, so that in a large folder few are read. Copies are found
    once; of tuning pictures, whose scores are known one by one, as often as they were scaled on.
    """
    listed = [picture for picture in pictures if picture.role == role]
    wanted = {picture.sha256: picture for picture in listed}
    names, paths, found = {one.name for one in wanted.values()}, list[Path](), dict[str, Path]()
    for source in sources:
        with contextlib.suppress(FlawscopeError):
            paths += collect([source])
    for path in sorted(paths, key=lambda path: path.name not in names):
        if len(found) == len(wanted):
            break
        with contextlib.suppress(OSError):
            digest = remembered_sha256(path)
            if digest in wanted:
                found.setdefault(digest, path)
    each = listed if role == "tuning" else list(wanted.values())
    samples = tuple(
        Sample(found[one.sha256], "train", defective=False, group=one.group)
        for one in each
        if one.sha256 in found
    )
    return AtHand(samples, len(wanted) - len(found))
