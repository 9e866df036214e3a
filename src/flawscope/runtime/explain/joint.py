"""Findings of several members with one decision: which of them fired, at which level, in what sense, and why.

The vector `members` holds for each member −log of the share of good pictures that score as high, the vector
`raw_scores` its score; both name their entries. The learnt fact `members` holds for each its `name`, `sense`,
the reader that it `explains` itself with, its `outputs`, `scalars` and `learnt` facts. Further outputs of a
member are the model's outputs `NAME.OUTPUT`. Where its `senses` name one of these, a vector, that entry which
is as high as the member's score tells the sense. A member that is `turned` sees pictures turned by the vector
`pose`, in pixels of the size in the fact `upright`, and its label maps lie over those. The fact `join` says
whether the largest level is the score, or their sum, `levelled_on` how many good pictures gave the levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flawscope.errors import BundleError
from flawscope.runtime.explain.absence import POSE, UPRIGHT
from flawscope.runtime.explain.areas import from_levels
from flawscope.runtime.manifest import Manifest, OutputSpec, ScalarSpec
from flawscope.runtime.prediction import Decision, Explanation, Finding, Look, Prediction, Segments
from flawscope.runtime.turned_placement import TurnedPlacement

READER = "joint"  # how manifests name this reader
LEVELS, RAW, COMPARED = "members", "raw_scores", "compared"
TURNED = "turned"
_RAREST = 1e6  # one in so many; beyond it no number is told
_EQUAL = 1e-3  # share of a member's score by which the part that made it may differ

Reader = Callable[[str], Callable[[Manifest, Prediction], Explanation]]


def own_name(member: str, output: str) -> str:
    """What the model calls an output of a member."""
    return f"{member}.{output}"


@dataclass(frozen=True, slots=True)
class _Member:
    """One member as the model's facts have it, and what it says of one picture."""

    number: int
    name: str
    level: float
    raw: float
    facts: Mapping[str, Any]
    manifest: Manifest
    prediction: Prediction

    @property
    def sense(self) -> str:
        """In what sense it fired: as the part of it that made its score, or as it is called."""
        named: Mapping[str, Any] = self.facts.get("senses") or {}
        values = self.prediction.outputs.get(str(named.get("output")))
        names = next((one.names for one in self.manifest.outputs if one.name == named.get("output")), ())
        if values is not None and len(names) == len(values):
            highest = int(np.argmax(values))
            if float(values[highest]) >= self.raw - _EQUAL * abs(self.raw):
                return str(named.get("of", {}).get(names[highest], self.facts["sense"]))
        return str(self.facts["sense"])


def from_members(manifest: Manifest, prediction: Prediction, reader: Reader) -> Explanation:
    """Of each member that fired a sentence and then its own findings, then areas as `from_levels` finds them.

    Accepted pictures get the areas alone. Where a member that fired says more of an area, that is told.

    Args:
        manifest: of the model.
        prediction: for one picture.
        reader: finds the members' own readers by name.

    Raises:
        BundleError: the outputs do not fit the manifest, or a member's reader is not to be had.
    """
    areas = from_levels(manifest, prediction).findings
    members = tuple(_members(manifest, prediction))
    own = {one.number: reader(str(one.facts["explains"]))(one.manifest, one.prediction) for one in members}
    divided = (_segments(one, own[one.number]) for one in members)
    segments = next((found for found in divided if found is not None), None)
    if prediction.decision is Decision.ACCEPT or not members:
        return Explanation(areas, segments=segments)
    told, about = (
        list[Finding](),
        {finding.region: finding for finding in areas if finding.region is not None},
    )
    fired = _fired(manifest, prediction.score, members)
    for one in fired:
        told.append(_sentence(manifest, one))
        plain = {finding.text for finding in from_levels(one.manifest, one.prediction).findings}
        for finding in own[one.number].findings:
            if finding.region in about:
                if finding.text not in plain and about[finding.region].text in plain:
                    about[finding.region] = finding
            elif finding.text not in plain:
                told.append(finding)
    return Explanation((*told, *about.values()), _contributions(manifest, members), segments)


def _members(manifest: Manifest, prediction: Prediction) -> Iterator[_Member]:
    facts, outputs = manifest.learnt.get("members"), prediction.outputs
    if not isinstance(facts, list) or not outputs.keys() >= {LEVELS, RAW}:
        return
    if not len(facts) == len(outputs[LEVELS]) == len(outputs[RAW]):
        raise BundleError(
            "the model's members",
            expected=f"{len(facts)} levels, as the manifest names them",
            got=f"{len(outputs[LEVELS])} levels",
            fix="Train again.",
        )
    pairs = zip(facts, outputs[LEVELS], outputs[RAW], strict=True)
    for number, (known, level, raw) in enumerate(pairs):
        own: Mapping[str, Any] = known if isinstance(known, dict) else {}
        name = str(own["name"])
        alone = {
            "outputs": tuple(OutputSpec.model_validate(spec) for spec in own["outputs"]),
            "scalars": tuple(ScalarSpec.model_validate(knob) for knob in own.get("scalars", ())),
            "learnt": own["learnt"],
            "explains": own["explains"],
        }
        yield _Member(
            number,
            name,
            float(level),
            float(raw),
            own,
            manifest.model_copy(update=alone),
            _of(prediction, name, float(raw), manifest.learnt.get(UPRIGHT) if own.get(TURNED) else None),
        )


def _of(prediction: Prediction, name: str, raw: float, upright: Any) -> Prediction:
    """The prediction as the member alone would have its further outputs, their placement and its score.

    `upright` is the height and width at which pictures are turned for it, or None.
    """
    start = own_name(name, "")
    looks = []
    for look in prediction.looks:
        own = {
            output.removeprefix(start): values
            for output, values in look.outputs.items()
            if output.startswith(start)
        }
        placement = look.placement
        if upright is not None and POSE in look.outputs:
            placement = TurnedPlacement.of(placement, look.outputs[POSE], (int(upright[0]), int(upright[1])))
        looks.append(Look(placement, own))
    return replace(prediction, score=raw, looks=tuple(looks))


def _segments(one: _Member, explained: Explanation) -> Segments | None:
    """The member's segments over the picture as it came."""
    found, looks = explained.segments, one.prediction.looks
    if found is None or not looks or not isinstance(looks[0].placement, TurnedPlacement):
        return found
    return replace(found, labels=looks[0].placement.lying(found.labels))


def _fired(manifest: Manifest, score: float, members: tuple[_Member, ...]) -> list[_Member]:
    """Members that the score owes its height to, the highest first, at least one.

    Where the largest level is the score these are the ones above the review threshold by themselves; where
    the sum is, those that give it their share or more.
    """
    least = manifest.calibration.review_threshold
    if manifest.learnt.get("join") == "sum":
        least = score / len(members)
    ordered = sorted(members, key=lambda one: -one.level)
    return [one for one in ordered if one.level > least] or ordered[:1]


def _contributions(manifest: Manifest, members: tuple[_Member, ...]) -> tuple[tuple[str, float], ...]:
    """Of a sum the levels, the highest first; the largest of several is not made up of them."""
    if manifest.learnt.get("join") != "sum":
        return ()
    return tuple((one.name, one.level) for one in sorted(members, key=lambda one: -one.level))


def _sentence(manifest: Manifest, one: _Member) -> Finding:
    of = "pictures" if manifest.tiling is None else "tiles"
    times = min(math.exp(min(one.level, math.log(2 * _RAREST))), _RAREST)
    count = manifest.learnt.get("levelled_on")
    number = f"{float(f'{times:.2g}'):.0f}" if times >= 10 else f"{times:.2g}"
    beyond = one.level > math.log(_RAREST)
    how = "farther out than 1 in a million" if beyond else f"as far out as 1 in {number}"
    text = f"{one.name}, {one.sense}: {how} good {of}, by the tail fitted to {count}"
    values = {"member": float(one.number), "level": one.level, "one_in": times, "score": one.raw}
    return Finding(text, values)
