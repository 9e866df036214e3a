"""Whether what a model says of a picture is what is wrong with it.

A finding is right where its component, whether it is too many or too few, and its cell, its point or its
count are those of one of the facts that the truth states. The component of a learnt class is the true one
that it covers most in good test pictures. A cell is right where it holds the place and at most one other
place of the product; a wire leans, so half a place to either side will do, at any height. A point of the
picture is right within a twentieth of the picture's sides from the place, of a wire within half a place to
either side: no point is right for two places. A count is right where it is the true one, and the true number
of good products lies in the range that the finding gives as usual.

Facts by kind of flaw: a pin, wire, screw, nut or washer missing, extra or of the wrong kind: it, with its
place or its number (in the bag the number alone). Where one lies in place of another, either of the two. Pins
or wires swapped, or one in a wrong place: any of those concerned, with the place where it is too many or too
few. A washer outside the bag: a washer too many in the cell or at the point where it lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from _csad_truth import Fact, Place, places

from flawscope.runtime.explain.component_changes import Cell
from flawscope.runtime.prediction import Finding

FIRST = 2  # findings that count
NEAR = 0.05  # of the picture's sides, by which a point that is named may lie beside a place
_UNIT = 1 << 20  # to which cells are measured: shares of a picture in whole numbers


@dataclass(frozen=True)
class Statement:
    """What a finding says of one class.

    `point` is (x, y) in shares of the picture, `count` what was found, and what is usual from and to.
    """

    label: int
    more: bool
    cell: Cell | None = None
    count: tuple[float, float, float] | None = None
    point: tuple[float, float] | None = None


def statements(finding: Finding, size: tuple[int, int]) -> tuple[Statement, ...]:
    """What a finding on a picture of that height and width says; nothing of an area alone, or of a shape.

    One of a class in another's place says that this one is missing there, one of a class in another cell or
    at another point that it is missing in that. Of two that have changed places it says both of both.
    """
    values = finding.values
    if not {"class", "more"} <= values.keys():
        return ()
    label, cell, count = int(values["class"]), _cell(values, "cell"), None
    if "count" in values:
        count = values["count"], values["count_low"], values["count_high"]
    point, there = (_point(values, start, size) for start in ("", "instead_of_"))
    other, home = values.get("instead_of"), _cell(values, "instead_of_cell")
    said = [Statement(label, bool(values["more"]), cell, count, point)]
    if other is not None:
        said.append(Statement(int(other), False, cell, point=point))
    if home is not None or there is not None:
        said.append(Statement(label, False, home, point=there))
        if other is not None:
            said.append(Statement(int(other), True, home, point=there))
    return tuple(said)


def _cell(values: Mapping[str, float], name: str) -> Cell | None:
    if name not in values:
        return None
    return Cell(int(values["rows"]), int(values["columns"]), int(values[name]) - 1)


def _point(values: Mapping[str, float], start: str, size: tuple[int, int]) -> tuple[float, float] | None:
    if f"{start}x" not in values:
        return None
    return (values[f"{start}x"] + 0.5) / size[1], (values[f"{start}y"] + 0.5) / size[0]


def near(point: tuple[float, float], place: Place) -> bool:
    """Whether a point (x, y) is that place."""
    beside = abs(point[0] - place.x) <= (place.reach or NEAR)
    return beside and (place.y is None or abs(point[1] - place.y) <= NEAR)


def holds(cell: Cell, place: Place, product: str) -> bool:
    """Whether a cell holds a place, and at most one other place of the product."""
    others = [other for other in places(product) if not _same(other, place)]
    return cell.of > 1 and _within(cell, place) and sum(_within(cell, other) for other in others) <= 1


def _same(one: Place, other: Place) -> bool:
    return one.x == other.x and (one.y == other.y or None in (one.y, other.y))


def _within(cell: Cell, place: Place) -> bool:
    left, top, right, bottom = (end / _UNIT for end in cell.box(_UNIT, _UNIT))
    beside = left - place.reach <= place.x < right + place.reach
    return beside and (place.y is None or top <= place.y < bottom)


def component_right(said: Statement, fact: Fact, called: Sequence[str]) -> bool:
    """Whether the component and the direction are right; `called` are the true names of learnt classes."""
    return called[said.label] == fact.component and said.more == fact.more


def right(said: Statement, fact: Fact, called: Sequence[str], product: str) -> bool:
    """Whether a statement names the component and its cell, its point or its count; see above."""
    if not component_right(said, fact, called):
        return False
    if fact.place is not None:
        if said.cell is not None and holds(said.cell, fact.place, product):
            return True
        if said.point is not None and near(said.point, fact.place):
            return True
    if said.count is None or fact.count is None:
        return False
    found, low, high = said.count
    return found == fact.count[0] and low <= fact.count[1] <= high


def judged(
    findings: Sequence[Finding],
    wrong: Sequence[Fact],
    called: Sequence[str],
    product: str,
    size: tuple[int, int],
) -> dict[str, Any]:
    """Whether the first two findings name the component, and beside it cell, point or count; what they say.

    `size` is the picture's height and width.
    """
    first = findings[:FIRST]
    pairs = [(said, fact) for finding in first for said in statements(finding, size) for fact in wrong]
    return {
        "component": any(component_right(said, fact, called) for said, fact in pairs),
        "named": any(right(said, fact, called, product) for said, fact in pairs),
        "findings": [finding.text for finding in first],
    }
