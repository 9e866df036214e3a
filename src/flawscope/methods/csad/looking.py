"""A look at a few good pictures: whether there are components to compare, before minutes of training."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.samples import spread
from flawscope.data.training import TrainingData
from flawscope.methods.csad.options import CSADOptions
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.segmenters.components.options import ComponentsOptions
from flawscope.segmenters.proposers import build_proposer
from flawscope.segmenters.pseudo_labels.make import NoComponentsError, PseudoLabels, make_labels

LOOKED_AT = 24
_ALONE = 0.95  # share of good pictures that show too few components, from which on there is nothing to count
_SEVERAL = 4  # components from which on they can be compared, of whatever kinds


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
    return few(seen(labels))


def seen(labels: PseudoLabels) -> NDArray[np.intp]:
    """Connected components (N, K) of each class but the background in each label map."""
    return np.array(
        [
            [_connected(drawn == label) for label in range(1, len(labels.names))]  # (H, W)
            for drawn in labels.maps
        ]
    )


def few(components: NDArray[np.integer]) -> str:
    """That nearly all good pictures show too few components to compare, by their numbers (n, K); or nothing.

    Of a part and its mark, or of two halves of a picture, each in its place, patches tell more. So a picture
    shows too few where it has one by itself, or less than four of which no two are of a kind.

    >>> few(np.array([[1, 0], [0, 1], [1, 1]])), few(np.array([[2, 0], [2, 1]])), few(np.array([[1] * 4]))
    ('3 of 3 good pictures show no two components of a kind, nor four of any', '', '')
    """
    lone = (components.sum(1) < _SEVERAL) & (components.max(1, initial=0) < 2)
    count, found = len(components), int(lone.sum())
    said = f"{found} of {count} good pictures show no two components of a kind, nor four of any"
    return said if found >= _ALONE * count else ""


def _connected(mask: NDArray[np.bool_]) -> int:
    return cv2.connectedComponents(mask.astype(np.uint8))[0] - 1
