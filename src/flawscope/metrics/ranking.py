"""How well scores rank defective above good: ROC, precision-recall and what is read off them.

Every distinct score is a threshold and `score >= threshold` means "defective", so ties are exact: a group of
equal scores is one step of the curve, and half a win in the AUROC (Fawcett 2006, sections 4 to 7).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flawscope.errors import InputError, OptionError

Floats = NDArray[np.float64]


class RocCurve(NamedTuple):
    """False and true positive rates in [0, 1] at falling thresholds, from (0, 0) on; each (K + 1,)."""

    fpr: Floats
    tpr: Floats
    thresholds: Floats


class PrecisionRecallCurve(NamedTuple):
    """Precision and recall in [0, 1] at falling thresholds, one per distinct score; each (K,)."""

    precision: Floats
    recall: Floats
    thresholds: Floats


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a defective scores above a good one, ties counting half.

    Args:
        labels: (N,) 0 or False for good, 1 or True for defective.
        scores: (N,) finite, higher is more anomalous.

    Raises:
        InputError: one class only, a value that is not finite, shapes that differ, other labels.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    true, false, _, positives, negatives = _steps(labels, scores)
    pairs = np.diff(false, prepend=0.0) * (true + np.concatenate(([0.0], true[:-1])))
    return float(pairs.sum()) / (2 * positives * negatives)


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Precision averaged over the steps of recall, without interpolation: sum of (R_k - R_(k-1)) P_k.

    Arguments and errors are those of `auroc`.

    >>> average_precision([0, 1, 0, 1], [0.1, 0.3, 0.4, 0.8])
    0.8333333333333333
    """
    true, false, _, positives, _ = _steps(labels, scores)
    return float(np.sum(np.diff(true, prepend=0.0) * true / (true + false))) / positives


def max_f1(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """The best F1 over all thresholds, and the highest threshold that reaches it (`score >= threshold`).

    Arguments and errors are those of `auroc`.

    >>> max_f1([0, 1, 0, 1], [0.1, 0.3, 0.4, 0.8])
    (0.8, 0.3)
    """
    true, false, thresholds, positives, _ = _steps(labels, scores)
    f1 = 2 * true / (true + false + positives)
    best = int(np.argmax(f1))
    return float(f1[best]), float(thresholds[best])


def fpr_at_tpr(labels: ArrayLike, scores: ArrayLike, tpr: float = 0.95) -> float:
    """The smallest false positive rate at which at least `tpr` of the defective are found.

    Other arguments and errors are those of `auroc`.

    Raises:
        OptionError: `tpr` outside (0, 1].

    >>> fpr_at_tpr([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.5, 0.9])
    0.25
    """
    if not 0.0 < tpr <= 1.0:
        raise OptionError("tpr", expected="a rate in (0, 1]", got=f"{tpr}", fix="Use for example 0.95.")
    true, false, _, positives, negatives = _steps(labels, scores)
    wanted = math.ceil(tpr * positives - 1e-9)
    return float(false[np.searchsorted(true, wanted)] / negatives)


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """The ROC curve at every distinct score. Arguments and errors are those of `auroc`."""
    true, false, thresholds, positives, negatives = _steps(labels, scores)
    return RocCurve(
        np.concatenate(([0.0], false / negatives)),
        np.concatenate(([0.0], true / positives)),
        np.concatenate(([np.inf], thresholds)),
    )


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """The precision-recall curve at every distinct score. Arguments and errors are those of `auroc`."""
    true, false, thresholds, positives, _ = _steps(labels, scores)
    return PrecisionRecallCurve(true / (true + false), true / positives, thresholds)


def check_ranking(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Labels (N,) as booleans and scores (N,) as float64, or the InputError of `auroc`."""
    marks, values = np.asarray(labels), np.asarray(scores)
    if marks.ndim != 1 or marks.shape != values.shape:
        raise InputError(
            "labels and scores",
            expected="two lists of the same length",
            got=f"shapes {marks.shape} and {values.shape}",
            fix="Give one label and one score per picture.",
        )
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise InputError(
            "scores",
            expected="finite numbers",
            got="NaN, infinity or no number among them",
            fix="Leave out pictures that could not be scored, or correct the model.",
        )
    if marks.dtype.kind not in "bfiu" or not np.isin(marks, (0, 1)).all():
        raise InputError(
            "labels",
            expected="0 for good and 1 for defective",
            got="other values",
            fix="Map each label to 0 or 1.",
        )
    truth = marks.astype(bool)
    if truth.all() or not truth.any():
        only = "no pictures" if not truth.size else "defective ones only" if truth.all() else "good ones only"
        raise InputError(
            "labels",
            expected="both good and defective pictures",
            got=only,
            fix="Rank pictures of both kinds; with one kind there is nothing to separate.",
        )
    return truth, values.astype(np.float64)


def _steps(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats, Floats, int, int]:
    """True and false positives (K,) at each distinct score, falling; the scores; both class sizes."""
    truth, values = check_ranking(labels, scores)
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    true = np.cumsum(truth)[ends].astype(np.float64)
    positives = int(truth.sum())
    return true, ends + 1.0 - true, values[ends], positives, truth.size - positives
