"""Spots of a hue that good pictures never show near there: which hue, by how much, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain.component_cells import FAR, clearness
from flawscope.runtime.explain.named import entries_of
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Prediction

HUES = ("hues", "hues_low", "hues_high", "tinted")
_WORDS = {"red": "redder", "yellow": "yellower", "green": "greener", "blue": "bluer"}
_MOST_WORDS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Tint:
    """The spots of a picture that have clearly more of a hue than good pictures have near there.

    Attributes:
        excess: by hue, the clearest first: the most that a spot exceeds good ones by, in deviations of these
            there, and what 19 of 20 good pictures stay below.
        spots: (h, w) where any of these hues exceeds that.
    """

    excess: Mapping[str, tuple[float, float]]
    spots: NDArray[np.bool_] = field(repr=False)

    @property
    def how(self) -> str:
        """In what they differ, for example: redder and yellower."""
        return " and ".join(_WORDS[name] for name in list(self.excess)[:_MOST_WORDS])

    @property
    def numbers(self) -> str:
        """By how much, and what good pictures show."""
        found, high = next(iter(self.excess.values()))
        return f"{found:.1f} deviations beyond all that were learnt from (good pictures up to {high:.1f})"

    @property
    def values(self) -> dict[str, float]:
        """The same as numbers."""
        values = dict[str, float]()
        for name, (found, high) in self.excess.items():
            values |= {name: found, f"{name}_high": high}
        return values


def find_tint(manifest: Manifest, prediction: Prediction) -> Tint | None:
    """What lies clearly beyond the hues of good pictures, None where nothing does.

    Args:
        manifest: names the entries of the vector `hues`.
        prediction: whose outputs hold that, its range, and the small label map `tinted`, which says from 1 on
            which hue a spot has more of; without them there is nothing.

    Raises:
        BundleError: the model names another number of hues than there are.
    """
    if not prediction.outputs.keys() >= set(HUES):
        return None
    rows = np.stack([np.asarray(prediction.outputs[name], np.float64) for name in HUES[:3]]).T.tolist()
    names = entries_of(manifest, HUES[0], len(rows))
    clear = {
        index: clearness(found, low, high)
        for index, (found, low, high) in enumerate(rows)
        if names[index] in _WORDS
    }
    told = sorted((index for index in clear if clear[index] >= FAR), key=lambda index: -clear[index])
    spots = np.isin(np.asarray(prediction.outputs[HUES[3]]), [index + 1 for index in told])
    if not spots.any():
        return None
    return Tint({names[index]: (rows[index][0], rows[index][2]) for index in told}, spots)
