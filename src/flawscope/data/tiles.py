"""Pictures cut into tiles: each tile a sample of its own, in order, that knows its place in the picture."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

from flawscope.data.decoded import DecodedPictures
from flawscope.data.masks import union_mask
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.files import remembered_sha256
from flawscope.runtime.images import Frame, size_of
from flawscope.runtime.tiling import Tile, Tiling

_OVERVIEWS = 5  # one of so many drawn tiles is an overview, where there are as many


def cut(
    samples: Sequence[Sample], frame: Frame, tiling: Tiling | None, decoded: DecodedPictures | None = None
) -> PictureFiles:
    """The pictures at the frame, or all their tiles, picture by picture; `decoded` may be shared.

    Raises:
        InputError: a picture whose header cannot be read.
    """
    if tiling is None:
        return PictureFiles(samples, frame)
    return PictureFiles(tiles_in(samples, tiling), frame, decoded)


def tiles_in(samples: Iterable[Sample], tiling: Tiling) -> list[Sample]:
    """All tiles of the pictures, picture by picture, the overview last.

    Raises:
        InputError: a picture whose header cannot be read.
    """
    return [tile for sample in samples for tile in _tiles(sample, tiling)]


def draw_tiles(tiles: Sequence[Sample], most: int, seed: int) -> list[Sample]:
    """At most so many of the tiles, by a seeded draw, in their order; all where there are no more.

    Each picture gives as many as any other, and at least one, however many pictures there are. A fifth of
    what is drawn are overviews, or all where there are fewer: by chance there would be next to none of them
    among the many tiles of very large pictures.
    """
    if len(tiles) <= most:
        return list(tiles)
    order = random.Random(seed).sample(range(len(tiles)), len(tiles))
    overviews = [index for index in order if _is_overview(tiles[index])][: most // _OVERVIEWS]
    dealt = Counter[Path]()
    ranked = list[tuple[int, int]]()
    for index in order:
        if not _is_overview(tiles[index]):
            dealt[tiles[index].path] += 1
            ranked.append((dealt[tiles[index].path], index))
    ranked.sort(key=itemgetter(0))  # first a tile of each picture, then a second one
    others = [index for _, index in ranked[: max(most - len(overviews), len(dealt))]]
    return [tiles[index] for index in sorted((*overviews, *others))]


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


def file_of_each_part(pictures: Pictures) -> list[Path]:
    """Of each part that pictures, or their tiles, show one file, that with the lowest sha256, in order.

    Each file where they have no groups.
    """
    found: dict[int, Path] = {}
    for unit, sample in zip(units_of(pictures.samples), pictures.samples, strict=True):
        before = found.setdefault(unit, sample.path)
        if before != sample.path and remembered_sha256(sample.path) < remembered_sha256(before):
            found[unit] = sample.path
    return list(found.values())


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


def largest_grid(pictures: Pictures, before: int | None = None) -> int | None:
    """How many tiles the picture has that has most of them, or so many `before`; None for whole pictures."""
    grids = [len(tile.grid) for tile in tiles_of(pictures) if tile is not None]
    return max(*grids, before or 1) if grids else before


def _tiles(sample: Sample, tiling: Tiling) -> Iterator[Sample]:
    for tile in tiling.grid(*size_of(sample.path)).tiles():
        yield replace(sample, tile=tile)


def _is_overview(sample: Sample) -> bool:
    return sample.tile is not None and sample.tile.number == sample.tile.grid.parts


def _touched(sample: Sample, tiling: Tiling) -> Iterator[Sample]:
    if not sample.masks:
        return
    area = union_mask(sample, *size_of(sample.path))  # (H, W)
    for one in _tiles(sample, tiling):
        if one.tile is not None:
            left, top, right, bottom = one.tile.placement.window
            if area[top:bottom, left:right].any():
                yield one
