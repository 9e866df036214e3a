"""What sentences on components say of places and amounts, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Sequence

from flawscope.runtime.explain.component_cells import Cell
from flawscope.runtime.explain.component_changes import Change
from flawscope.runtime.prediction import Region

_EDGE = 8  # the outer one in so many of a picture's height or width is its edge


def in_cells(cells: Sequence[Cell]) -> str:
    """Where, counted from left to right and top to bottom; empty for the picture as a whole.

    >>> in_cells([Cell(3, 4, 6)]), in_cells([Cell(1, 6, 0), Cell(1, 6, 2)]), in_cells([])
    (' in compartment 7 of 3×4', ' in compartments 1 and 3 of 1×6', '')
    """
    return f" in {compartments(cells)} of {cells[0].rows}×{cells[0].columns}" if cells else ""


def compartments(cells: Sequence[Cell]) -> str:
    """The cells' numbers, from 1."""
    *others, last = sorted(cell.index + 1 for cell in cells)
    if not others:
        return f"compartment {last}"
    return f"compartments {', '.join(map(str, others))} and {last}"


def numbers(change: Change) -> str:
    """What was found and what good pictures show."""
    if change.count is not None:
        found, low, high = change.count
        return f"{found} found, {low if low == high else f'{low} to {high}'} expected"
    shares = _shares(change)
    if shares is None:  # pragma: no cover - a change has one of the three
        return ""
    digits = 1 if max(shares) >= 0.01 else 2
    told, low_told, high_told = (f"{100 * share:.{digits}f}" for share in shares)
    usual = low_told if low_told == high_told else f"{low_told} to {high_told}"
    of = "" if shares == change.shares else " of the picture"
    return f"area {told} %{of} (good pictures {usual} %)"


def _shares(change: Change) -> tuple[float, float, float] | None:
    """Found, lowest and highest usual: of its cell, or of the picture where the class strays beside that."""
    stray = change.stray
    if stray is None or (change.cells and change.cells[0] == stray.cell):
        return change.shares
    return stray.area, 0.0, stray.high


def middle(region: Region) -> tuple[int, int]:
    """(x, y) of the middle of its box."""
    left, top, right, bottom = region.box
    return (left + right) // 2, (top + bottom) // 2


def edge(region: Region, size: tuple[int, ...]) -> str:
    """At which edge or corner of a picture of this height and width a region lies; empty inside.

    >>> inside, corner = (Region((left, 90, left + 9, 99), 81, (left, 90), 1.0) for left in (50, 90))
    >>> edge(inside, (200, 100)), edge(corner, (200, 100)), edge(corner, (100, 100))
    ('', ' at the right edge', ' at the bottom right corner')
    """
    named = (("left", "right"), ("top", "bottom"))
    across, down = (
        names[at > length // 2] if min(at, length - at) * _EDGE < length else ""
        for names, at, length in zip(named, middle(region), reversed(size), strict=True)
    )
    if across and down:
        return f" at the {down} {across} corner"
    return f" at the {down or across} edge" if across or down else ""


def values_of(change: Change) -> dict[str, float]:
    """Class, direction, area, count and compartment, and what is usual where a stray lies."""
    values = {"class": float(change.label), "more": float(change.more)}
    for name, numbers in (("area", _shares(change)), ("count", change.count)):
        if numbers is not None:
            found, low, high = map(float, numbers)
            values |= {name: found, f"{name}_low": low, f"{name}_high": high}
    if change.stray is not None:
        values["usual"] = float(change.stray.usual)
    return values | cell_values(change.where)


def cell_values(cells: Sequence[Cell]) -> dict[str, float]:
    """The first cell's number from 1, and its grid."""
    if not cells:
        return {}
    rows, columns, index = float(cells[0].rows), float(cells[0].columns), float(cells[0].index + 1)
    return {"cell": index, "rows": rows, "columns": columns}
