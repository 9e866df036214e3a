"""Names of classes, each its own: classes of one name count as one component wherever label maps are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import count

from flawscope.data.annotations.partition import BACKGROUND
from flawscope.data.tables import composed

_UNNAMED = "component"


def class_names(called: Sequence[str]) -> list[str]:
    """Names after the background's of classes that a proposer calls so, "" for nothing.

    Several called alike, and those called nothing or as the background, are numbered.

    >>> class_names(["plate", "part", "", "part"])
    ['plate', 'part 1', 'component 1', 'part 2']
    """
    totals = Counter(called)
    alone = {name for name, total in totals.items() if total == 1} - {"", BACKGROUND}
    names = list[str]()
    for name in called:
        taken = {*alone, *names}
        names.append(name if name in alone else _numbered(name or _UNNAMED, 1, taken))
    return names


def added_name(called: str, known: Sequence[str]) -> str:
    """The name of a class that follows the known ones: what it is called, or a number where that is taken.

    >>> added_name("component 2", ["background", "component 2"])
    'component 3'
    """
    taken = {composed(name).strip() for name in known}
    return _numbered(_UNNAMED, len(known), taken) if called in taken else called


def _numbered(name: str, first: int, taken: Collection[str]) -> str:
    return next(f"{name} {number}" for number in count(first) if f"{name} {number}" not in taken)
