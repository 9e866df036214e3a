"""Explanations: what a picture's named outputs say, in sentences with numbers. Plain numpy.

A manifest's `explains` names the reader by what it reads. Other packages add theirs through entry points of
the group `flawscope.explainers`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from flawscope.errors import BundleError
from flawscope.runtime.explain import (
    absence,
    areas,
    components,
    joint,
    judged_components,
    nearest_patch,
    segment_statistics,
    two_maps,
)
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Explanation, Prediction

__all__ = ["GROUP", "Explainer", "Explanation", "explainer"]

Explainer = Callable[[Manifest, Prediction], Explanation]

GROUP = "flawscope.explainers"
BUILT_IN: dict[str, Explainer] = {
    absence.READER: absence.from_absence,
    components.READER: components.from_components,
    joint.READER: lambda manifest, prediction: joint.from_members(manifest, prediction, explainer),
    judged_components.READER: judged_components.from_judged_components,
    "distances": areas.from_distances,
    "levels": areas.from_levels,
    "patches": nearest_patch.from_nearest_patches,
    "segments": segment_statistics.from_segments,
    two_maps.READER: two_maps.from_two_maps,
}


def explainer(name: str) -> Explainer:
    """The reader of that name.

    Raises:
        BundleError: neither this package nor an installed one has it.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    for point in entry_points(group=GROUP, name=name):
        found: Explainer = point.load()
        return found
    raise BundleError(
        "explanations of the model",
        expected=f"one of {', '.join(sorted(BUILT_IN))}, or what an installed package adds",
        got=repr(name),
        fix="Install the package that the model's method comes from.",
    )
