"""Spots of a hue that good pictures never show near there: which hue, by how much, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain.component_cells import FAR, clearness
from flawscope.runtime.explain.named import entries_of
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Prediction

HUES = ("hues", "hues_low", "hues_high", "tinted")
_WORDS = {"red": "redder", "yellow": "yellower", "green": "greener", "blue": "bluer"}
_OPPOSITE = {"red": "green", "yellow": "blue", "green": "red", "blue": "yellow"}
_PLAIN = 0.5  # deviations beyond good pictures' hues from which on one is worth a sentence
Range = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Tint:
    """Areas of a picture that have more of a hue than good pictures have near there, somewhere clearly more.

    Attributes:
        excess: by hue, the clearest first, one or two: the most that a spot of the picture exceeds good ones
            by, in deviations of these there, and the lowest and highest usual peak.
        spots: (h, w) where one of these hues stands out.
    """

    excess: Mapping[str, Range]
    spots: NDArray[np.bool_] = field(repr=False)

    @property
    def how(self) -> str:
        """In what they differ, for example: redder and yellower."""
        return " and ".join(_WORDS[name] for name in self.excess)

    @property
    def numbers(self) -> str:
        """By how much, and what good pictures show."""
        found, _, high = next(iter(self.excess.values()))
        return f"{found:.1f} deviations beyond all that were learnt from (good pictures up to {high:.1f})"

    @property
    def values(self) -> dict[str, float]:
        """The same as numbers."""
        values = dict[str, float]()
        for name, (found, low, high) in self.excess.items():
            values |= {f"hue_{name}": found, f"hue_{name}_low": low, f"hue_{name}_high": high}
        return values


def find_tint(manifest: Manifest, prediction: Prediction) -> Tint | None:
    """Where the clearest hue lies clearly beyond those of good pictures; None where none does.

    Args:
        manifest: names the entries of the vector `hues`.
        prediction: whose outputs hold that, its range, and the small label map `tinted`, which says from 1 on
            which hue a spot has most more of; without them there is nothing.

    Raises:
        BundleError: the model names another number of hues than there are.
    """
    if not prediction.outputs.keys() >= set(HUES):
        return None
    rows = np.stack([np.asarray(prediction.outputs[name], np.float64) for name in HUES[:3]]).T.tolist()
    names = entries_of(manifest, HUES[0], len(rows))
    tinted = np.asarray(prediction.outputs[HUES[3]])  # (h, w)
    ranges = {
        name: (found, low, high)
        for index, (name, (found, low, high)) in enumerate(zip(names, rows, strict=True), 1)
        if name in _WORDS
        and found >= _PLAIN
        and clearness(found, low, high) >= FAR
        and (tinted == index).any()
    }
    if not ranges:
        return None
    first, *others = sorted(ranges, key=lambda name: (-clearness(*ranges[name]), -ranges[name][0]))
    where = {name: tinted == names.index(name) + 1 for name in ranges}
    beside = {name: where[name] for name in others if name != _OPPOSITE[first]}
    _, areas = cv2.connectedComponents(np.any([where[first], *beside.values()], 0).astype(np.uint8))
    spots = np.isin(areas, areas[where[first]])
    told = [first, *(name for name in beside if (spots & beside[name]).any())][:2]
    return Tint({name: ranges[name] for name in told}, np.asarray(spots))
