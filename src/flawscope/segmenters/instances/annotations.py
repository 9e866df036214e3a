"""What Mask R-CNN learns of annotated parts: an instance is one connected area of a class, or one shape.

Label maps and crowds tell classes alone, and there each connected area counts as one instance. Where each
part is annotated as a shape of its own, an instance is what the partition leaves of it, in pieces or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.annotations.partition import (
    BACKGROUND,
    Classes,
    classes_of,
    framed,
    painted,
    partition,
    shown_classes,
)
from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import Labels, picture_size
from flawscope.errors import DataError
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.holding import classes_shown

_MOST_PIECES = 255


@dataclass(frozen=True)
class Annotated:
    """Annotated pictures and their partitions.

    Attributes:
        pictures: n of them.
        maps: (n, H, W) at the pictures' frame; 0 is the ground.
        pieces: (n, H, W), which part of its class a pixel is of, from 1 on; 0 where the part is a crowd.
        classes: names, the ground's first, and those that nobody wants judged, which are learnt all the same.
        unseen: names of annotated classes that are none of these, for no picture shows a pixel of them.
    """

    pictures: Pictures
    maps: Labels
    pieces: Labels
    classes: Classes
    unseen: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, the ground's first."""
        return self.classes.names

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All that is annotated: maps, pieces, and the classes' names and marks as bytes."""
        classes = repr((self.classes, claiming(self))).encode()
        return self.maps, self.pieces, np.frombuffer(classes, np.uint8)

    def most_instances(self, smallest: int) -> int:
        """How many instances of so many pixels or more the fullest of the pictures shows."""
        return max(
            len(instances(labels, pieces, smallest)[1]) - 1
            for labels, pieces in zip(self.maps, self.pieces, strict=True)
        )

    @cached_property
    def shown(self) -> NDArray[np.bool_]:
        """Which picture shows which class, (n, K + 1)."""
        return classes_shown(self.maps, len(self.names))

    def subset(self, indices: NDArray[np.intp]) -> Annotated:
        """The pictures at `indices`, in that order."""
        return Annotated(
            self.pictures.subset(indices.tolist()), self.maps[indices], self.pieces[indices], self.classes
        )


def read_annotated(parts: Pictures | None, run: Run, watch: Watch) -> Annotated:
    """The partitions of pictures whose parts a person has annotated, at the pictures' frame.

    Raises:
        DataError: none, or as `classes_of`, `shown_classes` and `partition`.
        InputError: a picture or mask that cannot be read.
        Stopped: the stop signal was set.
    """
    if parts is None or not len(parts):
        raise DataError(
            "annotated pictures for segments of kind instances",
            expected="about ten pictures whose parts somebody has annotated",
            got="none",
            fix="Draft annotations to correct with `flawscope annotate init`.",
        )
    drawn = _partitioned(parts, classes_of(parts.samples), run, watch)
    classes, maps, unseen = shown_classes(drawn.classes, drawn.maps)
    return replace(drawn, maps=maps, classes=classes, unseen=unseen)


def resized(annotated: Annotated, frame: Frame, run: Run, watch: Watch) -> Annotated:
    """The same at another frame, read anew; raises as `read_annotated`."""
    return _partitioned(annotated.pictures.resized(frame), annotated.classes, run, watch)


def _partitioned(parts: Pictures, classes: Classes, run: Run, watch: Watch) -> Annotated:
    frame = parts.frame
    maps, pieces = np.zeros((2, len(parts), frame.height, frame.width), np.uint8)
    samples = [_known(sample, classes) for sample in parts.samples]
    own = framed(samples, frame, lambda sample: partition(sample, classes.names))
    single = framed(samples, frame, _singles)
    with watch.stage("reading annotated parts", len(parts)) as stage:
        for row, (labels, numbers) in enumerate(zip(own, single, strict=True)):
            watch.check_stop(run)
            maps[row], pieces[row] = labels, numbers
            stage.advance()
    return Annotated(parts, maps, pieces, classes)


def _known(sample: Sample, classes: Classes) -> Sample:
    """The sample without parts of other classes, which no picture shows at the size that it is learnt at."""
    names = {BACKGROUND, *classes.names}
    return replace(sample, parts=tuple(part for part in sample.parts if part.name in names))


def _singles(sample: Sample) -> Labels:
    """Which part of its name each pixel is of, (H, W), from 1 on; 0 where the part is a crowd."""
    counts, numbers = Counter[str](), list[int]()
    for part in sample.parts:
        counts[part.name] += 1
        numbers.append(0 if part.crowd or counts[part.name] > _MOST_PIECES else counts[part.name])
    size = picture_size(sample.path)
    return painted(sample.parts, numbers, size) if any(numbers) else np.zeros(size, np.uint8)


def claiming(annotated: Annotated) -> tuple[int, ...]:
    """Classes in the order in which they claim pixels.

    That of the annotations (`PartSource.order`). Among classes that they leave equal, those of smaller
    instances come first, since annotators go from the whole to its details (section 3.1).
    """
    names, stated = annotated.names, dict[str, int]()
    for sample in annotated.pictures.samples:
        for part in sample.parts:
            stated[part.name] = min(part.order, stated.get(part.name, part.order))
    pixels, counts = np.zeros(len(names)), np.zeros(len(names))
    for labels, pieces in zip(annotated.maps, annotated.pieces, strict=True):
        numbers, classes = instances(labels, pieces, 1)
        np.add.at(pixels, classes, np.bincount(numbers.ravel(), minlength=len(classes)))
        np.add.at(counts, classes, 1)
    sizes = pixels / np.maximum(counts, 1)
    return tuple(sorted(range(1, len(names)), key=lambda label: (stated[names[label]], sizes[label])))


def instances(labels: Labels, pieces: Labels, smallest: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number the instances of a picture from 1 on.

    Args:
        labels: (H, W); 0 is no instance.
        pieces: (H, W); pixels of one class and one number other than 0 are one instance, those of number 0
            as many as there are areas of a class whose sides or corners touch.
        smallest: pixels below which an instance has number 0, too.

    Returns:
        Numbers (H, W), and the class of each number, (m + 1,), 0 of number 0.
    """
    kinds, which = np.unique((labels.astype(np.int32) << 8) + pieces, return_inverse=True)
    which = which.reshape(labels.shape)
    numbers, classes = np.zeros(labels.shape, np.int32), [0]
    whole, sizes = np.zeros(len(kinds), np.int32), np.bincount(which.ravel())
    for index, kind in enumerate(kinds.tolist()):
        label, piece = kind >> 8, kind & _MOST_PIECES
        if label and piece and sizes[index] >= smallest:
            whole[index] = len(classes)
            classes.append(label)
        elif label and not piece:
            _, areas = cv2.connectedComponents((which == index).astype(np.uint8), connectivity=8)
            large = np.bincount(areas.ravel()) >= smallest
            large[0] = False
            table = np.where(large, np.cumsum(large) + len(classes) - 1, 0).astype(np.int32)
            numbers += table[areas]
            classes += [label] * int(large.sum())
    return numbers + whole[which], np.array(classes, np.int64)


def target(numbers: NDArray[np.int32], classes: NDArray[np.int64], smallest: int) -> Mapping[str, Tensor]:
    """What torchvision's losses want of a picture, or of a piece cut out of it.

    Args:
        numbers: (h, w) of `instances`.
        classes: of each number.
        smallest: visible pixels below which an instance does not count here.

    Returns:
        Boxes (m, 4) around whole pixels, whose middles have whole numbers, labels (m,), and masks (m, h, w)
        uint8.
    """
    counts = np.bincount(numbers.ravel(), minlength=len(classes))
    counts[0] = 0
    chosen = np.flatnonzero(counts >= smallest)
    masks = numbers[None] == chosen[:, None, None]  # (m, h, w)
    boxes = np.zeros((len(chosen), 4), np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box[:] = x[0] - 0.5, y[0] - 0.5, x[-1] + 0.5, y[-1] + 0.5
    return {
        "boxes": torch.from_numpy(boxes),
        "labels": torch.from_numpy(classes[chosen]),
        "masks": torch.from_numpy(masks.astype(np.uint8)),
    }
