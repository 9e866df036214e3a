"""A sheet of pictures with synthetic defects beside the originals, for a person to look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from flawscope.data.ground import foreground
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Dataset, spread
from flawscope.data.segment_maps import Labels, check_map_fits, read_segment_map, to_frame_size
from flawscope.data.sheets import CAPTION, INK, PAPER, fitted
from flawscope.data.synthetic.appearance import Appearance
from flawscope.data.synthetic.noise import SyntheticDefects
from flawscope.data.synthetic.segment_defects import segment_defect
from flawscope.runtime.images import Frame
from flawscope.runtime.overlay import Picture, to_bytes

TITLES = ("original", "as trained on", "defects outlined", "ground truth")
GAP = 8  # pixels between cells
_MOST_ROWS = 6  # of one block; more pictures make blocks side by side
_OUTLINE = (255, 96, 32)
_DIM, _DARK = 0.55, 0.2  # light of a picture under its mask's outline: part, background


# a picture (3, H, W) in [0, 1] after the change, (H, W) where its defects are, and where they may be centred
Changed = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_] | None]
Change = Callable[[NDArray[np.float32], np.random.Generator], Changed]


@dataclass(frozen=True, slots=True)
class Example:
    """One picture of the sheet.

    Attributes:
        path: the original's file.
        original, changed: (3, H, W) in [0, 1], before and after appearance augmentation and defects.
        mask: (H, W), True in the defects.
        where: (H, W), where defects may be centred; None where they may lie anywhere.
    """

    path: Path
    original: NDArray[np.float32]
    changed: NDArray[np.float32]
    mask: NDArray[np.bool_]
    where: NDArray[np.bool_] | None


def choose_pictures(dataset: Dataset, count: int, size: int) -> Pictures:
    """Up to `count` good pictures of a data set, spread over it, at size x size; training ones where any.

    Raises:
        DataError: no good pictures.
    """
    return PictureFiles(spread(dataset.good(), count), Frame(size, size))


def noise_patches(defects: SyntheticDefects, appearance: Appearance) -> Change:
    """What EfficientAD's training does to a picture: its appearance, then patches of noise."""

    def change(original: NDArray[np.float32], random: np.random.Generator) -> Changed:
        where = foreground(original) if defects.skip_background else None
        return *defects(appearance(original, random), random, where=where), where

    return change


def on_segments(pictures: Pictures, segments: str) -> Change:
    """What SegAD does to a picture where it has no real defects: a blur or a rectangle on a segment.

    Args:
        pictures: that will be changed.
        segments: `one`, `object` (and ground, told by intensity), or the file of a map that fits them all.

    Raises:
        InputError: the map is missing or cannot be read.
        DataError: a map whose indices are wrong, or that does not fit a picture.
    """
    drawn = None
    if segments not in ("one", "object"):
        labels, path = read_segment_map(Path(segments)), Path(segments)
        paths = [sample.path for sample in pictures.samples]
        check_map_fits(path, (labels.shape[0], labels.shape[1]), paths, pictures.frame)
        drawn = to_frame_size(labels, pictures.frame)

    def labels_of(original: NDArray[np.float32]) -> Labels:
        if drawn is not None:
            return drawn
        whole = np.zeros(original.shape[1:], np.uint8)
        return foreground(original).astype(np.uint8) if segments == "object" else whole

    return lambda original, random: (*segment_defect(original, labels_of(original), random), None)


def draw_examples(pictures: Pictures, change: Change, *, seed: int) -> Iterator[Example]:
    """Change each picture as training does, from a seed of its own that other pictures do not move.

    Raises:
        InputError: a picture that cannot be read.
    """
    for index, sample in enumerate(pictures.samples):
        original = pictures[index]
        changed, mask, where = change(original, np.random.default_rng([seed, index]))
        yield Example(sample.path, original, changed, mask, where)


def contact_sheet(examples: Sequence[Example]) -> Picture:
    """Each example as a row of original, changed picture, outlined mask and mask: (H, W, 3) RGB.

    These are the rows of the thesis's figure 4.5, and between them the changed picture dimmed with its
    defects outlined, its background darker still where one was estimated. Beyond six rows the sheet has
    blocks side by side.
    """
    height, width = examples[0].mask.shape
    blocks = math.ceil(len(examples) / _MOST_ROWS)
    rows = math.ceil(len(examples) / blocks)
    row_height, block_width = height + CAPTION + GAP, len(TITLES) * (width + GAP) + GAP
    sheet = Image.new("RGB", (GAP + blocks * block_width, CAPTION + GAP + rows * row_height), PAPER)
    font, draw = ImageFont.load_default(14), ImageDraw.Draw(sheet)
    for block in range(blocks):
        for column, title in enumerate(TITLES):
            draw.text((GAP + block * block_width + column * (width + GAP), 4), title, INK, font)
    for index, example in enumerate(examples):
        left = GAP + (index // rows) * block_width
        top = CAPTION + 2 + (index % rows) * row_height
        truth = np.repeat(example.mask[..., None], 3, axis=2) * np.uint8(255)  # (H, W, 3)
        cells = (to_bytes(example.original), to_bytes(example.changed), _outlined(example), truth)
        for column, cell in enumerate(cells):
            sheet.paste(Image.fromarray(cell), (left + column * (width + GAP), top))
        name = f"{example.path.parent.name}/{example.path.name}"
        draw.text((left, top + height + 2), fitted(name, font, block_width - 2 * GAP), INK, font)
    return np.asarray(sheet)


def _outlined(example: Example) -> Picture:
    """The changed picture, dimmed, with its defects outlined: (H, W, 3)."""
    light = np.full(example.mask.shape, _DIM, np.float32)
    if example.where is not None:
        light[~example.where] = _DARK
    light[example.mask] = 1.0
    cell = to_bytes(example.changed * light)
    outlines, _ = cv2.findContours(example.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(cell, outlines, -1, _OUTLINE, max(1, round(min(example.mask.shape) / 250)))
    return cell
