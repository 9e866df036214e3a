"""A folder of label maps that a command has made and a person may correct. No torch here.

`FOLDER/PATH.png` is the map of the picture whose path below its data set is PATH, an indexed PNG: 0 for the
background, else the class. `names.json` lists what the classes are called, the background first. `made.json`
keeps the hash of each map as it was made, by which a map that somebody has changed is known for good.
`contact_sheet.png` shows some of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.masks import size_error
from flawscope.data.picture_maps import PictureMaps
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import MOST_SEGMENTS, Labels, pixels_of, read_labels, segment_colours
from flawscope.data.tables import malformed, read_json
from flawscope.errors import DataError
from flawscope.files import sha256, write_atomically, write_text

NAMES, MADE, SHEET = "names.json", "made.json", "contact_sheet.png"


@dataclass(frozen=True, slots=True)
class Made:
    """A map as a command has made it: the hash of its file, and whether it may be learnt from as it is."""

    sha256: str
    labelled: bool


@dataclass(frozen=True, slots=True)
class LabelPart:
    """One class of a label map, as an annotated part; see `flawscope.data.samples.PartSource`."""

    path: Path
    index: int
    name: str
    order: int = 0
    ignore: bool = False
    crowd: bool = True

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        """Where the map has the class, (height, width).

        Raises:
            InputError: a map that cannot be read.
            DataError: a map of another size than its picture.
        """
        return np.asarray(self.labels(height, width) == self.index)

    def labels(self, height: int, width: int) -> Labels:
        """The whole map, (height, width); raises as `read`."""
        labels = read_labels(self.path)
        if labels.shape != (height, width):
            raise size_error(self.path, (labels.shape[0], labels.shape[1]), (height, width))
        return labels


class LabelFolder:
    """Label maps of a data set's pictures, some made, some drawn or corrected by a person.

    Args:
        folder: of the maps; need not be there yet.
        pictures: folder of the pictures, which the maps mirror; None as of `PictureMaps`.

    Attributes:
        made: what a command wrote, by the map's path below the folder.
        made_names: what it called the classes.

    Raises:
        DataError: a made.json that is none.
    """

    def __init__(self, folder: Path, pictures: Path | None) -> None:
        self.folder = Path(folder)
        self.files = PictureMaps(self.folder, pictures)
        self.made, self.made_names = _read_made(self.folder / MADE)

    def names(self) -> tuple[str, ...] | None:
        """What the classes are called, the background first; None where no names are kept.

        Raises:
            DataError: a file that is no list of 2 to 64 names.
        """
        return read_names(self.folder / NAMES)

    def named_by_hand(self) -> bool:
        """Whether a person has changed what the classes are called."""
        names = self.names()
        return names is not None and names != self.made_names

    def place(self, sample: Sample) -> Path:
        """The file of a picture's map, whether it is there or not."""
        return self.files.place(sample)

    def by_hand(self, sample: Sample) -> bool:
        """Whether a picture has a map that no command has made so: one that a person drew or corrected."""
        path = self.place(sample)
        if not path.is_file():
            return False
        entry = self.made.get(self._key(path))
        return entry is None or entry.sha256 != sha256(path)

    def labelled(self, sample: Sample) -> bool:
        """Whether a picture has a map to learn from: by hand, or made and found reliable."""
        return self.usable(self.place(sample))

    def usable(self, path: Path) -> bool:
        """Whether a file is a map to learn from; see `labelled`."""
        entry = self.made.get(self._key(path))
        return path.is_file() and (entry is None or entry.labelled or entry.sha256 != sha256(path))

    def read(self, sample: Sample) -> Labels:
        """A picture's labels (H, W) at their file's size.

        Raises:
            InputError: a map that is missing or cannot be read.
            DataError: a map of other proportions than its picture, or with an index without a name.
        """
        labels, names = self.files.read(sample), self.names()
        highest = int(labels.max())
        if names is not None and highest >= len(names):
            raise DataError(
                f"label map {self.place(sample)}",
                expected=f"indices from 0 to {len(names) - 1}, which {NAMES} names",
                got=f"index {highest} in {pixels_of(labels, highest)}",
                fix=f"Correct the map, or name the class in {self.folder / NAMES}.",
            )
        return labels

    def write(self, sample: Sample, labels: Labels, *, labelled: bool) -> None:
        """Write a picture's map (H, W); call `note` after the last.

        Raises:
            OutputError: the file cannot be written.
        """
        path = self.place(sample).with_suffix(".png")
        image = Image.fromarray(np.ascontiguousarray(labels, np.uint8)).convert("L")
        image.putpalette(segment_colours(MOST_SEGMENTS).tobytes())
        with write_atomically(path) as stream:
            image.save(stream, format="PNG", optimize=True)
        self.made[self._key(path)] = Made(sha256(path), labelled)

    def write_names(self, names: tuple[str, ...], *, made: bool) -> None:
        """Write what the classes are called, the background first; `made` unless a person named some."""
        write_text(self.folder / NAMES, json.dumps(names, indent=2, ensure_ascii=False) + "\n")
        self.made_names = names if made else ()

    def note(self) -> None:
        """Write what was made so far: maps that are not noted count as drawn by hand."""
        maps = {key: {"sha256": one.sha256, "labelled": one.labelled} for key, one in self.made.items()}
        content = {"format": 1, "names": self.made_names, "maps": maps}
        write_text(self.folder / MADE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def _key(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def read_names(path: Path) -> tuple[str, ...] | None:
    """Names of classes from 0, the background, on; None where there is no such file.

    Raises:
        DataError: a file that is no list of 2 to 64 names.
    """
    if not path.is_file():
        return None
    names = read_json(path)
    fits = isinstance(names, list) and 2 <= len(names) <= MOST_SEGMENTS
    if not fits or not all(isinstance(name, str) for name in names):
        raise DataError(
            f"names of components {path}",
            expected=f"a JSON list of 2 to {MOST_SEGMENTS} names, the background's first",
            got="something else",
            fix="Correct the file, or remove it.",
        )
    return tuple(names)


def _read_made(path: Path) -> tuple[dict[str, Made], tuple[str, ...]]:
    """Maps and names as they were made; none where nothing was."""
    if not path.is_file():
        return {}, ()
    content = read_json(path)
    maps, names = (content.get(key) if isinstance(content, dict) else None for key in ("maps", "names"))
    if not isinstance(maps, dict) or not isinstance(names, list):
        raise malformed(path, 1, "an object with maps and names", repr(content)[:80])
    found = {}
    for key, entry in maps.items():
        fits = isinstance(entry, dict) and isinstance(entry.get("sha256"), str)
        if not fits or not isinstance(entry.get("labelled"), bool):
            raise malformed(path, repr(key), "an object with sha256 and labelled", repr(entry)[:80])
        found[key] = Made(entry["sha256"], entry["labelled"])
    return found, tuple(str(name) for name in names)
