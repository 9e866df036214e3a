"""Pictures cut into tiles: each tile a sample of its own, in order, that knows its place in the picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from flawscope.data.decoded import DecodedPictures
from flawscope.data.masks import union_mask
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.runtime.images import Frame, size_of
from flawscope.runtime.tiling import Tile, Tiling


def cut(
    samples: Sequence[Sample], frame: Frame, tiling: Tiling | None, decoded: DecodedPictures | None = None
) -> PictureFiles:
    """The pictures at the frame, or all their tiles, picture by picture; `decoded` may be shared.

    Raises:
        InputError: a picture whose header cannot be read.
    """
    if tiling is None:
        return PictureFiles(samples, frame)
    return PictureFiles([tile for sample in samples for tile in _tiles(sample, tiling)], frame, decoded)


def cut_defective(
    samples: Iterable[Sample], frame: Frame, tiling: Tiling, decoded: DecodedPictures | None = None
) -> PictureFiles:
    """Of defective pictures the tiles that an annotated area touches.

    The others show nothing that is known to be defective, and of a picture without such areas no tile does.

    Raises:
        InputError: a picture or mask that cannot be read.
        DataError: a mask of another size than its picture.
    """
    return PictureFiles([tile for sample in samples for tile in _touched(sample, tiling)], frame, decoded)


def sources(pictures: Pictures) -> list[int]:
    """For each picture the number of the file that it comes from, counted in order from 0.

    Pictures have a file each; of tiles many share one.
    """
    numbers: dict[object, int] = {}
    return [numbers.setdefault(sample.path, len(numbers)) for sample in pictures.samples]


def files_of(pictures: Pictures) -> list[Path]:
    """The files that pictures, or their tiles, come from, each once and in order."""
    return list(dict.fromkeys(sample.path for sample in pictures.samples))


def units_of(samples: Iterable[Sample]) -> list[int]:
    """For each sample the number of what it must not be parted from, counted in order from 0.

    That is its part, where samples have groups, with all pictures of it; else its picture, with all tiles.
    """
    numbers: dict[object, int] = {}
    return [
        numbers.setdefault(sample.path if sample.group is None else sample.group, len(numbers))
        for sample in samples
    ]


def groups_of(pictures: Pictures) -> tuple[str | None, ...]:
    """The group of each picture, once for all its tiles; None where it has none."""
    return tuple(one.group for one in pictures.samples if one.tile is None or one.tile.last)


def tiles_of(pictures: Pictures) -> list[Tile | None]:
    """What each picture is a tile of; None for a whole one."""
    return [sample.tile for sample in pictures.samples]


def _tiles(sample: Sample, tiling: Tiling) -> Iterator[Sample]:
    for tile in tiling.grid(*size_of(sample.path)).tiles():
        yield replace(sample, tile=tile)


def _touched(sample: Sample, tiling: Tiling) -> Iterator[Sample]:
    if not sample.masks:
        return
    area = union_mask(sample, *size_of(sample.path))  # (H, W)
    for one in _tiles(sample, tiling):
        if one.tile is not None:
            left, top, right, bottom = one.tile.placement.window
            if area[top:bottom, left:right].any():
                yield one
