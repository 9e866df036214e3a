"""Findings of SegAD: which statistic of which map over which segment moved the score, and how far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import BundleError
from flawscope.runtime.explain.areas import from_levels
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Decision, Finding, Prediction, Region

MOST_SENTENCES = 4
MOST_BARS = 8
CLEAR = 0.2  # share of the largest contribution, of either sign, from which on one is worth a sentence
SCORE, CLASSIFIER = "score", "classifier"
OUTPUTS = frozenset({"segments", "contributions", "features", "usual_low", "usual_high"})

_GROUND, _OBJECT = 0, 1
_COUNTS = {"one": 1, "object": 2}  # segments of the kinds that fix their number
_SUBJECTS = {
    "quantile": "the highest values of {detector}'s map (99.5 % quantile",
    "maximum": "the highest value of {detector}'s map (maximum",
    "mean": "the average of {detector}'s map (mean",
    "skewness": "the imbalance of few high against many low values in {detector}'s map (skewness",
    "kurtosis": "the weight of rare, extreme values in {detector}'s map (kurtosis",
}


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of the forest.

    Attributes:
        detector: its method, numbered where several detectors share it; `classifier` for the classifier.
        segment: label of the segment, 0 to L − 1; None for a score of the whole picture.
        statistic: of the detector's map over the segment; `score` for a score of the whole picture.
    """

    detector: str
    segment: int | None
    statistic: str


def features_of(options: Mapping[str, Any], count: int) -> tuple[Feature, ...]:
    """The forest's inputs by a SegAD model's options, in the order of its vectors (F,), F = `count`.

    For each detector, for each segment, each statistic; then the detectors' image scores; then the
    classifier's score. The number of segments follows from `count`.

    Raises:
        BundleError: no number of segments fits.
    """
    detectors = _named([part["method"] for part in options.get("detectors", ())])
    statistics = tuple(options.get("statistics", ()))
    scores = [*detectors] if options.get("detector_scores") else []
    scores += [CLASSIFIER] if options.get("classifier") is not None else []
    each = len(detectors) * len(statistics)
    segments = (count - len(scores)) // each if each else 0
    wanted = _COUNTS.get(_kind(options), segments)
    if segments < 1 or segments * each + len(scores) != count or segments != wanted:
        names = f"{len(detectors)} detectors x {wanted or 'any number of'} segments x {len(statistics)}"
        raise BundleError(
            "the model's features",
            expected=f"{names} statistics and {len(scores)} scores, as its options say",
            got=f"{count} values",
            fix="Train again.",
        )
    return (
        *(
            Feature(detector, segment, statistic)
            for detector in detectors
            for segment in range(segments)
            for statistic in statistics
        ),
        *(Feature(name, None, SCORE) for name in scores),
    )


def from_segments(manifest: Manifest, prediction: Prediction) -> tuple[Finding, ...]:
    """What raised the score most, then the areas that stand out; accepted pictures get the areas alone.

    At most four contributions are told: those that raise it, the largest first, and at the end the strongest
    that lowers it where that decides, for without it a picture for review would be rejected. Each finding
    holds the largest region whose peak lies in its segment. Where nothing clearly raised the score and no
    area stands out, the picture as a whole is told.

    Raises:
        BundleError: the outputs do not fit the model's options.
    """
    areas = from_levels(manifest, prediction)
    if prediction.decision is Decision.ACCEPT or not prediction.outputs.keys() >= OUTPUTS:
        return areas
    moved = prediction.outputs["contributions"]
    features = features_of(manifest.options, len(moved))
    told = tuple(
        _finding(manifest, prediction, features[index], index) for index in _telling(manifest, prediction)
    )
    raised = any(finding.values["contribution"] > 0 for finding in told)
    return told if raised and not prediction.regions else told + areas


def contributions(manifest: Manifest, prediction: Prediction) -> tuple[tuple[str, float], ...]:
    """(label, contribution) of the eight features that moved the score most, then of all others together.

    The score is the sum of these and a start that is the same for all pictures. Empty where the model tells
    no contributions.

    Raises:
        BundleError: the outputs do not fit the model's options.
    """
    moved = prediction.outputs.get("contributions")
    if moved is None:
        return ()
    features = features_of(manifest.options, len(moved))
    order = np.argsort(-np.abs(moved), kind="stable")
    bars = [(_label(manifest, features[index]), float(moved[index])) for index in order[:MOST_BARS]]
    others = moved[order[MOST_BARS:]]
    return (*bars, (f"{len(others)} others together", float(others.sum()))) if len(others) else tuple(bars)


def segments(manifest: Manifest, prediction: Prediction) -> tuple[NDArray[np.integer], dict[int, str]] | None:
    """The segments at the picture's own size (H, W), and what to write into each; None for a single one.

    Object and background need no writing.
    """
    labels, kind = prediction.outputs.get("segments"), _kind(manifest.options)
    if labels is None or prediction.heatmap is None or kind == "one":
        return None
    own = manifest.frame.frame().placement(*prediction.heatmap.shape).labels_back(labels)
    return own, {} if kind == "object" else {int(label): str(label) for label in np.unique(labels)}


def _telling(manifest: Manifest, prediction: Prediction) -> list[int]:
    """Indices of the features that get a sentence, in the order of their sentences."""
    moved = prediction.outputs["contributions"]
    order = np.argsort(-moved, kind="stable")
    least = CLEAR * float(np.abs(moved).max())
    raising = [int(index) for index in order if moved[index] > 0 and moved[index] >= least]
    lowest = int(order[-1])
    without = prediction.score - float(moved[lowest])
    if prediction.decision is Decision.REVIEW and without > manifest.calibration.reject_threshold:
        return [*raising[: MOST_SENTENCES - 1], lowest]
    return raising[:MOST_SENTENCES]


def _finding(manifest: Manifest, prediction: Prediction, feature: Feature, index: int) -> Finding:
    names = {"value": "features", "contribution": "contributions"}
    names |= {name: name for name in ("usual_low", "usual_high")}
    values = {name: float(prediction.outputs[output][index]) for name, output in names.items()}
    if feature.segment is None:
        return Finding(_sentence("", feature, values), values)
    values["segment"] = float(feature.segment)
    place = _place(manifest, feature.segment)
    if not (prediction.outputs["segments"] == feature.segment).any():
        place += " (absent from this picture)"
    region = _largest(manifest, prediction, feature.segment)
    return Finding(_sentence(f"{place}: ", feature, values), values, region)


def _sentence(place: str, feature: Feature, values: Mapping[str, float]) -> str:
    if feature.segment is not None:
        subject = _SUBJECTS[feature.statistic].format(detector=feature.detector)
    elif feature.detector == CLASSIFIER:
        subject = "the classifier's score ("
    else:
        subject = f"{feature.detector}'s score of the picture ("
    number = f"{values['value']:.3g}" if subject.endswith("(") else f" {values['value']:.3g}"
    low, high = (f"{values[name]:.3g}" for name in ("usual_low", "usual_high"))
    usual = low if low == high else f"{low} to {high}"
    moved = values["contribution"]
    verb = ("raise" if moved > 0 else "lower") + ("" if feature.statistic == "quantile" else "s")
    text = f"{place}{subject}{number}, good pictures {usual}) {verb} the score by {abs(moved):.2g}"
    return text if moved > 0 else f"{text}, without which the picture would be rejected"


def _label(manifest: Manifest, feature: Feature) -> str:
    """A feature in few words, for charts."""
    if feature.segment is None:
        return f"{feature.detector} · {SCORE}"
    return f"{_place(manifest, feature.segment)} · {feature.detector} · {feature.statistic}"


def _place(manifest: Manifest, segment: int) -> str:
    match _kind(manifest.options):
        case "one":
            return "the whole picture"
        case "object":
            return {_GROUND: "the background", _OBJECT: "the object"}[segment]
        case _:
            return f"segment {segment}"


def _kind(options: Mapping[str, Any]) -> str:
    return str(options.get("segments", {}).get("kind", "one"))


def _named(methods: list[str]) -> list[str]:
    """The methods, numbered where one occurs more than once."""
    return [
        f"{name} {methods[: index + 1].count(name)}" if methods.count(name) > 1 else name
        for index, name in enumerate(methods)
    ]


def _largest(manifest: Manifest, prediction: Prediction, segment: int) -> Region | None:
    inside = [region for region in prediction.regions if _segment_at(manifest, prediction, region) == segment]
    return max(inside, key=lambda region: region.area, default=None)


def _segment_at(manifest: Manifest, prediction: Prediction, region: Region) -> int | None:
    """The segment under the region's peak."""
    labels, heatmap = prediction.outputs["segments"], prediction.heatmap
    if heatmap is None:
        return None
    placement = manifest.frame.frame().placement(*heatmap.shape)
    return int(labels[placement.to_map(region.peak, labels.shape)])
