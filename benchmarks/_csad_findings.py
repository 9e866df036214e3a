"""Whether what a model says of a picture is what is wrong with it.

A finding is right where its component, whether it is too many or too few, and its cell or its count are those
of one of the facts that the truth states. The component of a learnt class is the true one that it covers most
in good test pictures. A cell is right where it holds the place and at most one other place of the product; a
wire leans, so half a place to either side will do, at any height. A count is right where it is the true one,
and the true number of good products lies in the range that the finding gives as usual.

Facts by kind of flaw: a pin, wire, screw, nut or washer missing, extra or of the wrong kind: it, with its
place or its number (in the bag the number alone). Where one lies in place of another, either of the two. Pins
or wires swapped, or one in a wrong place: any of those concerned, with the place where it is too many or too
few. A washer outside the bag: a washer too many in the cell where it lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from _csad_truth import Fact, Place, places

from flawscope.runtime.explain.component_changes import Cell
from flawscope.runtime.prediction import Finding

FIRST = 2  # findings that count
_UNIT = 1 << 20  # to which cells are measured: shares of a picture in whole numbers


@dataclass(frozen=True)
class Statement:
    """What a finding says of one class; `count` is what was found, and what is usual from and to."""

    label: int
    more: bool
    cell: Cell | None = None
    count: tuple[float, float, float] | None = None


def statements(finding: Finding) -> tuple[Statement, ...]:
    """What a finding says; nothing where it is about an area alone.

    One of a class in another's place says that this one is missing there, one of a class in another cell that
    it is missing in that.
    """
    values = finding.values
    if "class" not in values:
        return ()
    label, cell, count = int(values["class"]), _cell(values, "cell"), None
    if "count" in values:
        count = values["count"], values["count_low"], values["count_high"]
    said = [Statement(label, bool(values["more"]), cell, count)]
    if "instead_of" in values:
        said.append(Statement(int(values["instead_of"]), False, cell))
    if "instead_of_cell" in values:
        said.append(Statement(label, False, _cell(values, "instead_of_cell")))
    return tuple(said)


def _cell(values: Mapping[str, float], name: str) -> Cell | None:
    if name not in values:
        return None
    return Cell(int(values["rows"]), int(values["columns"]), int(values[name]) - 1)


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
    """Whether a statement names the component and its cell or its count; see above."""
    if not component_right(said, fact, called):
        return False
    if said.cell is not None and fact.place is not None and holds(said.cell, fact.place, product):
        return True
    if said.count is None or fact.count is None:
        return False
    found, low, high = said.count
    return found == fact.count[0] and low <= fact.count[1] <= high


def judged(
    findings: Sequence[Finding], wrong: Sequence[Fact], called: Sequence[str], product: str
) -> dict[str, Any]:
    """Whether the first two findings name the component, and beside it the cell or count; what they say."""
    first = findings[:FIRST]
    pairs = [(said, fact) for finding in first for said in statements(finding) for fact in wrong]
    return {
        "component": any(component_right(said, fact, called) for said, fact in pairs),
        "named": any(right(said, fact, called, product) for said, fact in pairs),
        "findings": [finding.text for finding in first],
    }
