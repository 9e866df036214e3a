"""Findings from components: what is missing, extra, in another's place or misplaced, and where.

The output `components` holds the class of each pixel, and the learnt fact `names` what to call each class,
the background first. The vector `histogram` holds the share of each class in each cell of one or several
grids; its entries are named `ROWSxCOLUMNS/CELL/CLASS`, cells and classes counted from 0. The vector `counts`
holds the number of components of each class beside the background, `elsewhere` the share of the picture
that each of them takes where good pictures never show it; the small label maps `strays` and `usual` say which
class does so in each cell, and which good pictures show there. The vector `shapes` measures the most unusual
components by themselves; its entries are named `COMPONENT/ENTRY`, counted from 0, and the small label map
`odd` says from 1 on where each lies; so do `colours` and `unlike` for those of the most unusual colours. The
vector `hues` says how far spots exceed the hues of good pictures near there, and the small label map `tinted`
which of them does so most at each. From where to where a vector lies in good pictures say `histogram_low` and
`histogram_high`, and so on. Each of the six may be absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain.areas import from_levels
from flawscope.runtime.explain.component_cells import Cell, apart
from flawscope.runtime.explain.component_changes import Change, find_changes, finest_cell
from flawscope.runtime.explain.component_exchanges import exchanged, misplaced, of_exchange, swapped
from flawscope.runtime.explain.component_hues import Tint, find_tint
from flawscope.runtime.explain.component_shapes import Odd, find_odd
from flawscope.runtime.explain.component_words import (
    cell_values,
    compartments,
    edge,
    in_cells,
    middle,
    numbers,
    values_of,
)
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.overlay import find_regions
from flawscope.runtime.prediction import Decision, Explanation, Finding, Prediction, Region, Segments
from flawscope.runtime.turned_placement import TurnedPlacement

READER = "components"  # how manifests name this reader
MOST_SENTENCES = 4
_ONE_PLACE = 0.1  # share of the picture beyond which a finding's box may hold another fault


def from_components(manifest: Manifest, prediction: Prediction) -> Explanation:
    """At most four sentences on components, the clearest first, then areas as `from_levels` finds them.

    Accepted pictures, and those in tiles, get the areas alone. Unusual shapes and colours come after what is
    missing or extra, then hues at a place that none of these explains, and last classes that merely show more
    or less. One class missing and another extra in
    the same cell, or by the counts, become one sentence, as does a class that one cell lacks and another has
    too much of, and two of which each lies where the other belongs.

    Raises:
        BundleError: the outputs do not fit the manifest.
    """
    areas = from_levels(manifest, prediction).findings
    labels = prediction.outputs.get("components")
    if labels is None or not prediction.looks[0].placement.whole:
        return Explanation(areas)
    names = manifest.learnt.get("names")
    called = [str(name) for name in names] if isinstance(names, list) else []
    segments = Segments(labels, dict(enumerate(called[1:], 1)), ("class", "instead_of"))
    if prediction.decision is Decision.ACCEPT:
        return Explanation(areas, segments=segments)
    telling = _Telling(prediction, called)
    changes = find_changes(manifest, prediction)
    odd = find_odd(manifest, prediction, finest_cell(manifest))
    whole = [change for change in changes if change.whole]
    rest = [
        change for change in changes if not change.whole and change.label not in {one.label for one in odd}
    ]
    sentences = [*telling.findings(whole), *map(telling.odd, odd)]
    sentences += [*telling.tint(find_tint(manifest, prediction), sentences), *telling.findings(rest)]
    told = tuple(sentences[:MOST_SENTENCES])
    return Explanation(told + (areas if prediction.regions or not told else ()), segments=segments)


class _Telling:
    """Sentences on the changes of one picture."""

    def __init__(self, prediction: Prediction, names: Sequence[str]) -> None:
        self.heatmap, self.names = prediction.heatmap, names
        self.labels: NDArray[np.integer] | None = None
        if self.heatmap is not None:
            placement = prediction.looks[0].placement
            self.labels = placement.labels_back(prediction.outputs["components"])
            self.placement = placement

    def findings(self, changes: Sequence[Change]) -> Iterator[Finding]:
        """One for each change, or for those that belong together."""
        told: set[int] = set()
        for first, change in enumerate(changes):
            if first in told:
                continue
            left = {index: one for index, one in enumerate(changes) if index not in told}
            exchanges = (
                pair
                for pair in combinations(left.values(), 2)
                if exchanged(*pair, changes) and of_exchange(change, *pair)
            )
            exchange = next(exchanges, None)
            if exchange is not None:
                told |= {index for index, one in left.items() if of_exchange(one, *exchange)}
                yield self._exchange(*exchange)
                continue
            pairs = (
                index for belong in (swapped, misplaced) for index, one in left.items() if belong(change, one)
            )
            partner = next(pairs, None)
            if partner is None:
                yield self._single(change)
                continue
            told.add(partner)
            pair = sorted((change, changes[partner]), key=lambda one: one.more)
            yield self._pair(missing=pair[0], extra=pair[1])

    def odd(self, one: Odd) -> Finding:
        """One for a component of an unusual shape or unusual colours."""
        cells = (one.cell,) if one.cell is not None and not one.wide else ()
        place, values = self._in(cells), one.values | cell_values(cells)
        region = self._back(one.squares)
        if region is not None and not one.wide:
            x, y = middle(region)
            values |= {"x": float(x), "y": float(y)}
            place += f"{',' if place else ''} around ({x}, {y})"
        return Finding(f"{self._name(one.label)} {one.how}{place}: {one.numbers}", values, region)

    def tint(self, one: Tint | None, told: Sequence[Finding]) -> Iterator[Finding]:
        """One for spots of an unusual hue, unless what was told already lies there."""
        region = None if one is None else self._back(one.spots)
        if one is None or region is None or self.heatmap is None:
            return
        most = _ONE_PLACE * self.heatmap.size
        if any(_lies_in(region, finding, most) for finding in told):
            return
        x, y = middle(region)
        text = f"{one.how} around ({x}, {y}) than good pictures are near there: {one.numbers}"
        yield Finding(text, one.values | {"x": float(x), "y": float(y)}, region)

    def _single(self, change: Change) -> Finding:
        name, region = self._name(change.label), self._region(change)
        if change.stray is not None and change.count is None:
            what = name
        elif change.whole:
            what = f"{'extra' if change.more else 'missing'} {name}"
        else:
            what = f"{'more' if change.more else 'less'} {name} than usual"
        place = self._place(change, region) + self._instead(change)
        return Finding(f"{what}{place}: {numbers(change)}", self._values(change, region), region)

    def _pair(self, *, missing: Change, extra: Change) -> Finding:
        region = self._region(extra)
        values, name = self._values(extra, region), self._name(extra.label)
        if missing.label == extra.label:
            place = self._in(extra.where)
            if apart(extra.where, missing.cells):
                there = self._in(missing.cells).removeprefix(" in ")
                place = f" in {compartments(extra.where)} instead of {there}"
                values["instead_of_cell"] = float(missing.cells[0].index + 1)
            text = f"{name}{self._place(extra, region, place)}{self._instead(extra)}"
            return Finding(f"{text}: {numbers(extra)}", values, region)
        common = tuple(cell for cell in extra.where if cell in missing.cells)
        cells = common or extra.where or missing.cells
        both = "; ".join(f"{self._name(one.label)} {numbers(one)}" for one in (extra, missing))
        place = self._place(extra, region, self._in(cells))
        text = f"{name} instead of {self._name(missing.label)}{place}: {both}"
        values["instead_of"] = float(missing.label)
        return Finding(text, values | cell_values(cells), region)

    def _exchange(self, one: Change, other: Change) -> Finding:
        """Two classes of which each lies where the other belongs."""
        first, second = self._name(one.label), self._name(other.label)
        regions = [self._region(change) for change in (one, other)]
        told = [
            f"{name}{self._place(change, region)}: {numbers(change)}"
            for name, change, region in zip((first, second), (one, other), regions, strict=True)
        ]
        values, there = self._values(one, regions[0]), self._values(other, regions[1])
        values["instead_of"] = float(other.label)
        values |= {f"instead_of_{name}": there[name] for name in ("cell", "x", "y") if name in there}
        return Finding(f"{first} and {second} have changed places: {'; '.join(told)}", values, regions[0])

    def _place(self, change: Change, region: Region | None, cells: str | None = None) -> str:
        """Where: the compartments, and of a stray the edge of the picture and the middle of its region.

        Of a part that is seen turned that middle is always told, for nobody sees its compartments.
        """
        place = self._in(change.where) if cells is None else cells
        if not self._at(change) or region is None or self.heatmap is None:
            return place
        if change.stray is not None:
            place = edge(region, self.heatmap.shape) + place
        x, y = middle(region)
        return f"{place}{',' if place else ''} around ({x}, {y})"

    def _instead(self, change: Change) -> str:
        """What belongs where a stray lies."""
        if change.stray is None:
            return ""
        return f", where good pictures show {self._name(change.stray.usual)}"

    def _values(self, change: Change, region: Region | None) -> dict[str, float]:
        values = values_of(change)
        if self._at(change) and region is not None:
            values["x"], values["y"] = map(float, middle(region))
        return values

    def _in(self, cells: Sequence[Cell]) -> str:
        """In which compartments."""
        of = " of the part as it is turned" if cells and isinstance(self.placement, TurnedPlacement) else ""
        return in_cells(cells) + of

    def _at(self, change: Change) -> bool:
        """Whether the middle of its region is told."""
        return change.stray is not None or isinstance(self.placement, TurnedPlacement)

    def _name(self, label: int) -> str:
        """What the class is called."""
        if label < len(self.names):
            return self.names[label]
        return f"class {label}" if label else "background"

    def _region(self, change: Change) -> Region | None:
        """The component of the class, in its cell, over which the heatmap is highest; of a stray its cells.

        What is missing lies nowhere: its cell stands for it, and nothing where no cell is known.
        """
        if self.heatmap is None or self.labels is None or not (change.more or change.cells):
            return None
        inside = self.labels == change.label if change.more else np.ones(self.labels.shape, bool)
        if change.stray is not None:
            cells = self.placement.labels_back(change.stray.cells.astype(np.uint8)) == 1
            inside = inside & cells if (inside & cells).any() else cells
        elif change.cells:
            inside &= self._cell(change.cells[0])
        return self._highest(inside)

    def _back(self, squares: NDArray[np.bool_]) -> Region | None:
        """The part of squares (h, w) of the frame, in the picture, over which the heatmap is highest."""
        if self.heatmap is None:
            return None
        return self._highest(self.placement.labels_back(squares.astype(np.uint8)) == 1)

    def _highest(self, inside: NDArray[np.bool_]) -> Region | None:
        """The connected part of a mask (H, W) over which the heatmap is highest."""
        if self.heatmap is None:
            return None
        values = np.where(inside, self.heatmap, -np.inf).astype(np.float32)
        return next(iter(find_regions(values, -np.inf, most=1)), None)

    def _cell(self, cell: Cell) -> NDArray[np.bool_]:
        """Pixels of the picture (H, W) that lie in the cell."""
        frame = np.zeros(self.placement.frame, np.uint8)
        left, top, right, bottom = cell.box(*frame.shape)
        frame[top:bottom, left:right] = 1
        return np.asarray(self.placement.labels_back(frame) == 1)


def _lies_in(region: Region, finding: Finding, most: float) -> bool:
    """Whether a finding, in a box of at most so many pixels, or its other part lies where a region does."""
    x, y = middle(region)
    left, top, right, bottom = (0, 0, 0, 0) if finding.region is None else finding.region.box
    if left <= x < right and top <= y < bottom and (right - left) * (bottom - top) <= most:
        return True
    left, top, right, bottom = region.box
    x, y = (round(finding.values.get(f"instead_of_{name}", -1)) for name in ("x", "y"))
    return left <= x < right and top <= y < bottom
