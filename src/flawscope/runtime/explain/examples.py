"""Good pictures kept small in the model folder, so that a report can show them beside flawed ones.

They lie at the size at which the model sees pictures, at most 512 pixels a side, in sheets of 4×4 as WebP
files `good-00.webp`, `good-01.webp` and so on, in the order in which training saw them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.images import decode
from flawscope.runtime.manifest import FileEntry
from flawscope.runtime.overlay import Picture, thumbnail, to_bytes, to_webp_bytes
from flawscope.runtime.picture_file import PictureFile

ACROSS = 4
LONGEST = 512
_NAME = "good-{:02d}.webp"


class Examples:
    """Collects good pictures for the model folder.

    Args:
        size: height and width at which the model sees pictures.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self.size = (size[0], size[1])
        self._tiles: list[Picture] = []
        self._sheets: list[bytes] = []

    def __len__(self) -> int:
        return ACROSS**2 * len(self._sheets) + len(self._tiles)

    def add(self, pixels: NDArray[np.float32]) -> None:
        """Add one picture (3, height, width) in [0, 1]."""
        self._tiles.append(thumbnail(to_bytes(pixels), LONGEST))
        if len(self._tiles) == ACROSS**2:
            self._sheets.append(_sheet(self._tiles))
            self._tiles = []

    def files(self) -> dict[str, bytes]:
        """All sheets by file name."""
        sheets = [*self._sheets, *([_sheet(self._tiles)] if self._tiles else [])]
        return {_NAME.format(index): sheet for index, sheet in enumerate(sheets)}


def example(
    folder: Path, size: Sequence[int], index: int, files: Mapping[str, FileEntry] | None = None
) -> NDArray[Any] | None:
    """The good picture `index` (h, w, 3) uint8 of a model folder, or None where it is not kept.

    Args:
        folder: of the model.
        size: height and width at which the model sees pictures.
        index: in the order of training.
        files: of the model's manifest. A sheet that is none of them is not shown: another model may have
            taken this one's place meanwhile. None: any is.

    Raises:
        InputError: the sheet is damaged.
    """
    name = _NAME.format(index // ACROSS**2)
    if not (folder / name).is_file():
        return None
    file = PictureFile(folder / name)
    sheet = decode(file, None).pixels
    if files is not None and (name not in files or files[name].sha256 != file.sha256):
        return None
    height, width = tile_size(size)
    row, column = divmod(index % ACROSS**2, ACROSS)
    tile = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
    return tile if tile.shape[:2] == (height, width) else None


def tile_size(size: Sequence[int]) -> tuple[int, int]:
    """Height and width of a picture on its sheet."""
    scale = min(1.0, LONGEST / max(size[0], size[1]))
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _sheet(tiles: Sequence[Picture]) -> bytes:
    height, width = tiles[0].shape[:2]
    rows, columns = -(-len(tiles) // ACROSS), min(len(tiles), ACROSS)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, ACROSS)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
    return to_webp_bytes(sheet)
