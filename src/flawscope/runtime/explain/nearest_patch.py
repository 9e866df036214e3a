"""Findings of methods that compare patches: which patch stands out, and the good patch most like it.

The outputs `distance_θ` and `nearest_θ` hold, for each patch of θ pixels, its distance to the nearest good
patch and that one's number among all good patches, picture by picture and line by line, on the same grid.
The learnt facts `sides` and `strides` hold each θ and the pixels from patch to patch. Pictures are counted in
the order of training, in which the manifest's provenance names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain.areas import from_distances
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Explanation, Finding, Look, Prediction, Region


@dataclass(frozen=True, slots=True)
class PatchMatch:
    """A patch, and the good patch nearest to it; places are in pixels of the model's input.

    Attributes:
        side: of both.
        corner: row and column of the patch's top left pixel.
        excess: by how much the mean distance of the patches over the place exceeds the picture's median.
        times: its distance by the median of the picture's patches of this size; None where that is 0.
        picture: which good picture, in the order of training.
        origin: row and column of the good patch's top left pixel.
    """

    side: int
    corner: tuple[int, int]
    excess: float
    times: float | None
    picture: int
    origin: tuple[int, int]


def from_nearest_patches(manifest: Manifest, prediction: Prediction) -> Explanation:
    """Areas as `from_distances` finds them, each with the patch at its peak and the nearest good one."""
    findings = from_distances(manifest, prediction).findings
    return Explanation(tuple(_matched(manifest, prediction, finding) for finding in findings))


def find_match(manifest: Manifest, prediction: Prediction, region: Region) -> PatchMatch | None:
    """The patch over the region's peak that stands out most, or None where the outputs tell none.

    Of the patch sizes that one counts whose mean distance over the peak exceeds the picture's median most:
    it raises the map there most.
    """
    look = prediction.look_at(region.peak)
    if look is None:
        return None
    row, column = look.placement.to_frame(region.peak)
    matches = [grid.match(int(row), int(column)) for grid in _grids(manifest, look)]
    return max(matches, key=lambda match: match.excess, default=None)


def picture_name(manifest: Manifest, index: int) -> str:
    """What the good picture `index` is called, a tile of it where it was cut into several.

    It is told by its number where the manifest does not name it.
    """
    left = index
    for picture in manifest.provenance.pictures:
        if picture.role == "normal":
            if left < picture.frames:
                return picture.name if picture.frames == 1 else f"tile {left + 1} of {picture.name}"
            left -= picture.frames
    return f"training picture {index + 1}"


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """The patches of one size: distances and numbers of the nearest good ones, (h, w) each."""

    side: int
    stride: int
    distances: NDArray[np.float32]
    nearest: NDArray[np.integer]

    def match(self, row: int, column: int) -> PatchMatch:
        """The patch that stands out most among those over a pixel of the model's input."""
        rows, columns = self._over(row, 0), self._over(column, 1)
        over, usual = self.distances[rows, columns], float(np.median(self.distances))
        down, across = divmod(int(over.argmax()), over.shape[1])
        place = rows.start + down, columns.start + across
        picture, cell = divmod(int(self.nearest[place]), self.distances.size)
        origin = divmod(cell, self.distances.shape[1])
        return PatchMatch(
            side=self.side,
            corner=(place[0] * self.stride, place[1] * self.stride),
            excess=float(over.mean()) - usual,
            times=float(self.distances[place]) / usual if usual > 0 else None,
            picture=picture,
            origin=(origin[0] * self.stride, origin[1] * self.stride),
        )

    def _over(self, place: int, axis: int) -> slice:
        """Patches along one axis that cover a pixel; the last one for pixels that none covers."""
        last = self.distances.shape[axis] - 1
        first = min(max(-((self.side - 1 - place) // self.stride), 0), last)
        return slice(first, min(place // self.stride, last) + 1)


def _grids(manifest: Manifest, look: Look) -> Iterator[_Grid]:
    """The patch sizes that fit told and the outputs hold."""
    scales, strides = manifest.learnt.get("sides"), manifest.learnt.get("strides")
    if not isinstance(scales, list) or not isinstance(strides, list):
        return
    for side, stride in zip(scales, strides, strict=True):
        distances, nearest = (look.outputs.get(f"{name}_{side}") for name in ("distance", "nearest"))
        if isinstance(side, int) and isinstance(stride, int) and not (distances is None or nearest is None):
            yield _Grid(side, stride, distances, nearest)


def _matched(manifest: Manifest, prediction: Prediction, finding: Finding) -> Finding:
    match = find_match(manifest, prediction, finding.region) if finding.region else None
    look = prediction.look_at(finding.region.peak) if finding.region else None
    if match is None or look is None:
        return finding
    placement, (tall, wide) = look.placement, look.placement.picture
    good = placement if manifest.tiling is None else placement.alone(placement.frame)
    (down, across), (from_top, from_left) = (
        place.share(row + match.side / 2, column + match.side / 2)
        for place, (row, column) in ((placement, match.corner), (good, match.origin))
    )
    far = "" if match.times is None else f", {match.times:.3g} times as far from it as usual here"
    text = (
        f"{finding.text}; its patch around ({across * wide:.0f}, {down * tall:.0f}) comes closest to the "
        f"good one at ({from_left:.0%}, {from_top:.0%}) of {picture_name(manifest, match.picture)}{far}"
    )
    (top, left), (nearest_top, nearest_left) = match.corner, match.origin
    values = {"patch_side": match.side, "patch_top": top, "patch_left": left}
    values |= {"nearest_picture": match.picture, "nearest_top": nearest_top, "nearest_left": nearest_left}
    if manifest.tiling is not None:
        values |= {"tile_top": -placement.corner[0], "tile_left": -placement.corner[1]}
    told = finding.values | {name: float(value) for name, value in values.items()}
    told |= {} if match.times is None else {"patch_times": match.times}
    return replace(finding, text=text, values=told)
