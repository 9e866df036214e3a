"""Where the component segmenter's label maps come from: annotated parts, or what a proposer finds."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import MOST_SEGMENTS, Labels, picture_size, to_frame_size
from flawscope.errors import DataError
from flawscope.nn.run import Run
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.watch import Watch
from flawscope.segmenters.components.losses import IGNORED
from flawscope.segmenters.components.options import ComponentsOptions
from flawscope.segmenters.proposers import build_proposer
from flawscope.segmenters.pseudo_labels.make import BACKGROUND, PseudoLabels, make_labels


@dataclass(frozen=True)
class Labelling:
    """Pictures and what each of their pixels shows.

    Attributes:
        pictures: N of them.
        maps: (N, H, W) at the pictures' frame; 0 is the background, `IGNORED` what nobody shall learn.
        labelled: (N,) whether a picture's map is to be learnt; the others' mean nothing.
        names: of the classes, the background's first.
    """

    pictures: Pictures
    maps: Labels
    labelled: NDArray[np.bool_]
    names: tuple[str, ...]


def label(
    pictures: Pictures, parts: Pictures | None, options: ComponentsOptions, run: Run, watch: Watch
) -> Labelling:
    """What a decoder learns from: annotated parts where there are any, else pseudo-labels of good pictures.

    Args:
        pictures: good ones.
        parts: pictures with annotated parts, or None.
        options: which proposer, and how its masks become labels.
        run: its device computes.
        watch: progress, stop signal, and what was found.

    Raises:
        DataError: as `annotated_labels` and `make_labels`.
        WeightsError, InputError, Stopped: as those.
    """
    if parts is not None:
        return annotated_labels(parts, pictures, run, watch)
    found = _pseudo_labels(pictures, options, run, watch)
    return Labelling(pictures, found.maps, found.labelled, found.names)


def _pseudo_labels(pictures: Pictures, options: ComponentsOptions, run: Run, watch: Watch) -> PseudoLabels:
    """What `make_labels` makes, or made before a stop; maps that a person gives are read anew."""
    proposer, store = build_proposer(options.proposer), run.checkpoints
    if store is None or not proposer.repeatable:
        return make_labels(pictures, proposer, options.labels, run, watch)
    frame = pictures.frame
    placed = np.array([frame.height, frame.width, frame.aspect == "pad"])
    name = f"labels-{fingerprint(options, run, (pictures,), arrays=(placed,))}"
    kept = store.load(name)
    if kept is not None:
        names = tuple(json.loads(bytes(kept["names"].numpy())))
        return PseudoLabels(kept["maps"].numpy(), kept["labelled"].numpy(), names)
    made = make_labels(pictures, proposer, options.labels, run, watch)
    tensors = {"maps": torch.from_numpy(made.maps), "labelled": torch.from_numpy(made.labelled)}
    store.save(name, {**tensors, "names": written(made.names)})
    return made


def written(names: tuple[str, ...]) -> torch.Tensor:
    """Names as the bytes of JSON, (B,) uint8."""
    return torch.frombuffer(bytearray(json.dumps(names).encode()), dtype=torch.uint8)


def annotated_labels(parts: Pictures, pictures: Pictures, run: Run, watch: Watch) -> Labelling:
    """Label maps of the pictures whose parts a person has annotated, a class for each name.

    Classes are numbered by rank (`PartSource.order`), then by name. A pixel belongs to the part of the lowest
    rank that covers it; one of a part that is to be ignored is ignored.

    Args:
        parts: the annotated pictures.
        pictures: good ones; those that nobody has annotated are unlabelled.
        run: whose stop signal counts.
        watch: progress and stop signal.

    Raises:
        DataError: no part to learn, more classes than maps may have, or a mask that does not fit its picture.
        InputError: a picture or mask that cannot be read.
    """
    ranks: dict[str, int] = {}
    for sample in parts.samples:
        for part in sample.parts:
            if not part.ignore:
                ranks[part.name] = min(part.order, ranks.get(part.name, part.order))
    names = (BACKGROUND, *sorted(ranks, key=lambda name: (ranks[name], name)))
    if not 2 <= len(names) <= MOST_SEGMENTS:
        raise DataError(
            "annotated parts",
            expected=f"parts of 1 to {MOST_SEGMENTS - 1} names",
            got=f"{len(names) - 1} names",
            fix="Annotate parts that are to be learnt, and name equal ones alike.",
        )
    annotated = {sample.path for sample in parts.samples}
    others = [index for index, sample in enumerate(pictures.samples) if sample.path not in annotated]
    together, frame = parts + pictures.subset(others), parts.frame
    maps = np.zeros((len(together), frame.height, frame.width), np.uint8)
    with watch.stage("reading annotated parts", len(parts)) as stage:
        for drawn, sample in zip(maps, parts.samples, strict=False):
            watch.check_stop(run)
            drawn[:] = to_frame_size(_drawn(sample, names), frame)
            stage.advance()
    return Labelling(together, maps, np.arange(len(together)) < len(parts), names)


def _drawn(sample: Sample, names: tuple[str, ...]) -> Labels:
    """The picture's labels (H, W) at its own size."""
    height, width = picture_size(sample.path)
    labels = np.zeros((height, width), np.uint8)
    for part in sorted(sample.parts, key=lambda part: -part.order):
        labels[part.read(height, width)] = IGNORED if part.ignore else names.index(part.name)
    return labels
