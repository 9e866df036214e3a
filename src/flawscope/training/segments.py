"""Static segment maps: proposed from good pictures, and checked against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.layouts import read_dataset
from flawscope.data.outputs import refuse_in, refuse_over
from flawscope.data.picture_maps import PictureMaps
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample, paths_of, spread
from flawscope.data.segment_maps import (
    MOST_SEGMENTS,
    Labels,
    Size,
    check_map_fits,
    common_size,
    pixels_of,
    read_segment_map,
    shares_of,
    write_segment_map,
)
from flawscope.data.sheets import require_png
from flawscope.data.sheets.segments import Cell, segment_sheet
from flawscope.errors import InputError, OptionError
from flawscope.progress import Progress, Silent
from flawscope.runtime.images import Frame, read_image
from flawscope.runtime.overlay import to_bytes, write_png
from flawscope.station.sources import collect

if TYPE_CHECKING:
    from flawscope.nn.run import Run
    from flawscope.nn.watch import Watch

SHEET_PICTURES = 12
SAM = "facebook/sam-vit-base"
_WORKING_SIDE = 1024  # longer side beyond which drafting gains nothing
_TINY = 0.001  # share of the picture below which a segment is rather a slip of the brush


@dataclass(frozen=True, slots=True)
class MapFacts:
    """A map that was drafted or passed its check.

    Attributes:
        map: its file, or the folder of maps, one a picture.
        drawing: the PNG that shows it over pictures.
        height, width: its size in pixels; of a folder, the first map's.
        pictures: how many it was drafted from or checked against.
        shares: share of the pixels of each segment; of a folder, the mean.
        remarks: sentences for the user.
    """

    map: Path
    drawing: Path
    height: int
    width: int
    pictures: int
    shares: tuple[float, ...]
    remarks: tuple[str, ...]


def good_pictures(
    sources: Sequence[str | Path], *, layout: str | None = None, product: str | None = None
) -> list[Path]:
    """Good pictures of one folder or data set (training ones where any), or files and patterns as named.

    Raises:
        DataError: a source without good pictures.
    """
    if len(sources) != 1 or not Path(sources[0]).is_dir():
        return collect(sources)
    dataset = read_dataset(Path(sources[0]), layout=layout, product=product)
    return paths_of(dataset.good())


def all_pictures(
    sources: Sequence[str | Path], *, layout: str | None = None, product: str | None = None
) -> tuple[Sample, ...]:
    """Every picture of one folder or data set, or files and patterns as named, which count as good.

    Raises:
        DataError: no pictures.
    """
    if len(sources) != 1 or not Path(sources[0]).is_dir():
        return tuple(Sample(path, "test", defective=False) for path in collect(sources))
    return read_dataset(Path(sources[0]), layout=layout, product=product).samples


def draft(
    paths: Sequence[Path],
    out: Path,
    run: Run,
    watch: Watch | None = None,
    *,
    by: Literal["features", "sam"] = "features",
    segments: int | None = None,
    size: Size | None = None,
    first: bool = False,
    model: str = SAM,
    weights: Literal["pretrained", "random"] = "pretrained",
    overwrite: bool = False,
) -> MapFacts:
    """Propose a static map from good pictures of a fixed camera; write it, and a preview beside it.

    Args:
        paths: the pictures, all of one size, which the map will have.
        out: PNG file to write; the preview is called NAME_preview.png.
        run: its seed decides, its device computes.
        watch: progress and stop signal.
        by: clustered backbone features, or the masks that SAM proposes on one picture.
        segments: how many; see `flawscope.segmenters.drafting`.
        size: stretch the pictures to this height and width instead, whatever their own.
        first: take edges, SAM's masks and preview from the first picture, not from the mean of all.
        model: SAM's folder, or its name in the hub's cache.
        weights: of the backbone: pretrained, or random for tests.
        overwrite: replace a file that is there.

    Raises:
        InputError: a picture that cannot be read.
        DataError: pictures of different sizes, or too plain for so many segments.
        MissingExtraError: SAM is asked for and transformers is not installed.
        OptionError: a file that is there already, or that would lie among the pictures.
        OutputError: the map cannot be written.
    """
    from flawscope.nn.watch import UNWATCHED  # noqa: PLC0415
    from flawscope.segmenters import drafting  # noqa: PLC0415 - check needs no torch
    from flawscope.segmenters.proposers.sam import SamOptions, SegmentAnything  # noqa: PLC0415

    watch = watch or UNWATCHED
    require_png(out)
    refuse_over(out, paths)
    preview = out.with_name(f"{out.stem}_preview.png")
    there = next((path for path in (out, preview) if path.exists()), None)
    if there is not None and not overwrite:
        raise OptionError(
            f"--out {there}",
            expected="a new file, for somebody may have painted in this one",
            got="one that is there",
            fix="Choose another, or replace it with --overwrite.",
        )
    if segments is not None and not 2 <= segments <= MOST_SEGMENTS:
        wanted, fix = f"2 to {MOST_SEGMENTS}", "Leave it out to let it choose."
        raise OptionError("segments", expected=wanted, got=str(segments), fix=fix)
    height, width = size or common_size(paths)
    samples = [Sample(path, "train", defective=False) for path in paths]
    pictures = PictureFiles(samples, _working(height, width))
    guide = pictures[0] if first else drafting.mean_picture(pictures, run, watch)
    shown = to_bytes(guide)
    if by == "sam":
        sam = SegmentAnything(SamOptions(model=model, crops=0), run, watch)
        small = drafting.draft_by_masks(sam.masks(shown, (shown.shape[0], shown.shape[1])), segments)
    else:
        small = drafting.draft_by_features(pictures, guide, run, watch, count=segments, weights=weights)
    labels = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    write_segment_map(out, labels)
    name = "first picture" if first else f"mean of {len(paths)} pictures"
    cells = [Cell(name, shown, "picture"), Cell("segments", shown), Cell(out.name, shown, "map")]
    write_png(preview, segment_sheet(small, cells))
    shares = tuple(shares_of(labels).tolist())
    fewer = f"{segments} segments were asked for, {len(shares)} are large enough to stay."
    remarks = (fewer,) if segments is not None and len(shares) < segments else ()
    return MapFacts(out, preview, height, width, len(paths), shares, remarks)


def check(
    map_file: Path,
    paths: Sequence[Path],
    out: Path,
    *,
    size: Size | None = None,
    progress: Progress | None = None,
) -> MapFacts:
    """Check a map against all the pictures, and draw it over up to 12 of them.

    Args:
        map_file: the map.
        paths: pictures that it will be used for.
        out: PNG file that receives the sheet.
        size: height and width that pictures will be stretched to; a map of this size fits any of them.
        progress: where the pictures drawn are counted.

    Raises:
        InputError: a file that cannot be read.
        DataError: a map whose indices are wrong (see `read_segment_map`), or that does not fit a picture.
        OptionError: a sheet in the place of the map, or among the pictures.
        OutputError: the sheet cannot be written.
    """
    require_png(out)
    refuse_over(out, paths, map_file)
    labels = read_segment_map(map_file)
    height, width = labels.shape
    check_map_fits(map_file, (height, width), paths, Frame(*size) if size else None)
    shown = spread(paths, SHEET_PICTURES)
    cells = []
    with (progress or Silent()).stage("drawing", len(shown)) as stage:
        for path in shown:
            cells.append(Cell(f"{path.parent.name}/{path.name}", read_image(path)))
            stage.advance()
    write_png(out, segment_sheet(labels, cells))
    shares = tuple(shares_of(labels).tolist())
    return MapFacts(map_file, out, height, width, len(paths), shares, _slips(labels, shares))


def check_folder(
    maps: Path,
    samples: Sequence[Sample],
    out: Path,
    *,
    mirrors: Path | None = None,
    size: Size | None = None,
    progress: Progress | None = None,
) -> MapFacts:
    """Check the label map of every picture, and draw up to 12 of the pictures with their own.

    Args:
        maps: folder of the maps (see `flawscope.data.picture_maps.PictureMaps`).
        samples: the pictures.
        out: PNG file that receives the sheet.
        mirrors: folder of pictures that `maps` mirrors.
        size: as of `check`.
        progress: where the pictures are counted.

    Raises:
        InputError: a map that is missing, or a file that cannot be read.
        DataError: a map whose indices are wrong, that does not fit its picture, or that two pictures share.
        OptionError: a sheet among the maps, or among the pictures.
        OutputError: the sheet cannot be written.
    """
    require_png(out)
    if mirrors is not None or out.resolve().parent != maps.resolve():  # beside good/ and bad/ a sheet may lie
        refuse_in(out, maps)
    refuse_over(out, paths_of(samples))
    files, frame = PictureMaps(maps, mirrors), Frame(*size) if size else None
    if mirrors is None and not any((maps / name).is_dir() for name in ("good", "bad")):
        raise InputError(
            f"segment maps {maps}",
            expected="maps in good/ and bad/ by their pictures' names",
            got="neither folder there",
            fix="Where they mirror the pictures' folder, name that one (--mirrors).",
        )
    shown, cells = set(spread(range(len(samples)), SHEET_PICTURES)), list[Cell]()
    shares = np.zeros(MOST_SEGMENTS)
    with (progress or Silent()).stage("reading segment maps", len(samples)) as stage:
        for index, sample in enumerate(samples):
            labels = files.read(sample, frame)
            shares += shares_of(labels, MOST_SEGMENTS) / len(samples)
            if index in shown:
                name = f"{sample.path.parent.name}/{sample.path.name}"
                cells.append(Cell(name, read_image(sample.path), labels=labels))
            stage.advance()
    shares = shares[: int(shares.nonzero()[0].max()) + 1]
    first = cells[0].labels
    assert first is not None  # noqa: S101 - each cell has its own
    write_png(out, segment_sheet(first, cells, shares=shares))
    height, width = first.shape
    return MapFacts(maps, out, height, width, len(samples), tuple(shares.tolist()), _unseen(shares))


def _unseen(shares: NDArray[np.float64]) -> tuple[str, ...]:
    """A remark on each segment below the highest that no map shows."""
    return tuple(f"No map shows segment {index}." for index in np.flatnonzero(shares == 0))


def _slips(labels: Labels, shares: Sequence[float]) -> tuple[str, ...]:
    """A remark on each segment that is too small to be meant."""
    tiny = (index for index, share in enumerate(shares) if share < _TINY)
    return tuple(
        f"Segment {index} has only {pixels_of(labels, index)}: a slip of the brush?" for index in tiny
    )


def _working(height: int, width: int) -> Frame:
    """The proportions of the pictures at no more than 1024 pixels a side."""
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    return Frame(max(round(height * scale), 1), max(round(width * scale), 1))
