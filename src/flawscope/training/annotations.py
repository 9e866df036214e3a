"""Drafts of annotations: a few pictures that differ most, and components found in them without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from flawscope.data.annotations.drafts import Drafts, drafted_shapes
from flawscope.data.annotations.order import ORDER, Component
from flawscope.data.annotations.partition import BACKGROUND
from flawscope.data.outputs import refuse_inside
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset, Sample, ordered, spread
from flawscope.data.segment_maps import picture_size
from flawscope.files import writable_folder
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch, batches
from flawscope.runtime.images import Frame
from flawscope.segmenters import FeatureClustersOptions, build_segmenter
from flawscope.segmenters.proposers import build_proposer
from flawscope.segmenters.pseudo_labels import make_labels
from flawscope.segmenters.pseudo_labels.folder import to_picture
from flawscope.segmenters.pseudo_labels.make import NoComponentsError, PseudoLabels
from flawscope.training.components import ComponentChoice

By = Literal["auto", "components", "clusters"]

_BATCH = 8
_CANDIDATES = 500  # pictures among which those to annotate are chosen
_SHOWN = 64  # pictures in which components are looked for
_THUMBNAIL = Frame(32, 32)
_CHOICE = 0xD2AF7


@dataclass(frozen=True, slots=True)
class DraftFacts:
    """Drafts that were written.

    Attributes:
        folder: where they are, each beside a copy of its picture.
        drafted: pictures that have a draft now.
        by_hand: chosen pictures whose annotation a person has made or corrected, which stayed as it was.
        components: names of the components, from the first that claims a pixel.
        shapes: how many polygons were drawn.
    """

    folder: Path
    drafted: tuple[Path, ...]
    by_hand: tuple[Path, ...]
    components: tuple[str, ...]
    shapes: int


def draft_annotations(
    dataset: Dataset,
    out: Path,
    run: Run,
    watch: Watch,
    *,
    count: int,
    choice: ComponentChoice,
    frame: Frame,
    by: By = "auto",
    segments: int | None = None,
) -> DraftFacts:
    """Draft annotations of `count` good pictures that differ most, for a person to correct in LabelMe.

    What a person has changed is never overwritten: neither an annotation nor the order of components.

    Args:
        dataset: with the good pictures.
        out: folder of the drafts.
        run: its seed decides, its device computes.
        watch: progress, stop signal, and what was found.
        count: how many pictures.
        choice: how components are found.
        frame: size at which they are.
        by: components that stand out from what they lie on; clusters of features, which cover the picture;
            auto takes these where nothing stands out.
        segments: how many clusters.

    Raises:
        DataError: as `make_labels`; two chosen pictures that differ in their ending alone.
        InputError: a picture that cannot be read.
        OptionError: a folder among the pictures.
        OutputError: the folder cannot be written.
    """
    refuse_inside(out, dataset)
    drafts, good = Drafts(writable_folder(out), dataset.root), dataset.good()
    chosen = far_apart(spread(good, _CANDIDATES), count, run, watch)
    todo = [sample for sample in chosen if not drafts.by_hand(drafts.place(sample))]
    by_hand = tuple(drafts.place(sample) for sample in chosen if sample not in todo)
    if not todo:
        return DraftFacts(out, (), by_hand, (), 0)
    seen = ordered({sample.path: sample for sample in (*chosen, *spread(good, _SHOWN))}.values())
    pictures = PictureFiles(seen, frame)  # the same, whatever was corrected: then classes keep their numbers
    labels = _found(pictures, run, watch, choice=choice, by=by, segments=segments)
    order, shapes = _smallest_first(labels), 0
    try:
        for sample, own in zip(seen, labels.maps, strict=True):
            if sample not in todo:
                continue
            height, width = picture_size(sample.path)
            coarse = max(height / frame.height, width / frame.width, 1.0)
            smallest = max(1, round(choice.labels.smallest * height * width))
            drawn = drafted_shapes(
                to_picture(own, frame, (height, width)),
                labels.names,
                order,
                tolerance=coarse,
                smallest=smallest,
            )
            drafts.write(sample, drawn, (height, width))
            shapes += len(drawn)
        if not drafts.write_order([Component(name) for name in order]):
            watch.say(f"{out / ORDER} stays as somebody has written it.")
    finally:
        drafts.note()
    return DraftFacts(out, tuple(drafts.place(sample) for sample in todo), by_hand, tuple(order), shapes)


def _found(
    pictures: PictureFiles, run: Run, watch: Watch, *, choice: ComponentChoice, by: By, segments: int | None
) -> PseudoLabels:
    """Label maps of the pictures, by components or by clusters."""
    if by != "clusters":
        try:
            return make_labels(pictures, build_proposer(choice.proposer), choice.labels, run, watch)
        except NoComponentsError as error:
            if by != "auto":
                raise
            otherwise = "Clusters of features are drafted in their place (--by clusters)."
            watch.say(f"No {error.what}: {error.got}. {otherwise}")
    segmenter = build_segmenter(FeatureClustersOptions(count=segments), pictures.frame)
    segmenter.fit(pictures, run, watch)
    with torch.inference_mode():
        maps = [
            segmenter(pixels).to(torch.uint8).cpu().numpy() + 1
            for pixels in batches(pictures, run, watch, "finding segments", _BATCH)
        ]
    names = (BACKGROUND, *(f"segment {number}" for number in range(1, segmenter.count + 1)))
    return PseudoLabels(np.concatenate(maps), np.ones(len(pictures), np.bool_), names)


def far_apart(samples: Sequence[Sample], count: int, run: Run, watch: Watch) -> list[Sample]:
    """Pictures that differ most, by thumbnails: each next one is the farthest from those before; seeded."""
    rows = list[NDArray[np.float32]]()
    pictures = PictureFiles(samples, _THUMBNAIL)
    with watch.stage("comparing pictures", len(pictures)) as stage:
        for picture in pictures:
            watch.check_stop(run)
            rows.append(picture.ravel())
            stage.advance()
    points = np.stack(rows)  # (n, 3 * 32 * 32)
    first = int(np.random.default_rng((run.seed, _CHOICE)).integers(len(points)))
    order, distance = [first], np.full(len(points), np.inf)
    while len(order) < min(count, len(points)):
        distance = np.minimum(distance, np.square(points - points[order[-1]]).sum(1))
        distance[order] = -1
        order.append(int(distance.argmax()))
    return [samples[index] for index in sorted(order)]


def _smallest_first(labels: PseudoLabels) -> list[str]:
    """Names of the components by the mean area in the pictures that show them."""
    areas = np.stack(
        [(labels.maps == label).mean((1, 2)) for label in range(len(labels.names))]
    )  # (K + 1, N)
    means = areas.sum(1) / np.maximum((areas > 0).sum(1), 1)
    return [labels.names[label] for label in np.argsort(means, kind="stable").tolist() if label]
