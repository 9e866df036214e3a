"""Where the component segmenter's label maps come from: annotated parts, or what a proposer finds."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from flawscope.data.annotations.partition import (
    classes_of,
    framed,
    partition,
    shown_classes,
    told_unseen,
)
from flawscope.data.pictures import Pictures
from flawscope.data.segment_maps import Labels
from flawscope.nn.run import Run
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.watch import Watch
from flawscope.segmenters.components.options import ComponentsOptions
from flawscope.segmenters.proposers import build_proposer
from flawscope.segmenters.pseudo_labels.make import PseudoLabels, make_labels


@dataclass(frozen=True)
class Labelling:
    """Pictures and what each of their pixels shows.

    Attributes:
        pictures: N of them.
        maps: (N, H, W) at the pictures' frame; 0 is the background.
        labelled: (N,) whether a picture's map is to be learnt; the others' mean nothing.
        names: of the classes, the background's first.
        ignored: classes that are to be told from the others and not to be judged.
    """

    pictures: Pictures
    maps: Labels
    labelled: NDArray[np.bool_]
    names: tuple[str, ...]
    ignored: tuple[int, ...] = ()


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
        names, _ = read_back(kept["names"])
        return PseudoLabels(kept["maps"].numpy(), kept["labelled"].numpy(), names)
    made = make_labels(pictures, proposer, options.labels, run, watch)
    tensors = {"maps": torch.from_numpy(made.maps), "labelled": torch.from_numpy(made.labelled)}
    store.save(name, {**tensors, "names": written(made.names)})
    return made


def written(names: tuple[str, ...], ignored: tuple[int, ...] = ()) -> torch.Tensor:
    """Names, and the numbers of those to be ignored, as the bytes of JSON, (B,) uint8; see `read_back`."""
    text = json.dumps({"names": names, "ignored": ignored})
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def read_back(titles: torch.Tensor) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """What `written` was given."""
    content = json.loads(bytes(titles.cpu().numpy()))
    return tuple(content["names"]), tuple(content["ignored"])


def annotated_labels(parts: Pictures, pictures: Pictures, run: Run, watch: Watch) -> Labelling:
    """Label maps of the pictures whose parts a person has annotated, a class for each name.

    Classes are numbered by order, then by name (`classes_of`); `partition` says which pixel is whose. Ignored
    components are classes, too: what shall be left out must be told from the rest. Those of which no picture
    shows a pixel are none (`shown_classes`).

    Args:
        parts: the annotated pictures.
        pictures: good ones; those that nobody has annotated are unlabelled.
        run: whose stop signal counts.
        watch: progress and stop signal.

    Raises:
        DataError: no part to judge, more classes than maps may have, or a mask that does not fit its picture.
        InputError: a picture or mask that cannot be read.
    """
    classes = classes_of(parts.samples)
    annotated = {sample.path for sample in parts.samples}
    others = [index for index, sample in enumerate(pictures.samples) if sample.path not in annotated]
    together, frame = parts + pictures.subset(others), parts.frame
    maps = np.zeros((len(together), frame.height, frame.width), np.uint8)
    with watch.stage("reading annotated parts", len(parts)) as stage:
        own = framed(parts.samples, frame, lambda sample: partition(sample, classes.names))
        for drawn, found in zip(maps, own, strict=False):
            watch.check_stop(run)
            drawn[:] = found
            stage.advance()
    known = np.arange(len(together)) < len(parts)
    classes, maps, unseen = shown_classes(classes, maps)
    if unseen:
        watch.say(told_unseen(unseen))
    return Labelling(together, maps, known, classes.names, classes.ignored)
