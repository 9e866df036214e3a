"""What a picture shows too much or too little of: by shares of cells, counts, and what lies elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flawscope.runtime.explain.component_cells import FAR, Cell, clearness
from flawscope.runtime.explain.component_strays import Stray, find_strays
from flawscope.runtime.explain.named import entries_of, names_of
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Prediction

SHARES = ("histogram", "histogram_low", "histogram_high")
COUNTS = ("counts", "counts_low", "counts_high")
CLEAR = 0.2  # share of the clearest change from which on another is worth a sentence
MOST_CELLS = 3
_MISSING, _EXTRA = 0.7, 1.3  # of what good pictures show: a component less below, one more above


@dataclass(frozen=True, slots=True)
class Change:
    """A class of which a picture shows too much or too little.

    Attributes:
        label: the class.
        more: whether it is too much.
        clear: how far that lies beyond good pictures, in widths of their range.
        cells: where, the clearest first; empty where only the picture as a whole tells.
        shares: found, lowest and highest usual share of the first cell, or of the picture; None where only
            the count or a stray tells.
        count: found, lowest and highest usual number of components; None where it is not amiss.
        stray: where the class lies though good pictures never show it there, if it does.
    """

    label: int
    more: bool
    clear: float
    cells: tuple[Cell, ...] = ()
    shares: tuple[float, float, float] | None = None
    count: tuple[int, int, int] | None = None
    stray: Stray | None = None

    @property
    def where(self) -> tuple[Cell, ...]:
        """The stray's cell, or else `cells`."""
        return (self.stray.cell,) if self.stray is not None and self.stray.cell is not None else self.cells

    @property
    def whole(self) -> bool:
        """Whether a whole component is missing or extra, not just more or less of one to be seen."""
        if self.count is not None or self.stray is not None or self.shares is None:
            return self.count is not None or self.stray is not None
        found, low, high = self.shares
        return found > _EXTRA * high if self.more else found < _MISSING * low

    @property
    def amount(self) -> float:
        """By how much the share lies beyond the usual ones; 0 where it does not tell."""
        if self.shares is None:
            return 0.0
        found, low, high = self.shares
        return max(found - high, low - found)


def find_changes(manifest: Manifest, prediction: Prediction) -> tuple[Change, ...]:
    """What lies clearly beyond good pictures, the clearest first, of these strays before the others.

    Each class is told at most once either way, but for further strays of it. Where whole components are
    missing or extra, nothing is told of classes that merely show more or less.

    Raises:
        BundleError: the model names another number of entries than the histogram has.
    """
    found = {(change.label, change.more): change for change in _by_share(manifest, prediction)}
    for change in _by_count(prediction):
        seen = found.get((change.label, change.more), change)
        found[change.label, change.more] = replace(
            seen, count=change.count, clear=max(seen.clear, change.clear)
        )
    changes = _with_strays(found, find_strays(prediction, finest_cell(manifest)))
    whole = [change for change in changes if change.whole]
    ordered = sorted(whole or changes, key=lambda change: (-change.clear, change.stray is None))
    return tuple(change for change in ordered if change.clear >= CLEAR * ordered[0].clear)


def _with_strays(found: Mapping[tuple[int, bool], Change], strays: Sequence[Stray]) -> list[Change]:
    """The changes, each class's largest stray told with what there is too much of where it lies."""
    merged, others = dict(found), []
    for stray in strays:
        alone = Change(stray.label, more=True, clear=stray.clear, stray=stray)
        seen = merged.setdefault((stray.label, True), alone)
        if seen.stray is None and (not seen.cells or any(map(stray.reaches, seen.cells))):
            clear = max(seen.clear, stray.clear)
            merged[stray.label, True] = replace(seen, clear=clear, stray=stray)
        elif seen is not alone:
            others.append(alone)
    return [*merged.values(), *others]


def _cell(name: str) -> Cell:
    grid, index, _ = name.split("/")
    rows, columns = map(int, grid.split("x"))
    return Cell(rows, columns, int(index))


def finest_cell(manifest: Manifest) -> Cell | None:
    """A cell of the histogram's finest grid; None where it takes the picture as a whole."""
    finest = max(map(_cell, names_of(manifest, SHARES[0])), key=lambda cell: cell.of, default=None)
    return finest if finest is not None and finest.of > 1 else None


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of the histogram that lies beyond good pictures; see `Change`."""

    cell: Cell
    label: int
    more: bool
    clear: float
    shares: tuple[float, float, float]


def _entries(manifest: Manifest, prediction: Prediction) -> Iterator[_Entry]:
    if not prediction.outputs.keys() >= set(SHARES):
        return
    values = np.stack([np.asarray(prediction.outputs[name], np.float64) for name in SHARES])  # (3, D)
    names = entries_of(manifest, SHARES[0], values.shape[1])
    for name, (found, low, high) in zip(names, values.T.tolist(), strict=True):
        cell = _cell(name)
        clear = clearness(found, low, high, cell.of)
        if clear >= FAR:
            yield _Entry(cell, int(name.rpartition("/")[2]), found > high, clear, (found, low, high))


def _by_share(manifest: Manifest, prediction: Prediction) -> Iterator[Change]:
    """For each class, either way, the cells of the finest grid that shows it about as clearly as any."""
    groups: dict[tuple[int, bool], list[_Entry]] = {}
    for entry in _entries(manifest, prediction):
        groups.setdefault((entry.label, entry.more), []).append(entry)
    for (label, more), entries in groups.items():
        clearest = max(entry.clear for entry in entries)
        clear = [entry for entry in entries if entry.clear >= clearest / 2]
        finest = max(entry.cell.of for entry in clear)
        chosen = sorted((one for one in clear if one.cell.of == finest), key=_amiss)
        cells = tuple(entry.cell for entry in chosen[:MOST_CELLS]) if finest > 1 else ()
        yield Change(label, more, clearest, cells, chosen[0].shares)


def _amiss(entry: _Entry) -> tuple[float, float]:
    """Orders entries of one class by how clear they are, then by how much is amiss."""
    found, low, high = entry.shares
    return -entry.clear, -max(found - high, low - found)


def _by_count(prediction: Prediction) -> Iterator[Change]:
    """Classes of which there are too many or too few components."""
    if not prediction.outputs.keys() >= set(COUNTS):
        return
    values = np.stack([np.rint(prediction.outputs[name]).astype(int) for name in COUNTS])  # (3, K)
    for label, (found, low, high) in enumerate(values.T.tolist(), 1):
        beyond = max(found - high, low - found)
        if beyond > 0:
            yield Change(label, found > high, beyond / (high - low + 1), count=(found, low, high))
