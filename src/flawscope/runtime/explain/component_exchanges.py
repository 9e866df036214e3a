"""Which changes of classes belong together: what changed places, and what lies where another belongs."""

from __future__ import annotations

from collections.abc import Sequence

from flawscope.runtime.explain.component_cells import apart
from flawscope.runtime.explain.component_changes import Change


def exchanged(change: Change, other: Change, changes: Sequence[Change]) -> bool:
    """Whether each of two classes lies where the other belongs, as their strays say, or their cells."""
    if change.label == other.label or not (change.more and other.more):
        return False
    strays = change.stray, other.stray
    if [stray and stray.usual for stray in strays] == [other.label, change.label]:
        return True
    if change.count is not None or other.count is not None:
        return False
    return all(
        any(missing.label == lacking.label and swapped(extra, missing) for missing in changes)
        for extra, lacking in ((change, other), (other, change))
    )


def of_exchange(change: Change, one: Change, other: Change) -> bool:
    """Whether a change is one of two that have changed places, or what either of them brings with it."""
    part = change.label in (one.label, other.label)
    return change is one or change is other or (part and (not change.more or change.count is None))


def swapped(change: Change, other: Change) -> bool:
    """Whether one class lies where the other belongs: as its stray says, in a cell, or by their counts.

    In a cell the one must cover at least half as much as the other leaves: what merely comes to light where
    something is missing is not in its place.
    """
    if change.label == other.label or change.more == other.more or not (change.whole and other.whole):
        return False
    extra, missing = (change, other) if change.more else (other, change)
    if extra.stray is not None and extra.stray.instead:
        return extra.stray.usual == missing.label
    if change.cells and other.cells:
        return bool(set(change.cells) & set(other.cells)) and 2 * extra.amount >= missing.amount
    return change.count is not None and other.count is not None


def misplaced(change: Change, other: Change) -> bool:
    """Whether a component lies in another place than it should, while there are as many as usual."""
    same = change.label == other.label and change.more != other.more
    if not same or change.count is not None or other.count is not None:
        return False
    extra, missing = (change, other) if change.more else (other, change)
    return bool(missing.cells) and (extra.stray is not None or apart(extra.cells, missing.cells))
