"""Two models on the same pictures with truth: which verdicts flip, what is found no more, how fast. No torch.

Each picture is inspected by both models, one after the other, the one that begins changing from picture to
picture, so that neither always finds the file warm. Nothing else is in work meanwhile, so the times are those
of one picture from file to verdict.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from flawscope import metrics
from flawscope.data.groups import GroupChoice
from flawscope.data.groups_as_before import group_as_before
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import DataError
from flawscope.progress import Progress, Silent
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.record import Record, Truth, Views
from flawscope.runtime.versions import name_of
from flawscope.station.evaluate import unseen
from flawscope.station.pair import Pair, parts_right, passes
from flawscope.station.picture import inspect_one

SHOWN = 60  # flips that a report shows pictures of


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models: its folder, the name of its version, and what was measured of it.

    `milliseconds` are those of a typical picture from file to verdict; `auroc` is None with one class alone.
    """

    folder: Path
    version: str
    false_rejects: int
    misses: int
    milliseconds: float
    auroc: metrics.Interval | None

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        counts = {"false_rejects": self.false_rejects, "misses": self.misses}
        figures = {"milliseconds": self.milliseconds, "auroc": _plain(self.auroc)}
        return {"model": str(self.folder), "version": self.version, **counts, **figures}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both models on the same pictures.

    Attributes:
        dataset: name and layout of the pictures.
        pairs: what both say of each picture, in the data set's order.
        known: pictures left out because one of the models has seen their content.
        old, new: the models.
        auroc_difference: image AUROC of the new model minus that of the old, with the 95 % bootstrap
            interval of the paired difference, on pictures that both could inspect; None with one class.
        p_value: of McNemar's exact test on which verdicts are right: defects found, good parts not rejected.
        said: which parts count where the models tell them by different rules; else empty.
        views: small pictures of flipped ones, by path: under the old model's heatmap, and the new one's.
    """

    dataset: Dataset
    pairs: tuple[Pair, ...]
    known: int
    old: Side
    new: Side
    auroc_difference: metrics.Interval | None
    p_value: float
    said: str = ""
    views: dict[str, tuple[Views, Views]] = field(default_factory=dict)

    @property
    def flips(self) -> list[Pair]:
        """Pictures whose verdict differs; defects that are missed now first."""
        return sorted((pair for pair in self.pairs if pair.flipped), key=_gravity)

    @property
    def latency_ratio(self) -> float:
        """Time of the new model by that of the old."""
        return self.new.milliseconds / self.old.milliseconds

    def counts(self) -> dict[str, int]:
        """How many pictures changed in which sense, are of each class, or can be read by neither model."""
        senses = ("new_miss", "new_find", "new_false_reject", "mended_false_reject", "flipped")
        counted = {sense: sum(getattr(pair, sense) for pair in self.pairs) for sense in senses}
        read = [pair for pair in self.pairs if pair.read]
        defective = sum(pair.truth.defective for pair in read)
        classes = {"good": len(read) - defective, "defective": defective}
        return {**classes, **counted, "unreadable": len(self.pairs) - len(read)}

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "dataset": self.dataset.name,
            "layout": self.dataset.layout,
            "left_out_known_to_a_model": self.known,
            **({"parts": self.said} if self.said else {}),
            **self.counts(),
            "old": self.old.to_json(),
            "new": self.new.to_json(),
            "auroc_difference": _plain(self.auroc_difference),
            "mcnemar_p_value": self.p_value,
            "latency_ratio": self.latency_ratio,
            "flips": [pair.to_json() for pair in self.flips],
        }


def compare(
    old: Inspector,
    new: Inspector,
    dataset: Dataset,
    *,
    groups: GroupChoice | None = None,
    views: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Inspect the test pictures of `dataset` with both models and set their verdicts side by side.

    Pictures that one of the models has seen in training or calibration are left out by content, and counted.
    Small pictures are made of the `views` flips that weigh most.

    Where pictures of one part belong together, by `groups` or as a model's calibration or the layout has
    them, intervals and McNemar's test are of parts, and parts that a model has seen are left out whole. Where
    the models' groups differ, each model's tell what it has seen, and parts are the old one's. Flips and
    counts are of pictures. Those that neither model can read are in no figure but their number.

    Raises:
        DataError, OptionError: nothing is left to compare on, or can be read; groups that cannot be made.
    """
    rules = [inspector.bundle.manifest.calibration.grouped_by for inspector in (old, new)]
    grouped = [group_as_before(dataset, rule, groups)[0] for rule in rules]
    dataset, said = _counted(grouped, rules) if groups is None else (grouped[0], "")
    fresh, known = unseen(dataset, old, new, grouped=grouped)
    progress = progress or Silent()
    pairs, times = list[Pair](), list[tuple[float, float]]()
    for inspector in (old, new):
        inspect_one(inspector, fresh[0].path)  # whose first answer is slower than all others
    with progress.stage("comparing", len(fresh)) as stage:
        for index, sample in enumerate(fresh):
            pair, taken = _both(old, new, sample, new_first=index % 2 == 1)
            pairs.append(pair)
            times.append(taken)
            stage.advance()
    read = [pair for pair in pairs if pair.read]
    _require_one(read, fresh)
    both = [pair for pair in read if pair.old.error is None and pair.new.error is None]
    parts = [pair.part for pair in both] if any(sample.group is not None for sample in fresh) else None
    labels = np.array([pair.truth.defective for pair in both], np.int64)
    scores = [np.array(ranks) for ranks in ([p.old.rank for p in both], [p.new.rank for p in both])]
    ranked = 0 < labels.sum() < len(labels)
    measured = functools.partial(metrics.bootstrap_interval, metrics.auroc, labels, groups=parts)
    before, after = map(measured, scores) if ranked else (None, None)
    rights = parts_right(read)
    turns = (zip(pairs[first::2], times[first::2], strict=True) for first in (0, 1))
    spent = [[taken for pair, taken in turn if pair.read] for turn in turns]
    made = Comparison(
        dataset=dataset,
        pairs=tuple(pairs),
        known=len(known),
        old=_side(old, [pair.old for pair in read], [[one for one, _ in turn] for turn in spent], before),
        new=_side(new, [pair.new for pair in read], [[one for _, one in turn] for turn in spent], after),
        auroc_difference=metrics.auroc_difference(labels, *scores, groups=parts) if ranked else None,
        said=said,
        p_value=metrics.mcnemar(rights.count((True, False)), rights.count((False, True))),
    )
    made.views.update(_views(made.flips[:views], old, new, progress))
    return made


def _require_one(read: Sequence[Pair], fresh: Sequence[Sample]) -> None:
    if not read:
        raise DataError(
            "pictures to compare on",
            expected="at least one that can be read",
            got=f"{len(fresh)}, of which none can",
            fix="Look at them with: flawscope data check FOLDER.",
        )


def _counted(grouped: Sequence[Dataset], rules: Sequence[str]) -> tuple[Dataset, str]:
    """The data set in the groups that figures are of, the old model's where they fit, and what to say."""
    named = [one for one in zip(grouped, rules, strict=True) if one[1]] or [(grouped[0], "")]
    fitting = (one for one in named if any(sample.group is not None for sample in one[0].samples))
    dataset, rule = next(fitting, named[0])
    if len(set(rules)) == 1 or not all(rules):
        return dataset, ""
    old, new = rules
    said = f"The models tell parts by different rules, {old} (old) and {new} (new)"
    return dataset, f"{said}: figures are of parts by {rule}; --groups names another rule."


def _both(
    old: Inspector, new: Inspector, sample: Sample, *, new_first: bool
) -> tuple[Pair, tuple[float, float]]:
    """What both say of a picture, and the milliseconds that each took."""
    if new_first:
        after, took = _timed(new, sample)
        before, taken = _timed(old, sample)
    else:
        before, taken = _timed(old, sample)
        after, took = _timed(new, sample)
    return Pair(before, after, sample.group or str(sample.path)), (taken, took)


def _timed(inspector: Inspector, sample: Sample) -> tuple[Record, float]:
    truth = Truth(kind=sample.kind, defective=sample.defective, seen=sample.seen)
    began = time.perf_counter()
    record = inspect_one(inspector, sample.path, truth=truth).record
    return record, 1000 * (time.perf_counter() - began)


def _side(
    inspector: Inspector, records: list[Record], turns: list[list[float]], auroc: metrics.Interval | None
) -> Side:
    folder = inspector.bundle.folder
    return Side(
        folder=folder,
        version=name_of(folder) or "",
        false_rejects=sum(record.defective is False and not passes(record) for record in records),
        misses=sum(record.defective is True and not record.flagged for record in records),
        milliseconds=_typical(turns),
        auroc=auroc,
    )


def _typical(turns: list[list[float]]) -> float:
    """Median of the times where a model comes first, and of those where it comes second; their mean.

    Who comes second finds the picture in the processor's caches; a median of both would be one or the other.
    """
    return mean(median(turn) for turn in turns if turn)


def _views(
    pairs: Iterable[Pair], old: Inspector, new: Inspector, progress: Progress
) -> dict[str, tuple[Views, Views]]:
    chosen = list(pairs)
    drawn = dict[str, tuple[Views, Views]]()
    draw = functools.partial(inspect_one, views=lambda record: record.decision is not None)
    with progress.stage("drawing", len(chosen)) as stage:
        for pair in chosen:
            first, second = (draw(inspector, Path(pair.path)).views or Views() for inspector in (old, new))
            drawn[pair.path] = (first, second)
            stage.advance()
    return drawn


def _gravity(pair: Pair) -> tuple[int, float]:
    """Order of flips: new misses, new false rejects, then the rest; strong old scores first."""
    return 0 if pair.new_miss else 1 if pair.new_false_reject else 2, -pair.old.rank


def _plain(interval: metrics.Interval | None) -> dict[str, float] | None:
    if interval is None:
        return None
    return {name: value for name, value in interval._asdict().items() if math.isfinite(value)}
