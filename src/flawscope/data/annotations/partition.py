"""From annotated parts that may overlap to a map in which every pixel belongs to one component at most.

Components lie in each other, from a screw's head to the board that it holds (Mask R-CNN's sub-classes in
SADSeM, section 3): a stated order says which of them a pixel belongs to, the first that claims it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from flawscope.data.annotations.sheet import Sheet
from flawscope.data.samples import PartSource, Sample
from flawscope.data.segment_maps import MOST_SEGMENTS, Labels, picture_size, resized, to_frame_size
from flawscope.errors import DataError
from flawscope.runtime.images import Frame

BACKGROUND = "background"
_WHY = "beside the picture, under others, or too small"


@dataclass(frozen=True, slots=True)
class Classes:
    """What the numbers of a partition mean.

    Attributes:
        names: of the components, those of lower order first; names[0] is the background.
        ignored: numbers of those that are marked as none to judge.
    """

    names: tuple[str, ...]
    ignored: tuple[int, ...]


def classes_of(samples: Iterable[Sample]) -> Classes:
    """The components that are annotated in any of the samples, by their order, then by name.

    Raises:
        DataError: none, more than a map may have, or none that is to be judged.
    """
    ranks, ignored = dict[str, int](), set[str]()
    for sample in samples:
        for part in sample.parts:
            ranks[part.name] = min(part.order, ranks.get(part.name, part.order))
            if part.ignore:
                ignored.add(part.name)
    names = sorted(set(ranks) - {BACKGROUND}, key=lambda name: (ranks[name], name))
    if not 1 <= len(names) < MOST_SEGMENTS or ignored.issuperset(names):
        judged = len(set(names) - ignored)
        raise DataError(
            "annotated parts",
            expected=f"parts of 1 to {MOST_SEGMENTS - 1} names, one of them not ignored",
            got=f"{len(names)} names, {judged} not ignored" if names else "0 names",
            fix="Annotate parts that are to be learnt, and name equal ones alike.",
        )
    return _classes(names, ignored)


def _classes(names: Sequence[str], ignored: Container[str]) -> Classes:
    """Those names after the background's."""
    return Classes(
        (BACKGROUND, *names), tuple(index for index, name in enumerate(names, 1) if name in ignored)
    )


def shown_classes(classes: Classes, maps: Labels) -> tuple[Classes, Labels, tuple[str, ...]]:
    """The classes that have a pixel in any map (n, H, W), the maps in their numbers, and the others' names.

    Shapes beside the picture, under others, or too small for the maps' size leave none, and nothing can be
    learnt of such a class.

    Raises:
        DataError: no class that is to be judged has a pixel.
    """
    shown = np.zeros(len(classes.names), np.bool_)
    for labels in maps:
        shown[np.unique(labels)] = True
    shown[0] = True
    unseen = tuple(name for name, there in zip(classes.names, shown.tolist(), strict=True) if not there)
    if not unseen:
        return classes, maps, ()
    ignored = {classes.names[index] for index in classes.ignored}
    names = [name for name in classes.names[1:] if name not in unseen]
    if ignored.issuperset(names):
        height, width = maps.shape[1:]
        raise DataError(
            "annotated parts",
            expected=f"one that is not ignored, with a pixel in a picture at {width}x{height}",
            got=f"none of {', '.join(unseen)}: {_WHY}",
            fix="See what `flawscope annotate check` says of them, or raise the size.",
        )
    numbers = (np.cumsum(shown) - 1).astype(np.uint8)
    return _classes(names, ignored), np.asarray(numbers[maps]), unseen


def told_unseen(names: Sequence[str]) -> str:
    """What the user should know of classes that `shown_classes` left out."""
    return f"Not learnt, for no annotated picture shows a pixel of them: {', '.join(names)} ({_WHY})."


def partition(sample: Sample, names: Sequence[str]) -> Labels:
    """The picture's components at its own size, (H, W) of numbers into `names`; 0 where nothing is claimed.

    Args:
        sample: with annotated parts.
        names: of the components, the background's first; see `classes_of`.

    Raises:
        InputError: a picture or an annotation that cannot be read.
        DataError: an annotation of another size than the picture, or a part of another name.
    """
    numbers = {name: index for index, name in enumerate(names)}
    unknown = [part.name for part in sample.parts if part.name not in numbers]
    if unknown:
        raise DataError(
            f"annotation of {sample.path}",
            expected=f"parts called {', '.join(names[1:])}",
            got=f"one called {unknown[0]}",
            fix="Rename it, or annotate it in a picture to learn from.",
        )
    return painted(sample.parts, [numbers[part.name] for part in sample.parts], picture_size(sample.path))


def framed(samples: Iterable[Sample], frame: Frame, draw: Callable[[Sample], Labels]) -> Iterator[Labels]:
    """A map (height, width) at the frame for each sample; tiles get their part of their picture's map.

    One map is held at a time: `draw` is asked once for all tiles of a picture that follow one another.

    Args:
        samples: pictures or tiles.
        frame: of the maps.
        draw: makes the map (H, W) of a sample's picture at its own size.
    """
    for _, tiles in groupby(samples, key=lambda sample: sample.path):
        labels, scaled = None, None
        for sample in tiles:
            labels = draw(sample) if labels is None else labels
            if sample.tile is None or sample.tile.placement.whole:
                yield to_frame_size(labels, frame, sample.tile)
                continue
            scaled = resized(labels, sample.tile.placement.inner) if scaled is None else scaled
            yield to_frame_size(scaled, frame, sample.tile)


def ignored_area(parts: Sequence[PartSource], height: int, width: int) -> NDArray[np.bool_]:
    """Where what is seen is marked as none to judge, (height, width); parts that lie upon it are not.

    Raises:
        InputError, DataError: as `partition`.
    """
    if not any(part.ignore for part in parts):
        return np.zeros((height, width), np.bool_)
    return painted(parts, [int(part.ignore) for part in parts], (height, width)) > 0


def painted(parts: Sequence[PartSource], values: Sequence[int], size: tuple[int, int]) -> Labels:
    """Each part's value where it is the first of the order that claims the pixel, (H, W); else 0.

    Of parts of equal order the first given claims first.
    """
    labels, sheet = np.zeros(size, np.uint8), Sheet(*size)
    for index in sorted(range(len(parts)), key=lambda index: (parts[index].order, index), reverse=True):
        box, mask = sheet.draw(parts[index])
        labels[box][mask] = values[index]
    return labels
