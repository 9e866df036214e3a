"""Findings from statistics over segments: which of them moved the score, over which segment, and how far.

The vectors `features`, `contributions`, `usual_low` and `usual_high` have one entry for each statistic. The
output `features` names them: `WHOSE/SEGMENT/STATISTIC` for one of a map over a segment, `WHOSE/WHAT` for a
number of the whole picture, as sentences call both. The learnt fact `segments` says what to call each, and
`marks`, where there are several, what drawings call it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain.areas import from_levels
from flawscope.runtime.explain.named import entries_of
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Decision, Explanation, Finding, Prediction, Region, Segments

MOST_SENTENCES = 4
MOST_BARS = 8
CLEAR = 0.2  # share of the largest contribution, of either sign, from which on one is worth a sentence
OUTPUTS = frozenset({"segments", "contributions", "features", "usual_low", "usual_high"})

_VALUES = {  # of a finding, from the output of that name
    "value": "features",
    "contribution": "contributions",
    "usual_low": "usual_low",
    "usual_high": "usual_high",
}
_SUBJECTS = {
    "quantile": "the highest values of {owner}'s map (99.5 % quantile",
    "maximum": "the highest value of {owner}'s map (maximum",
    "mean": "the average of {owner}'s map (mean",
    "skewness": "the imbalance of few high against many low values in {owner}'s map (skewness",
    "kurtosis": "the weight of rare, extreme values in {owner}'s map (kurtosis",
}


@dataclass(frozen=True, slots=True)
class Feature:
    """One statistic.

    Attributes:
        owner: whose map or score it is.
        segment: label of the segment, 0 to L − 1; None for a score of the whole picture.
        statistic: of the map over the segment, or what the score is called.
    """

    owner: str
    segment: int | None
    statistic: str

    @classmethod
    def named(cls, name: str) -> Feature:
        """The feature of such a name.

        >>> Feature.named("nearest 2/0/mean")
        Feature(owner='nearest 2', segment=0, statistic='mean')
        """
        owner, *middle, statistic = name.split("/")
        return cls(owner, int(middle[0]) if middle else None, statistic)


def features_of(manifest: Manifest, count: int) -> tuple[Feature, ...]:
    """What the entries of the vectors (F,) are, F = `count`.

    Raises:
        BundleError: the model names another number.
    """
    return tuple(Feature.named(name) for name in entries_of(manifest, "features", count))


def from_segments(manifest: Manifest, prediction: Prediction) -> Explanation:
    """What raised the score most, then the areas that stand out; accepted pictures get the areas alone.

    At most four contributions are told: those that raise it, the largest first, and at the end the strongest
    that lowers it where that decides, for without it a picture for review would be rejected. Each finding
    holds the largest region whose peak lies in its segment. Where nothing clearly raised the score and no
    area stands out, the picture as a whole is told. Of a picture in tiles, contributions are those of the
    tile with the highest score.

    Raises:
        BundleError: the outputs do not fit the manifest.
    """
    areas = from_levels(manifest, prediction).findings
    segments = _segments(manifest, prediction)
    if not prediction.outputs.keys() >= OUTPUTS:
        return Explanation(areas, segments=segments)
    moved = prediction.outputs["contributions"]
    features = features_of(manifest, len(moved))
    bars = _bars(manifest, features, moved)
    if prediction.decision is Decision.ACCEPT:
        return Explanation(areas, bars, segments)
    telling = _telling(manifest, prediction)
    told = tuple(_finding(manifest, prediction, features[index], index) for index in telling)
    raised = any(finding.values["contribution"] > 0 for finding in told)
    return Explanation(told if raised and not prediction.regions else told + areas, bars, segments)


def _bars(
    manifest: Manifest, features: tuple[Feature, ...], moved: NDArray[np.float32]
) -> tuple[tuple[str, float], ...]:
    """(label, contribution) of the eight features that moved the score most, then of all others together."""
    order = np.argsort(-np.abs(moved), kind="stable")
    bars = [(_label(manifest, features[index]), float(moved[index])) for index in order[:MOST_BARS]]
    others = moved[order[MOST_BARS:]]
    return (*bars, (f"{len(others)} others together", float(others.sum()))) if len(others) else tuple(bars)


def _segments(manifest: Manifest, prediction: Prediction) -> Segments | None:
    """The segments and their marks; None for a single one, and for those of a tile."""
    labels, marks = prediction.outputs.get("segments"), manifest.learnt.get("marks")
    if labels is None or not isinstance(marks, list) or not prediction.looks[0].placement.whole:
        return None
    return Segments(labels, {index: str(mark) for index, mark in enumerate(marks) if mark}, ("segment",))


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
    values = {name: float(prediction.outputs[output][index]) for name, output in _VALUES.items()}
    if feature.segment is None:
        return Finding(_sentence("", feature, values), values)
    values["segment"] = float(feature.segment)
    place = _place(manifest, feature.segment)
    if not (prediction.outputs["segments"] == feature.segment).any():
        place += " (absent from this picture)"
    region = _largest(prediction, feature.segment)
    return Finding(_sentence(f"{place}: ", feature, values), values, region)


def _sentence(place: str, feature: Feature, values: Mapping[str, float]) -> str:
    if feature.segment is not None:
        subject = _SUBJECTS[feature.statistic].format(owner=feature.owner)
    else:
        subject = f"{feature.owner}'s {feature.statistic} ("
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
        return f"{feature.owner.removeprefix('the ')} · {feature.statistic.split()[0]}"
    return f"{_place(manifest, feature.segment)} · {feature.owner} · {feature.statistic}"


def _place(manifest: Manifest, segment: int) -> str:
    names = manifest.learnt.get("segments")
    return str(names[segment]) if isinstance(names, list) and segment < len(names) else f"segment {segment}"


def _largest(prediction: Prediction, segment: int) -> Region | None:
    """The largest region whose peak lies in the segment."""
    labels, placement = prediction.outputs["segments"], prediction.looks[0].placement
    shown = (region for region in prediction.regions if placement.depth(region.peak) > 0)
    places = ((region, placement.to_map(region.peak, labels.shape)) for region in shown)
    inside = (region for region, place in places if labels[place] == segment)
    return max(inside, key=lambda region: region.area, default=None)
