"""Drafts of annotations for a person to correct in LabelMe: from label maps to polygons, beside the pictures.

`FOLDER/PATH.json` is the draft of the picture whose path below its data set is PATH, and lies beside a copy
of it, so that LabelMe opens both. `drafts.json` keeps the hash of each file as it was made, by which one that
somebody has changed is known for good.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.annotations.order import ORDER, Component, write_order
from flawscope.data.owners import Owners
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import Labels
from flawscope.data.tables import malformed, read_json
from flawscope.errors import OutputError
from flawscope.files import sha256, write_text, write_with

MADE = "drafts.json"
_FEWEST = 3  # points of a polygon

Mask = NDArray[np.bool_]


class Drafts:
    """A folder of drafts, some made, some corrected by a person.

    Args:
        folder: of the drafts; need not be there yet.
        pictures: the data set's folder, which the drafts mirror.

    Raises:
        DataError: a drafts.json that is none.
    """

    def __init__(self, folder: Path, pictures: Path) -> None:
        self.folder, self.pictures = Path(folder), Path(pictures)
        self._made = _read_made(self.folder / MADE)
        self._owners = Owners("draft", "Let pictures in one folder differ in more than their ending.")

    def place(self, sample: Sample) -> Path:
        """The file of a picture's annotation, whether it is there or not.

        Raises:
            DataError: two pictures that would share it.
        """
        below = sample.path.absolute().relative_to(self.pictures.absolute())
        return self._owners.claim((self.folder / below).with_suffix(".json"), sample.path)

    def by_hand(self, path: Path) -> bool:
        """Whether a file is one that a person made or changed."""
        return path.is_file() and self._made.get(self._key(path)) != sha256(path)

    def write(self, sample: Sample, shapes: Sequence[dict[str, Any]], size: tuple[int, int]) -> None:
        """Write a picture's draft, and a copy of the picture beside it, anew where the picture has changed.

        Args:
            sample: the picture.
            shapes: as `drafted_shapes` makes them.
            size: its height and width.

        Raises:
            OutputError: the folder cannot be written, or another file lies where the copy belongs.
        """
        path = self.place(sample)
        copy = path.with_name(sample.path.name)
        own, there = sha256(sample.path), sha256(copy) if copy.exists() else None
        made = self._made.get(self._key(copy))
        earlier = made is None and path.is_file() and not self.by_hand(path)  # versions that noted no copies
        if there not in (None, own, made) and not earlier:
            raise OutputError(
                f"copy of {sample.path}",
                expected=f"none at {copy} yet, or the one that was made there",
                got="another file",
                fix="Move it away, or choose another --out.",
            )
        if there != own:
            write_with(copy, lambda temporary: _copied(sample.path, temporary))
        self._made[self._key(copy)] = own
        content: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": copy.name,
            "imageData": None,
            "imageHeight": size[0],
            "imageWidth": size[1],
        }
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        self._made[self._key(path)] = sha256(path)

    def write_order(self, components: Sequence[Component]) -> bool:
        """State the order of the components, unless a person has done so; whether it was written."""
        path = self.folder / ORDER
        if self.by_hand(path):
            return False
        write_order(path, components)
        self._made[ORDER] = sha256(path)
        return True

    def note(self) -> None:
        """Write what was made so far: files that are not noted count as made by hand."""
        write_text(self.folder / MADE, json.dumps({"format": 1, "files": self._made}, indent=1) + "\n")

    def _key(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def drafted_shapes(
    labels: Labels, names: Sequence[str], order: Sequence[str], *, tolerance: float = 0.0, smallest: int = 1
) -> list[dict[str, Any]]:
    """Polygons in LabelMe's form, whose partition by that order is the label map.

    Each connected piece is one polygon. What lies upon it stays covered, for that comes first in the order.
    A piece with any other hole, such as a ring on the ground, is cut through the hole into polygons of one
    group, which count as one piece.

    Args:
        labels: (H, W), 0 for the background.
        names: by label.
        order: of the names, from the first that claims a pixel.
        tolerance: pixels that a simpler outline may lie beside the true one; 0 keeps every corner.
        smallest: pixels below which a piece is left out.
    """
    ranks = np.array([order.index(name) if name in order else len(order) for name in names])
    ranks[0] = len(order)
    shapes, group = list[dict[str, Any]](), 0
    for label in np.unique(labels[labels > 0]).tolist():
        others = ranks[labels] > ranks[label]  # what this component would claim wrongly
        for piece in _connected(labels == label, smallest):
            parts = list(_without_holes(piece, others[piece.box]))
            group += len(parts) > 1
            for part in parts:
                shape = _polygon(names[label], part, tolerance)
                shapes.append(shape | {"group_id": group if len(parts) > 1 else None})
    return sorted(shapes, key=lambda shape: -order.index(shape["label"]))  # LabelMe draws the last on top


@dataclass(frozen=True, slots=True)
class _Piece:
    """A connected area: its mask (h, w), and the first row and column of that in the picture."""

    mask: Mask
    top: int = 0
    left: int = 0

    @property
    def box(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def _without_holes(piece: _Piece, others: Mask) -> Iterator[_Piece]:
    """The piece, cut at the middle of holes through which `others` (h, w) show until there are none."""
    mask = piece.mask
    covered = cv2.drawContours(np.zeros(mask.shape, np.uint8), _outlines(mask), -1, 1, cv2.FILLED) > 0
    holes = _connected(covered & ~mask & others, 1)
    if not holes:
        yield piece
        return
    largest = max(holes, key=lambda hole: np.count_nonzero(hole.mask))
    middle = round(float(np.nonzero(largest.mask)[1].mean())) + largest.left
    for left, side in ((0, mask[:, :middle]), (middle, mask[:, middle:])):
        for part in _connected(side, 1):
            moved = _Piece(part.mask, piece.top + part.top, piece.left + left + part.left)
            yield from _without_holes(moved, others[:, left:][part.box])


def _connected(mask: Mask, smallest: int) -> list[_Piece]:
    count, found, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    pieces = []
    for number, (left, top, width, height, size) in zip(range(1, count), stats[1:].tolist(), strict=True):
        if size >= smallest:
            pieces.append(_Piece(found[top : top + height, left : left + width] == number, top, left))
    return pieces


def _outlines(piece: Mask) -> list[NDArray[np.int32]]:
    """Outer outlines, (n, 1, 2) each."""
    found, _ = cv2.findContours(piece.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [np.asarray(outline, np.int32) for outline in found]


def _polygon(name: str, part: _Piece, tolerance: float) -> dict[str, Any]:
    """A connected area without holes as a shape."""
    (outline,) = _outlines(part.mask)
    simpler = cv2.approxPolyDP(outline, tolerance, closed=True) if tolerance else outline
    points = (simpler if len(simpler) >= _FEWEST else outline).reshape(-1, 2)  # (n, 1, 2) -> (n, 2)
    points = points + np.array([part.left, part.top])
    missing = max(_FEWEST - len(points), 0)  # of a pixel, or of a line of them
    return {
        "label": name,
        "points": [*points.tolist(), *points[-1:].tolist() * missing],
        "group_id": None,
        "description": "",
        "shape_type": "polygon",
        "flags": {},
        "mask": None,
    }


def _copied(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _read_made(path: Path) -> dict[str, str]:
    """Hashes of files as they were made; none where nothing was."""
    if not path.is_file():
        return {}
    content = read_json(path)
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise malformed(path, 1, "an object with the hashes of files", repr(content)[:80])
    return files
