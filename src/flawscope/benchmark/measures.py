"""What a benchmark measures, and how a measure spreads over seeds."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flawscope.errors import DataError
from flawscope.metrics import auroc, fpr_at_tpr
from flawscope.station.evaluate import Evaluation

Measure = Literal[
    "image_auroc",
    "fpr_at_95_tpr",
    "image_auroc_seen",
    "fpr_at_95_tpr_seen",
    "image_auroc_unseen",
    "fpr_at_95_tpr_unseen",
    "image_auroc_logical",
    "image_auroc_structural",
    "image_auroc_mean",
    "aupro_30",
    "au_spro_05",
    "au_spro_10",
    "au_spro_30",
    "au_spro_30_logical",
    "au_spro_30_structural",
    "pixel_auroc",
]
MEASURES: dict[Measure, str] = {
    "image_auroc": "image AUROC",
    "fpr_at_95_tpr": "FPR@95TPR",
    "image_auroc_seen": "image AUROC, seen kinds",
    "fpr_at_95_tpr_seen": "FPR@95TPR, seen kinds",
    "image_auroc_unseen": "image AUROC, unseen kinds",
    "fpr_at_95_tpr_unseen": "FPR@95TPR, unseen kinds",
    "image_auroc_logical": "image AUROC, logical",
    "image_auroc_structural": "image AUROC, structural",
    "image_auroc_mean": "image AUROC, mean",
    "aupro_30": "AU-PRO 0.3",
    "au_spro_05": "AU-sPRO 0.05",
    "au_spro_10": "AU-sPRO 0.1",
    "au_spro_30": "AU-sPRO 0.3",
    "au_spro_30_logical": "AU-sPRO 0.3, logical",
    "au_spro_30_structural": "AU-sPRO 0.3, structural",
    "pixel_auroc": "pixel AUROC",
}
SpreadKind = Literal["range", "std"]
CATEGORIES = ("logical", "structural")


def measured(evaluation: Evaluation) -> dict[str, float]:
    """Every measure that the evaluated pictures allow, in [0, 1].

    Good pictures against all defective ones; where some are of unseen kinds, also against the seen and the
    unseen ones apart. Where they are logical and structural ones (MVTec LOCO), against each kind, and the
    mean of both; sPRO likewise.

    Raises:
        DataError: pictures of one kind alone.
    """
    found = {
        name: evaluation.localisation[name] for name in ("pixel_auroc", "aupro_30") if evaluation.localisation
    }
    groups: dict[str, bool | None] = {"": None}
    truths = [record.truth for record in evaluation.readable if record.truth is not None]
    if any(truth.defective and not truth.seen for truth in truths):
        groups |= {"_seen": True, "_unseen": False}
    for suffix, seen in groups.items():
        labels, scores = evaluation.truth(seen=seen)
        if 0 < labels.sum() < len(labels):
            found[f"image_auroc{suffix}"] = auroc(labels, scores)
            found[f"fpr_at_95_tpr{suffix}"] = fpr_at_tpr(labels, scores)
    found |= _by_category(evaluation)
    if not found:
        raise DataError(
            f"data set {evaluation.dataset.name}",
            expected="good and defective test pictures",
            got=f"{len(evaluation.readable)} pictures of one kind",
            fix="Name a data set with both.",
        )
    return found


def _by_category(evaluation: Evaluation) -> dict[str, float]:
    """Measures of logical and structural defects, and their means; empty where the layout tells no such."""
    found = {}
    ranked = [evaluation.kinds.get(f"{name}_anomalies") for name in CATEGORIES]
    aurocs = [rates.auroc for rates in ranked if rates is not None and rates.auroc is not None]
    if len(aurocs) == len(CATEGORIES):
        found = {f"image_auroc_{name}": value for name, value in zip(CATEGORIES, aurocs, strict=True)}
        found["image_auroc_mean"] = statistics.fmean(aurocs)
    if evaluation.defects.keys() >= set(CATEGORIES):
        wide = {name: evaluation.defects[name].compute(0.3) for name in CATEGORIES}
        found |= {f"au_spro_30_{name}": value for name, value in wide.items()}
        found["au_spro_30"] = statistics.fmean(wide.values())
        for name, limit in (("au_spro_05", 0.05), ("au_spro_10", 0.1)):
            found[name] = statistics.fmean(evaluation.defects[kind].compute(limit) for kind in CATEGORIES)
    return found


@dataclass(frozen=True, slots=True)
class Spread:
    """One measure over the seeds of a row, in [0, 1].

    `std` is the sample standard deviation, with n − 1 in the denominator: the seeds are a few of many. 0 for
    one seed.
    """

    mean: float
    low: float
    high: float
    std: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Of one value a seed; None of none.

        >>> Spread.of([0.5, 0.75, 1.0])
        Spread(mean=0.75, low=0.5, high=1.0, std=0.25)
        """
        if not values:
            return None
        std = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(sum(values) / len(values), min(values), max(values), std)

    def text(self, kind: SpreadKind) -> str:
        """In percent, with the range or the standard deviation where the seeds differ.

        >>> spread = Spread(0.97, 0.965, 0.975, 0.005)
        >>> print(spread.text("std"), "or", spread.text("range"))
        97.00 ± 0.50 or 97.00 (96.50–97.50)
        """
        mean, low, high, std = (f"{100 * value:.2f}" for value in dataclasses.astuple(self))
        if self.low == self.high:
            return mean
        return f"{mean} ({low}–{high})" if kind == "range" else f"{mean} ± {std}"
