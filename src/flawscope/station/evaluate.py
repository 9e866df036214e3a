"""Evaluate a trained model on pictures with truth: detection, localisation, verdicts. No torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.data.masks import defect_areas, union_mask
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import DataError, FlawscopeError
from flawscope.files import remembered_sha256, write_text
from flawscope.metrics import (
    Interval,
    PixelRanking,
    RegionOverlap,
    Saturation,
    auroc,
    average_precision,
    bootstrap_interval,
    fpr_at_tpr,
    max_f1,
)
from flawscope.progress import Progress, Silent
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.prediction import Decision, Prediction
from flawscope.station.results import plain_cell

Watcher = Callable[[Sample, Prediction | FlawscopeError], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """One test picture's truth and answer; `score` is NaN where the picture could not be read."""

    sample: Sample
    score: float
    p_value: float
    decision: Decision | None
    findings: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """Verdicts over one group of pictures, as shares in [0, 1]."""

    pictures: int
    accept: float
    review: float
    reject: float
    auroc: float | None = None


@dataclass(slots=True)
class Evaluation:
    """All that was measured.

    Attributes:
        dataset: name and layout of the pictures.
        judged: each picture's answer, in the data set's order.
        known: pictures left out because the model has seen their content.
        detection: image-level metrics by name, with 95 % bootstrap intervals where they have one.
        localisation: pixel-level metrics by name; empty without masks.
        kinds: verdict rates by kind, `good` first.
        overlap: the PRO accumulator, for curves; None without masks.
    """

    dataset: Dataset
    judged: list[Judged] = field(default_factory=list)
    known: int = 0
    unmasked: int = 0
    detection: dict[str, Interval] = field(default_factory=dict)
    localisation: dict[str, float] = field(default_factory=dict)
    kinds: dict[str, Rates] = field(default_factory=dict)
    overlap: RegionOverlap | None = None

    @property
    def readable(self) -> list[Judged]:
        """Pictures that were inspected."""
        return [entry for entry in self.judged if entry.error is None]

    def truth(self, *, seen: bool | None = None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Labels (N,) 0 or 1 and scores (N,) of the readable pictures.

        Args:
            seen: beside the good ones only defects of kinds that may be learnt from (True), only those of
                withheld kinds (False), or all (None).
        """
        entries = [
            entry
            for entry in self.readable
            if seen is None or not entry.sample.defective or entry.sample.seen == seen
        ]
        labels = np.array([entry.sample.defective for entry in entries], np.int64)
        return labels, np.array([entry.score for entry in entries], np.float64)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "dataset": self.dataset.name,
            "layout": self.dataset.layout,
            "pictures": len(self.judged),
            "unreadable": len(self.judged) - len(self.readable),
            "left_out_known_to_model": self.known,
            "left_out_of_localisation_without_mask": self.unmasked,
            "detection": {name: _finite(interval._asdict()) for name, interval in self.detection.items()},
            "localisation": self.localisation,
            "kinds": {
                name: {
                    key: getattr(rates, key) for key in ("pictures", "accept", "review", "reject", "auroc")
                }
                for name, rates in self.kinds.items()
            },
        }


def evaluate(
    inspector: Inspector,
    dataset: Dataset,
    *,
    batch: int = 8,
    progress: Progress | None = None,
    watcher: Watcher = lambda sample, answer: None,
) -> Evaluation:
    """Inspect the test pictures of `dataset` and compare with its truth.

    A data set without good test pictures is evaluated whole. Pictures whose content the model saw in
    training, tuning or calibration are left out and counted, so that no figure comes from them.

    Raises:
        DataError: nothing is left to evaluate.
    """
    samples = dataset.select(split="test")
    if all(sample.defective for sample in samples):
        samples = dataset.samples
    seen = {picture.sha256 for picture in inspector.bundle.manifest.provenance.pictures}
    fresh = [sample for sample in samples if _digest(sample.path) not in seen]
    if not fresh:
        raise DataError(
            f"data set {dataset.name}",
            expected="test pictures that the model has not seen",
            got=f"{len(samples)} pictures, all of them known to it",
            fix="Name a folder with other pictures.",
        )
    evaluation = Evaluation(dataset, known=len(samples) - len(fresh))
    pixels = _Localisation(dataset)
    with (progress or Silent()).stage("evaluating", len(fresh)) as stage:
        for sample, answer in _answers(inspector, fresh, batch):
            evaluation.judged.append(_judged(sample, answer))
            if isinstance(answer, Prediction):
                pixels.add(sample, answer)
            watcher(sample, answer)
            stage.advance()
    evaluation.unmasked = pixels.unmasked
    evaluation.localisation = pixels.metrics()
    evaluation.overlap = pixels.overlap if pixels.usable else None
    labels, scores = evaluation.truth()
    if 0 < labels.sum() < len(labels):
        evaluation.detection = _detection(labels, scores)
    evaluation.kinds = _kinds(evaluation.readable)
    return evaluation


def _digest(path: Path) -> str:
    """Of the file's content; empty where it cannot be read, which the inspection then reports."""
    try:
        return remembered_sha256(path)
    except OSError:
        return ""


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if np.isfinite(value)}


def write_pictures(path: Path, evaluation: Evaluation) -> None:
    """Write a table with a row a picture: path, kind, truth, score, p-value, verdict, error."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(("path", "kind", "defective", "score", "p_value", "decision", "error"))
    for entry in evaluation.judged:
        sample, known = entry.sample, entry.error is None
        numbers = (entry.score, entry.p_value, entry.decision) if known else ("", "", "")
        names = (plain_cell(str(sample.path)), plain_cell(sample.kind))
        table.writerow((*names, int(sample.defective), *numbers, entry.error or ""))
    write_text(path, text.getvalue())


def _answers(
    inspector: Inspector, samples: list[Sample], batch: int
) -> Iterator[tuple[Sample, Prediction | FlawscopeError]]:
    answers = inspector.inspect_many([sample.path for sample in samples], batch=batch)
    for sample, (_, answer) in zip(samples, answers, strict=True):
        yield sample, answer


def _judged(sample: Sample, answer: Prediction | FlawscopeError) -> Judged:
    if isinstance(answer, FlawscopeError):
        return Judged(sample, float("nan"), float("nan"), None, error=str(answer))
    texts = tuple(finding.text for finding in answer.findings)
    return Judged(sample, answer.score, answer.p_value, answer.decision, texts)


class _Localisation:
    """Pixel metrics, fed picture by picture at each picture's own resolution."""

    def __init__(self, dataset: Dataset) -> None:
        self._masked = dataset.masked
        self._loco = any(sample.category for sample in dataset)
        self.ranking, self.overlap = PixelRanking(), RegionOverlap()
        self.defects = {name: RegionOverlap() for name in ("logical", "structural")} if self._loco else {}
        self.unmasked = 0
        self._defective = 0
        self._normal = 0

    @property
    def usable(self) -> bool:
        return self._defective > 0 and self._normal > 0

    def add(self, sample: Sample, prediction: Prediction) -> None:
        heatmap = prediction.heatmap
        if not self._masked or heatmap is None:
            return
        mask = union_mask(sample, *heatmap.shape)
        if sample.defective and not mask.any():
            self.unmasked += 1
            return
        self._defective += int(mask.any())
        self._normal += int(not mask.all())
        self.ranking.update(mask, heatmap)
        self.overlap.update(mask, heatmap)
        for name, overlap in self.defects.items():
            if sample.category == name:
                areas = list(defect_areas(sample, *heatmap.shape))
                limits = [Saturation(pixels) for _, pixels in areas]
                overlap.update_defects(np.stack([area for area, _ in areas]), heatmap, limits)
            elif not sample.defective:
                overlap.update_defects(None, heatmap)

    def metrics(self) -> dict[str, float]:
        if not self.usable:
            return {}
        ranked = self.ranking.compute()
        found = {
            "pixel_auroc": ranked.auroc,
            "pixel_average_precision": ranked.average_precision,
            "aupro_30": self.overlap.compute(0.3),
            "aupro_05": self.overlap.compute(0.05),
        }
        for name, overlap in self.defects.items():
            try:
                found[f"au_spro_05_{name}"] = overlap.compute(0.05)
            except FlawscopeError:
                continue
        return found


def _detection(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> dict[str, Interval]:
    f1, _ = max_f1(labels, scores)
    fpr = fpr_at_tpr(labels, scores)
    return {
        "auroc": bootstrap_interval(auroc, labels, scores),
        "average_precision": bootstrap_interval(average_precision, labels, scores),
        "max_f1": Interval(f1, float("nan"), float("nan")),
        "fpr_at_95_tpr": Interval(fpr, float("nan"), float("nan")),
    }


def _kinds(entries: list[Judged]) -> dict[str, Rates]:
    good = [entry for entry in entries if not entry.sample.defective]
    groups = {"good": good} if good else {}
    for kind in sorted({entry.sample.kind for entry in entries if entry.sample.defective}):
        groups[kind] = [entry for entry in entries if entry.sample.defective and entry.sample.kind == kind]
    return {kind: _rates(group, [] if kind == "good" else good) for kind, group in groups.items()}


def _rates(group: list[Judged], good: list[Judged]) -> Rates:
    verdicts = [entry.decision for entry in group]
    shares = {verdict: verdicts.count(verdict) / len(group) for verdict in Decision}
    ranked = None
    if good:
        labels = [0] * len(good) + [1] * len(group)
        ranked = auroc(labels, [entry.score for entry in (*good, *group)])
    return Rates(
        len(group), shares[Decision.ACCEPT], shares[Decision.REVIEW], shares[Decision.REJECT], ranked
    )
