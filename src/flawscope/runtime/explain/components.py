"""Findings from components: what is missing, extra, in another's place or misplaced, and where.

The output `components` holds the class of each pixel, and the learnt fact `names` what to call each class,
the background first. The vector `histogram` holds the share of each class in each cell of one or several
grids; its entries are named `ROWSxCOLUMNS/CELL/CLASS`, cells and classes counted from 0. The vector `counts`
holds the number of components of each class beside the background, where the method counts them. From where
to where both lie in good pictures say `histogram_low` and `histogram_high`, `counts_low` and `counts_high`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain.areas import from_levels
from flawscope.runtime.explain.component_changes import SHARES, Cell, Change, find_changes
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.overlay import find_regions
from flawscope.runtime.prediction import Decision, Explanation, Finding, Prediction, Region, Segments

READER = "components"  # how manifests name this reader
MOST_SENTENCES = 4


def from_components(manifest: Manifest, prediction: Prediction) -> Explanation:
    """At most four sentences on components, the clearest first, then areas as `from_levels` finds them.

    Accepted pictures get the areas alone. One class missing and another extra in the same cell, or by the
    counts, become one sentence, as does a class that one cell lacks and another has too much of.

    Raises:
        BundleError: the outputs do not fit the manifest.
    """
    areas = from_levels(manifest, prediction).findings
    labels = prediction.outputs.get("components")
    if labels is None:
        return Explanation(areas)
    names = manifest.learnt.get("names")
    called = [str(name) for name in names] if isinstance(names, list) else []
    segments = Segments(labels, dict(enumerate(called[1:], 1)))
    if prediction.decision is Decision.ACCEPT or not prediction.outputs.keys() >= set(SHARES):
        return Explanation(areas, segments=segments)
    telling = _Telling(manifest, prediction, called)
    told = tuple(telling.findings(find_changes(manifest, prediction)))[:MOST_SENTENCES]
    return Explanation(told + (areas if prediction.regions or not told else ()), segments=segments)


class _Telling:
    """Sentences on the changes of one picture."""

    def __init__(self, manifest: Manifest, prediction: Prediction, names: Sequence[str]) -> None:
        self.heatmap, self.names = prediction.heatmap, names
        self.labels: NDArray[np.integer] | None = None
        if self.heatmap is not None:
            placement = manifest.frame.placement(*self.heatmap.shape)
            self.labels = placement.labels_back(prediction.outputs["components"])
            self.placement = placement

    def findings(self, changes: Sequence[Change]) -> Iterator[Finding]:
        """One for each change, or for two that belong together."""
        told: set[int] = set()
        for first, change in enumerate(changes):
            if first in told:
                continue
            partner = next(
                (
                    second
                    for belong in (_swapped, _misplaced)
                    for second, other in enumerate(changes)
                    if second not in told and belong(change, other)
                ),
                None,
            )
            if partner is None:
                yield self._single(change)
                continue
            told.add(partner)
            pair = sorted((change, changes[partner]), key=lambda one: one.more)
            yield self._pair(missing=pair[0], extra=pair[1])

    def _single(self, change: Change) -> Finding:
        name = self._name(change)
        if change.whole:
            what = f"{'extra' if change.more else 'missing'} {name}"
        else:
            what = f"{'more' if change.more else 'less'} {name} than usual"
        return Finding(
            f"{what}{_place(change.cells)}: {_numbers(change)}", _values(change), self._region(change)
        )

    def _pair(self, *, missing: Change, extra: Change) -> Finding:
        values = _values(extra)
        if missing.label == extra.label:
            here, there = _compartments(extra.cells), _place(missing.cells).removeprefix(" in ")
            text = f"{self._name(extra)} in {here} instead of {there}"
            values["instead_of_cell"] = float(missing.cells[0].index + 1)
            return Finding(f"{text}: {_numbers(extra)}", values, self._region(extra))
        cells = tuple(cell for cell in extra.cells if cell in missing.cells) or extra.cells or missing.cells
        both = "; ".join(f"{self._name(one)} {_numbers(one)}" for one in (extra, missing))
        text = f"{self._name(extra)} instead of {self._name(missing)}{_place(cells)}: {both}"
        values["instead_of"] = float(missing.label)
        return Finding(text, values | _cell_values(cells), self._region(extra))

    def _name(self, change: Change) -> str:
        """What the class is called."""
        known = change.label < len(self.names)
        return self.names[change.label] if known else f"class {change.label}"

    def _region(self, change: Change) -> Region | None:
        """The component of the class, in its cell, over which the heatmap is highest.

        What is missing lies nowhere: its cell stands for it, and nothing where no cell is known.
        """
        if self.heatmap is None or self.labels is None or not (change.more or change.cells):
            return None
        inside = self.labels == change.label if change.more else np.ones(self.labels.shape, bool)
        if change.cells:
            inside &= self._cell(change.cells[0])
        values = np.where(inside, self.heatmap, -np.inf).astype(np.float32)
        return next(iter(find_regions(values, -np.inf, most=1)), None)

    def _cell(self, cell: Cell) -> NDArray[np.bool_]:
        """Pixels of the picture (H, W) that lie in the cell."""
        frame = np.zeros(self.placement.frame, np.uint8)
        left, top, right, bottom = cell.box(*frame.shape)
        frame[top:bottom, left:right] = 1
        return np.asarray(self.placement.labels_back(frame) == 1)


def _swapped(change: Change, other: Change) -> bool:
    """Whether one class lies where the other belongs: in a cell that both tell, or by their counts.

    In a cell the one must cover at least half as much as the other leaves: what merely comes to light where
    something is missing is not in its place.
    """
    if change.label == other.label or change.more == other.more or not (change.whole and other.whole):
        return False
    if change.cells and other.cells:
        extra, missing = (change, other) if change.more else (other, change)
        return bool(set(change.cells) & set(other.cells)) and 2 * extra.amount >= missing.amount
    return change.count is not None and other.count is not None


def _misplaced(change: Change, other: Change) -> bool:
    """Whether a component lies in another cell than it should, while there are as many as usual."""
    same = change.label == other.label and change.more != other.more
    counted = change.count is None and other.count is None
    return same and counted and bool(change.cells and other.cells)


def _place(cells: Sequence[Cell]) -> str:
    """Where, counted from left to right and top to bottom; empty for the picture as a whole.

    >>> _place([Cell(3, 4, 6)]), _place([Cell(1, 6, 0), Cell(1, 6, 2)]), _place([])
    (' in compartment 7 of 3×4', ' in compartments 1 and 3 of 1×6', '')
    """
    return f" in {_compartments(cells)} of {cells[0].rows}×{cells[0].columns}" if cells else ""


def _compartments(cells: Sequence[Cell]) -> str:
    """The cells' numbers, from 1."""
    *others, last = sorted(cell.index + 1 for cell in cells)
    if not others:
        return f"compartment {last}"
    return f"compartments {', '.join(map(str, others))} and {last}"


def _numbers(change: Change) -> str:
    """What was found and what good pictures show."""
    if change.count is not None:
        found, low, high = change.count
        return f"{found} found, {low if low == high else f'{low} to {high}'} expected"
    if change.shares is None:  # pragma: no cover - a change has either
        return ""
    digits = 1 if max(change.shares) >= 0.01 else 2
    told, low_told, high_told = (f"{100 * share:.{digits}f}" for share in change.shares)
    usual = low_told if low_told == high_told else f"{low_told} to {high_told}"
    return f"area {told} % (good pictures {usual} %)"


def _values(change: Change) -> dict[str, float]:
    values = {"class": float(change.label), "more": float(change.more)}
    for name, numbers in (("area", change.shares), ("count", change.count)):
        if numbers is not None:
            found, low, high = map(float, numbers)
            values |= {name: found, f"{name}_low": low, f"{name}_high": high}
    return values | _cell_values(change.cells)


def _cell_values(cells: Sequence[Cell]) -> dict[str, float]:
    """The first cell's number from 1, and its grid."""
    if not cells:
        return {}
    rows, columns, index = float(cells[0].rows), float(cells[0].columns), float(cells[0].index + 1)
    return {"cell": index, "rows": rows, "columns": columns}
