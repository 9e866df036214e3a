"""Evaluate a trained model on pictures with truth: detection, localisation, verdicts. No torch."""

from __future__ import annotations

import functools
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope import metrics
from flawscope.data.samples import GOOD, Dataset, Sample
from flawscope.errors import DataError
from flawscope.files import remembered_sha256
from flawscope.progress import Progress, Silent
from flawscope.runtime.images import pixels_in
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.prediction import Decision
from flawscope.runtime.record import Record, Truth, Views
from flawscope.station.localisation import Cuts, Localisation, look_at_masks
from flawscope.station.parts import PartRates, of_known_parts, part_rates, parts_drawn, told_of_parts
from flawscope.station.picture import Inspected, Wish, inspect_one
from flawscope.station.untold import untold_detection, untold_masks, untold_place

WAITING = 128_000_000  # pixels of heatmaps that may wait at once for their turn in the figures


@dataclass(frozen=True, slots=True)
class Rates:
    """Verdicts over one group of pictures, as shares in [0, 1]; whether the group counts as defective."""

    pictures: int
    accept: float
    review: float
    reject: float
    defective: bool = False
    auroc: float | None = None


@dataclass(slots=True)
class Evaluation:
    """All that was measured.

    Attributes:
        dataset: name and layout of the pictures.
        records: each picture's record with its truth, in the data set's order.
        known: pictures left out because the model has seen their content, or other pictures of their part.
        parts: by kind, `good` first, how many parts have a rejected picture; empty without groups.
        detection: image-level metrics by name, with 95 % bootstrap intervals where they have one.
        localisation: pixel-level metrics by name; empty without masks.
        kinds: verdict rates by kind, `good` first.
        overlap: the PRO accumulator, for curves; None without masks.
        defects: the sPRO accumulators by category, logical and structural, where the data set tells them.
        unmasked: defective pictures without a marked area, which pixel-level metrics leave out.
        misfits: pictures whose masks cannot be used, by path, and why; pixel-level metrics leave them out.
        untold: what could not be measured, or not be trusted, a sentence each, and why.
        views: small pictures, by path, of those that tell most: mistakes, then the highest scores.
    """

    dataset: Dataset
    records: list[Record] = field(default_factory=list)
    known: int = 0
    unmasked: int = 0
    misfits: dict[str, str] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)
    detection: dict[str, metrics.Interval] = field(default_factory=dict)
    localisation: dict[str, float] = field(default_factory=dict)
    kinds: dict[str, Rates] = field(default_factory=dict)
    parts: dict[str, PartRates] = field(default_factory=dict)
    overlap: metrics.RegionOverlap | None = None
    defects: dict[str, metrics.RegionOverlap] = field(default_factory=dict)
    views: dict[str, Views] = field(default_factory=dict)

    @property
    def readable(self) -> list[Record]:
        """Pictures that were inspected."""
        return [record for record in self.records if record.error is None]

    def truth(self, *, seen: bool | None = None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Labels (N,) 0 or 1 and scores (N,) of the readable pictures.

        Args:
            seen: beside the good ones only defects of kinds that may be learnt from (True), only those of
                withheld kinds (False), or all (None).
        """
        known = [(record.truth, record.rank) for record in self.readable if record.truth is not None]
        chosen = [pair for pair in known if seen is None or not pair[0].defective or pair[0].seen == seen]
        labels = np.array([truth.defective for truth, _ in chosen], np.int64)
        return labels, np.array([score for _, score in chosen], np.float64)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "dataset": self.dataset.name,
            "layout": self.dataset.layout,
            "pictures": len(self.records),
            "unreadable": len(self.records) - len(self.readable),
            "left_out_known_to_model": self.known,
            "left_out_of_data_set": {str(one.path): one.reason for one in self.dataset.left_out},
            "left_out_of_localisation_without_mask": self.unmasked,
            "left_out_of_localisation_with_unusable_mask": self.misfits,
            "not_told": self.untold,
            "detection": {name: _finite(interval._asdict()) for name, interval in self.detection.items()},
            "localisation": self.localisation,
            "kinds": {name: asdict(rates) for name, rates in self.kinds.items()},
            **({"parts": {name: asdict(rates) for name, rates in self.parts.items()}} if self.parts else {}),
        }


def evaluate(
    inspector: Inspector,
    dataset: Dataset,
    *,
    batch: int = 8,
    views: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Inspect the test pictures of `dataset` and compare with its truth.

    A data set without good test pictures is evaluated whole. Pictures whose content the model saw in
    training, tuning or calibration are left out and counted, so that no figure comes from them. All masks
    are read before the first picture is scored; those that cannot be used cost figures of place alone. What
    pictures of one class, or without masks, cannot tell is named. Small pictures are made of the `views` that
    tell most. Where pictures have groups, those of parts that the model has seen are left out too, and
    intervals are of parts drawn, not pictures.

    Raises:
        DataError: nothing is left to evaluate.
    """
    fresh, known = unseen(dataset, inspector)
    progress = progress or Silent()
    unusable, doubts = look_at_masks(fresh, progress)
    evaluation = Evaluation(dataset, known=len(known), misfits=unusable, untold=doubts)
    pixels, gallery = Localisation(dataset), _Gallery(dataset, views)
    heatmaps = False
    with progress.stage("evaluating", len(fresh)) as stage:
        work = functools.partial(_inspected, inspector, gallery.wants)
        for sample, inspected in zip(
            fresh, inspector.each(work, fresh, batch=_in_work(fresh, batch)), strict=True
        ):
            evaluation.records.append(inspected.record)
            if inspected.prediction is not None:
                usable = inspected.record.path not in evaluation.misfits
                heatmaps |= inspected.prediction.heatmap is not None
                if usable:
                    pixels.add(sample, inspected.prediction.heatmap)
                gallery.add(sample, inspected, cut=usable)
            stage.advance()
    evaluation.views = gallery.finished()
    evaluation.unmasked = pixels.unmasked
    evaluation.localisation = pixels.metrics()
    evaluation.overlap = pixels.overlap if pixels.overlap.usable else None
    evaluation.defects = {name: one for name, one in pixels.defects.items() if one.usable}
    labels, scores = evaluation.truth()
    drawn = parts_drawn(fresh, evaluation.records)
    if 0 < labels.sum() < len(labels):
        evaluation.detection = _detection(labels, scores, drawn)
    evaluation.kinds = _kinds(evaluation.readable)
    evaluation.parts = {} if drawn is None else part_rates(fresh, evaluation.records)
    evaluation.untold += untold_detection(evaluation.readable, known)
    if evaluation.readable and not evaluation.localisation:
        evaluation.untold += untold_place(
            dataset,
            evaluation.readable,
            heatmaps=heatmaps,
            unmasked=pixels.unmasked,
            misfits=len(evaluation.misfits),
        )
    elif pixels.unmasked:
        evaluation.untold.append(untold_masks(pixels.unmasked))
    return evaluation


def unseen(
    dataset: Dataset, *inspectors: Inspector, grouped: Sequence[Dataset] = ()
) -> tuple[list[Sample], list[Sample]]:
    """Test pictures whose content or part none of the models has seen, and those that one of them has.

    A data set without good test pictures counts whole. `grouped` is it in each model's own groups, where they
    differ.

    Raises:
        DataError: there is none that is new.
    """
    samples = dataset.select(split="test")
    if all(sample.defective for sample in samples):
        samples = dataset.samples
    manifests = [one.bundle.manifest for one in inspectors]
    seen = {picture.sha256 for manifest in manifests for picture in manifest.provenance.pictures}
    akin = of_known_parts(manifests, grouped or [dataset] * len(manifests))
    fresh, known = list[Sample](), list[Sample]()
    for sample in samples:
        (known if sample.path in akin or _digest(sample.path) in seen else fresh).append(sample)
    if not fresh:
        raise DataError(
            f"data set {dataset.name}",
            expected="test pictures that the model has not seen",
            got=f"{len(samples)} pictures, all of them known to it{told_of_parts(known, akin)}"
            if samples
            else "no picture at all",
            fix="Name a folder with other pictures.",
        )
    return fresh, known


def _digest(path: Path) -> str:
    """Of the file's content; empty where it cannot be read, which the inspection then reports."""
    try:
        return remembered_sha256(path)
    except OSError:
        return ""


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _in_work(samples: Iterable[Sample], batch: int) -> int:
    """How many pictures may be in work at once: heatmaps that wait take half a gigabyte at most."""
    largest = max((pixels_in(sample.path) for sample in samples), default=0)
    return max(1, min(batch, WAITING // max(largest, 1)))


def _inspected(inspector: Inspector, wants: Wish, sample: Sample) -> Inspected:
    truth = Truth(kind=sample.kind, defective=sample.defective, seen=sample.seen)
    return inspect_one(inspector, sample.path, truth=truth, views=wants, boxes=False)


class _Gallery:
    """Small pictures of mistakes and of the highest scores; at most `most`, so that memory stays bounded."""

    def __init__(self, dataset: Dataset, most: int) -> None:
        self._most, self._masked = most, dataset.masked
        self._heap: list[tuple[tuple[bool, float], str]] = []
        self._views: dict[str, Views] = {}
        self._cuts = Cuts()

    def wants(self, record: Record) -> bool:
        """Whether this one tells more than the least telling so far."""
        return len(self._heap) < self._most or (self._most > 0 and _telling(record) > self._heap[0][0])

    def add(self, sample: Sample, inspected: Inspected, *, cut: bool) -> None:
        """Keep the picture if it is among those that tell most; `cut` its map where its masks can be used."""
        record = inspected.record
        if inspected.views is not None and self.wants(record):
            self._views[record.path] = inspected.views
            heapq.heappush(self._heap, (_telling(record), record.path))
            if len(self._heap) > self._most:
                del self._views[heapq.heappop(self._heap)[1]]
        if cut and self._masked and self._most and inspected.prediction is not None:
            self._cuts.add(sample, inspected.prediction, self._views)

    def finished(self) -> dict[str, Views]:
        """The views by path, each with its map cut where F1 is highest, where there are masks."""
        for path, inset in self._cuts.insets().items():
            if (views := self._views.get(path)) is not None:  # others have taken its place since
                self._views[path] = replace(views, insets=(*views.insets, inset))
        return self._views


def _telling(record: Record) -> tuple[bool, float]:
    """Mistakes tell more than pictures judged rightly; among them, higher scores do."""
    mistake = record.truth is not None and record.truth.defective is not record.flagged
    return mistake, record.rank


def _detection(
    labels: NDArray[np.int64], scores: NDArray[np.float64], parts: list[str] | None
) -> dict[str, metrics.Interval]:
    return {
        "auroc": metrics.bootstrap_interval(metrics.auroc, labels, scores, groups=parts),
        "average_precision": metrics.bootstrap_interval(
            metrics.average_precision, labels, scores, groups=parts
        ),
        "max_f1": metrics.Interval(metrics.max_f1(labels, scores)[0]),
        "fpr_at_95_tpr": metrics.Interval(metrics.fpr_at_tpr(labels, scores)),
    }


def _kinds(records: list[Record]) -> dict[str, Rates]:
    good, defective = list[Record](), dict[str, list[Record]]()
    for record in records:
        if record.truth is not None:
            group = defective.setdefault(record.truth.kind, []) if record.truth.defective else good
            group.append(record)
    kinds = {GOOD: _rates(good, [])} if good else {}
    return kinds | {kind: _rates(defective[kind], good) for kind in sorted(defective)}


def _rates(group: list[Record], good: list[Record]) -> Rates:
    verdicts = [record.decision for record in group]
    shares = {verdict.value: verdicts.count(verdict) / len(group) for verdict in Decision}
    labels = [0] * len(good) + [1] * len(group)
    ranked = metrics.auroc(labels, [record.rank for record in (*good, *group)]) if good else None
    truth = group[0].truth
    return Rates(len(group), **shares, defective=truth is not None and truth.defective, auroc=ranked)
