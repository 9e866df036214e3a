"""Drafts of annotations: a few pictures that differ most, and components found in them without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flawscope.data.annotations.drafts import Drafts, drafted_shapes
from flawscope.data.annotations.order import ORDER, Component
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset, Sample, spread
from flawscope.data.segment_maps import picture_size
from flawscope.files import writable_folder
from flawscope.runtime.images import Frame
from flawscope.segmenters.proposers import build_proposer
from flawscope.segmenters.pseudo_labels import make_labels
from flawscope.segmenters.pseudo_labels.folder import to_picture
from flawscope.segmenters.pseudo_labels.make import PseudoLabels
from flawscope.training.components import ComponentChoice, refuse_inside

if TYPE_CHECKING:
    from flawscope.nn.run import Run
    from flawscope.nn.watch import Watch

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
    dataset: Dataset, out: Path, run: Run, watch: Watch, *, count: int, choice: ComponentChoice, frame: Frame
) -> DraftFacts:
    """Draft annotations of `count` good pictures that differ most, for a person to correct in LabelMe.

    What a person has changed is never overwritten: neither an annotation nor the order of components.

    Raises:
        DataError: as `make_labels`.
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
    others = [sample for sample in spread(good, _SHOWN) if sample not in todo]
    pictures = PictureFiles([*todo, *others], frame)
    labels = make_labels(pictures, build_proposer(choice.proposer), choice.labels, run, watch)
    order, shapes = _smallest_first(labels), 0
    try:
        for sample, own in zip(todo, labels.maps, strict=False):
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
