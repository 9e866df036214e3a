"""A look at a few good pictures: whether there are components to compare, before minutes of training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flawscope.data.samples import spread
from flawscope.data.training import TrainingData
from flawscope.methods.csad.options import CSADOptions
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.segmenters.components.options import ComponentsOptions
from flawscope.segmenters.proposers import build_proposer
from flawscope.segmenters.pseudo_labels.filters import filled, regions
from flawscope.segmenters.pseudo_labels.make import NoComponentsError, PseudoLabels, make_labels

LOOKED_AT = 24
_ALONE = 0.95  # share of good pictures that show too few components, from which on there is nothing to count
_SEVERAL = 4  # components from which on they can be compared, of whatever kinds
_HALF = 0.5  # share of a picture beyond which a component is what others lie on


def nothing_to_compare(data: TrainingData, options: CSADOptions, run: Run, watch: Watch) -> str:
    """Why components of these good pictures could not be compared; empty where they could.

    Label maps of 24 pictures are made as for training. Components that are annotated, or found by another
    segmenter, are compared as they are, and so are those of a model that counts none.

    Raises:
        OptionError, WeightsError, InputError: as `make_labels`.
        Stopped: the stop signal was set.
    """
    segments, pictures = options.segments, data.normal
    if data.parts is not None or options.counts is None or not isinstance(segments, ComponentsOptions):
        return ""
    some = pictures.subset(spread(range(len(pictures)), LOOKED_AT))
    quiet = Watch(progress=watch.progress, stop=watch.stop)
    try:
        labels = make_labels(some, build_proposer(segments.proposer), segments.labels, run, quiet)
    except NoComponentsError as error:
        return str(error).rstrip(".")
    return few(*seen(labels))


def seen(labels: PseudoLabels) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Connected components (N, K) of each class but the background in N label maps, and the loose ones (N,).

    Loose are those that cover at most half of the picture and lie in no other such component.
    """
    numbers, loose = [], []
    for drawn in labels.maps:  # (H, W)
        masks = [regions((drawn == label).astype(np.uint8)) for label in range(1, len(labels.names))]
        numbers.append([len(of_class) for of_class in masks])
        loose.append(_loose([mask for of_class in masks for mask in of_class]))
    return np.array(numbers), np.array(loose)


def few(numbers: NDArray[np.integer], loose: NDArray[np.integer]) -> str:
    """That nearly all good pictures show too few components to compare, by what `seen` tells; or nothing.

    Of a part and its mark, or of what fills a picture and a strip beside it, patches tell more. A picture
    shows too few where less than two are loose, less than four are there, and no two are of a kind.

    >>> few(np.array([[1, 0], [0, 1], [1, 1]]), np.array([1, 1, 1]))
    '3 of 3 good pictures show no two components of a kind, nor beside each other'
    >>> few(np.array([[2], [2]]), np.array([1, 1])), few(np.array([[1, 1]]), np.array([2]))
    ('', '')
    """
    several, pairs = numbers.sum(1) >= _SEVERAL, numbers.max(1, initial=0) > 1
    lone = ~(several | pairs | (loose > 1))
    said = "show no two components of a kind, nor beside each other"
    found, count = int(lone.sum()), len(lone)
    return f"{found} of {count} good pictures {said}" if found >= _ALONE * count else ""


def single(components: NDArray[np.generic]) -> str:
    """That nearly all good pictures show one component or none, by their numbers (n,); else nothing.

    >>> single(np.array([1, 1, 0])), single(np.array([1, 2, 2]))
    ('3 of 3 good pictures show no two components', '')
    """
    lone, count = int((components <= 1).sum()), len(components)  # type: ignore[operator]
    return f"{lone} of {count} good pictures show no two components" if lone >= _ALONE * count else ""


def _loose(masks: Sequence[NDArray[np.bool_]]) -> int:
    """How many of the components (H, W) cover at most half of the picture, and lie in no other such one."""
    parts = [mask for mask in masks if mask.mean() <= _HALF]
    areas = [filled(part) for part in parts]
    return sum(
        not any(area[part].all() for index, area in enumerate(areas) if index != number)
        for number, part in enumerate(parts)
    )
