"""Findings of what good pictures show and this one does not, then areas as `levels` has them.

The vector `absent` holds for each of several kinds of patches, which good pictures show, how far out the
distance from it to the nearest patch of the picture lies: 1 is as far as in any good picture. The learnt fact
`shown` holds for each kind the good picture that shows it best, counted in the order of training, and where,
in shares of its height and width; the fact `places` where good pictures show it, in shares of the frame's, or
null where that differs. Where there is a vector `pose`, pictures are seen turned, and so are `places`; the
fact `upright` holds the height and width in whose pixels it is, unless these are the frame's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flawscope.errors import BundleError
from flawscope.runtime.explain.areas import from_levels
from flawscope.runtime.explain.nearest_patch import picture_name
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.placement import Placement
from flawscope.runtime.prediction import Decision, Explanation, Finding, Prediction
from flawscope.runtime.turned_placement import TurnedPlacement

READER = "absence"  # how manifests name this reader
ABSENT, POSE, UPRIGHT = "absent", "pose", "upright"
BEYOND = 1.25  # where an absence counts as the mean peak of good pictures, and from where on findings tell it


def from_absence(manifest: Manifest, prediction: Prediction) -> Explanation:
    """One sentence on what is farthest from being in the picture, where that counts, then areas.

    Accepted pictures, and those in tiles, get the areas alone. Where the sentence is told and no area is, it
    stands alone.

    Raises:
        BundleError: the output does not fit the manifest.
    """
    areas = from_levels(manifest, prediction).findings
    ratios = prediction.outputs.get(ABSENT)
    if ratios is None or manifest.tiling is not None or prediction.decision is Decision.ACCEPT:
        return Explanation(areas)
    kind = int(np.argmax(ratios))
    if not ratios[kind] > BEYOND:
        return Explanation(areas)
    told = _sentence(manifest, prediction, kind, len(ratios), float(ratios[kind]))
    return Explanation((told, *(areas if prediction.regions else ())))


def _sentence(manifest: Manifest, prediction: Prediction, kind: int, kinds: int, ratio: float) -> Finding:
    placement = prediction.looks[0].placement
    picture, from_top, from_left = _fact(manifest, "shown", kinds)[kind]
    place = _fact(manifest, "places", kinds)[kind]
    values = {"kind": kind, "times": ratio, "picture": picture}
    where = ""
    if place is not None:
        if (pose := prediction.outputs.get(POSE)) is not None:
            placement = TurnedPlacement.of(placement, pose, _turned_at(manifest, placement))
        down, across = _share(placement, place)
        x, y = across * placement.picture[1], down * placement.picture[0]
        values |= {"x": x, "y": y}
        where = f" around ({x:.0f}, {y:.0f})"
    text = (
        f"something is missing{where}: no patch is like the one at ({from_left:.0%}, {from_top:.0%}) of "
        f"{picture_name(manifest, int(picture))}, {ratio:.3g} times as far out as in any good one learnt from"
    )
    return Finding(text, {name: float(value) for name, value in values.items()})


def _turned_at(manifest: Manifest, placement: Placement) -> tuple[int, int]:
    """Height and width at which pictures are turned."""
    known = manifest.learnt.get(UPRIGHT)
    if not isinstance(known, list):
        return placement.frame
    height, width = (int(str(side)) for side in known)
    return height, width


def _share(placement: Placement, place: Sequence[float]) -> tuple[float, float]:
    """How far down and across the picture a place in shares of the frame lies."""
    height, width = placement.frame
    return placement.share(place[0] * height, place[1] * width)


def _fact(manifest: Manifest, name: str, kinds: int) -> list[Any]:
    found = manifest.learnt.get(name)
    if isinstance(found, list) and len(found) == kinds:
        return found
    raise BundleError(
        "what the model knows of absent patches",
        expected=f"a learnt fact {name!r} of {kinds} kinds",
        got="none" if found is None else "another number of them",
        fix="Train again.",
    )
