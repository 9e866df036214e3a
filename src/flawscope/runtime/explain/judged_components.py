"""Findings of methods that judge each component: what is wrong with its surface, its outline, its number.

The output `components` holds the component of each pixel. The vector `parts` holds scores named
`LABEL/surface` and `LABEL/outline`, of which 1 is the largest of good pictures; the vector `counts` how many
there are of each component from 1 on, where the method counts them. The learnt fact `names` says what to call
each, the fact `usual` the fewest and most in good pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain.areas import from_levels
from flawscope.runtime.explain.named import entries_of
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.overlay import find_regions
from flawscope.runtime.prediction import (
    Decision,
    Explanation,
    Finding,
    Look,
    Prediction,
    Region,
    Segments,
)

READER = "judged_components"  # how manifests name this reader
MOST_SENTENCES = 4
USUAL = 1.0  # score of a surface or outline up to which good pictures reach
NEAR = 1 / 32  # of a frame's shorter side, up to which two peaks are in one place
CLEAR = 0.2  # share of the clearest score from which on another is worth a sentence
_TIMES = {0: "absent", 1: "once", 2: "twice"}


@dataclass(slots=True)
class _Judged:
    """What is said of one component."""

    label: int
    scores: dict[str, float] = field(default_factory=dict)
    count: tuple[int, int, int] | None = None  # found, fewest and most in good pictures

    @property
    def beyond(self) -> int:
        """Components too few or too many."""
        if self.count is None:
            return 0
        found, low, high = self.count
        return max(low - found, found - high, 0)

    @property
    def clear(self) -> float:
        """How clearly it is amiss; each component too few or too many weighs as twice the usual limit."""
        return max([2.0 * USUAL * self.beyond, *self.scores.values()])


def from_judged_components(manifest: Manifest, prediction: Prediction) -> Explanation:
    """At most four sentences, one a component, the clearest first, then areas as `from_levels` finds them.

    Of components whose surfaces are amiss in one place, as by a flaw across their border, the clearest alone
    is told, unless another's outline or number is amiss, too.

    Accepted pictures get the areas alone. Of a picture in tiles each component is told as the tile shows it
    that tells most: of the tile with the highest score and of those in which the highest areas peak.

    Raises:
        BundleError: the outputs do not fit the manifest.
    """
    areas, names = from_levels(manifest, prediction).findings, _names(manifest)
    looks = [look for look in prediction.looks if look.outputs.keys() >= {"components", "parts"}]
    if not looks:
        return Explanation(areas)
    segments = None
    if looks[0].placement.whole:
        marks = dict(enumerate(names[1:], 1))
        segments = Segments(looks[0].outputs["components"], marks, ("component",))
    if prediction.decision is Decision.ACCEPT:
        return Explanation(areas, segments=segments)
    seen: dict[int, tuple[_Judged, Look]] = {}
    for look in looks:
        for one in _judged(manifest, look):
            if one.label not in seen or one.clear > seen[one.label][0].clear:
                seen[one.label] = one, look
    judged = sorted(seen.values(), key=lambda pair: -pair[0].clear)
    telling = _Telling(manifest, prediction.heatmap, names)
    least = max(telling.limit, CLEAR * judged[0][0].clear) if judged else telling.limit
    told = [pair for pair in judged if pair[0].clear > telling.limit and pair[0].clear >= least]
    left, top, right, bottom = looks[0].placement.window
    reach = min(right - left, bottom - top) * NEAR
    said = [telling.finding(*pair) for pair in told]
    findings = _once_a_place(said, prediction.regions, reach)[:MOST_SENTENCES]
    return Explanation(findings + (areas if prediction.regions or not told else ()), segments=segments)


def _judged(manifest: Manifest, look: Look) -> Iterator[_Judged]:
    """What the scores and counts say of each component in one frame."""
    scores = look.outputs["parts"].tolist()
    names = entries_of(manifest, "parts", len(scores))
    found: dict[int, _Judged] = {}
    for name, score in zip(names, scores, strict=True):
        label, kind = name.split("/")
        found.setdefault(int(label), _Judged(int(label))).scores[kind] = score
    usual, counts = manifest.learnt.get("usual"), look.outputs.get("counts")
    if isinstance(usual, list) and counts is not None:
        for number, (count, ends) in enumerate(zip(counts.tolist(), usual, strict=True), 1):
            if number in found and isinstance(ends, list):
                low, high = (round(float(str(end))) for end in ends)
                found[number].count = round(count), low, high
    yield from found.values()


def _once_a_place(findings: Sequence[Finding], areas: Sequence[Region], reach: float) -> tuple[Finding, ...]:
    """Without surfaces that are amiss where a clearer finding, before them, is: in its area, or near it."""
    told = list[Finding]()
    for one in findings:
        alone = one.values.keys() <= {"component", "surface"}
        if not (alone and any(_one_place(one.region, other.region, areas, reach) for other in told)):
            told.append(one)
    return tuple(told)


def _one_place(one: Region | None, other: Region | None, areas: Sequence[Region], reach: float) -> bool:
    """Whether two peaks lie in one area, or no farther apart than `reach` pixels."""
    if one is None or other is None:
        return False
    together = any(_holds(area, one.peak) and _holds(area, other.peak) for area in areas)
    return together or math.dist(one.peak, other.peak) <= reach


def _holds(area: Region, point: tuple[int, int]) -> bool:
    """Whether the point (x, y) lies in the area's box."""
    left, top, right, bottom = area.box
    return left <= point[0] < right and top <= point[1] < bottom


class _Telling:
    """Sentences on the components of one picture, whose heatmap is (H, W)."""

    def __init__(self, manifest: Manifest, heatmap: NDArray[np.float32] | None, names: list[str]) -> None:
        self.heatmap, self.names = heatmap, names
        self.threshold = -np.inf if manifest.heatmap is None else manifest.heatmap.threshold
        self.limit = min(USUAL, max(0.0, manifest.calibration.review_threshold))  # of a score worth a word

    def finding(self, one: _Judged, look: Look) -> Finding:
        """One sentence: what is amiss, the number first."""
        told, values = [], {"component": float(one.label)}
        region = self._region(one.label, look)
        if one.count is not None and one.beyond:
            found, low, high = one.count
            told.append(f"{_times(found)}, {_expected(low, high)}{_tile(look)}")
            values |= {"count": float(found), "count_low": float(low), "count_high": float(high)}
        for kind, score in one.scores.items():
            if score > self.limit:
                unlike = "unlike any good one" if score > USUAL else "unusual"
                told.append(f"{kind} {unlike}{_place(region)} ({score:.3g}, good ones up to {USUAL:g})")
                values[kind] = score
        return Finding(f"{self._called(one.label)}: {'; '.join(told)}", values, region)

    def _called(self, label: int) -> str:
        """The component's number and name."""
        own = f"component {label}"
        name = self.names[label] if label < len(self.names) else own
        return own if name == own else f"{own} ({name})"

    def _region(self, label: int, look: Look) -> Region | None:
        """Where the heatmap is highest on the component; None where the frame shows none of it."""
        if self.heatmap is None:
            return None
        left, top, right, bottom = look.placement.window
        part = look.placement.alone((bottom - top, right - left))
        inside = part.labels_back(look.outputs["components"]) == label
        values = np.where(inside, self.heatmap[top:bottom, left:right], -np.inf).astype(np.float32)
        above = find_regions(values, self.threshold, most=1) or find_regions(values, -np.inf, most=1)
        return next((_moved(region, left, top) for region in above), None)


def _moved(region: Region, x: int, y: int) -> Region:
    """The region of a part of the picture, at its place in the picture."""
    left, top, right, bottom = region.box
    box = (left + x, top + y, right + x, bottom + y)
    return replace(region, box=box, peak=(region.peak[0] + x, region.peak[1] + y))


def _tile(look: Look) -> str:
    """Which part of the picture was counted in; empty where it is all of it."""
    if look.placement.whole:
        return ""
    left, top, right, bottom = look.placement.window
    return f" in the tile of {right - left} × {bottom - top} px at ({left}, {top})"


def _names(manifest: Manifest) -> list[str]:
    names = manifest.learnt.get("names")
    return [str(name) for name in names] if isinstance(names, list) else []


def _times(count: int) -> str:
    """How often a component is there.

    >>> [_times(count) for count in (0, 1, 2, 5)]
    ['absent', 'once', 'twice', '5 times']
    """
    return _TIMES.get(count, f"{count} times")


def _expected(low: int, high: int) -> str:
    """How often it should be there.

    >>> _expected(1, 1), _expected(3, 4), _expected(0, 0)
    ('expected once', 'expected 3 to 4 times', 'expected nowhere')
    """
    if low != high:
        return f"expected {low} to {high} times"
    return f"expected {_times(low)}" if low else "expected nowhere"


def _place(region: Region | None) -> str:
    """Where its heatmap is highest."""
    return "" if region is None else f" at ({region.peak[0]}, {region.peak[1]})"
