"""Ways to learn known defects, as options of SegAD: those that `learn` tries where nobody says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flawscope.data.training import Unseen

PLAIN: Mapping[str, Any] = {
    "detector_scores": False,
    "unsmoothed": False,
    "logistic": None,
    "appearance": None,
}
JUDGES: tuple[Mapping[str, Any], ...] = (  # SegAD's own first, for among equals the first is taken
    PLAIN,
    {**PLAIN, "detector_scores": True},
    {**PLAIN, "detector_scores": True, "unsmoothed": True},
    {**PLAIN, "detector_scores": True, "logistic": {}},
    {**PLAIN, "detector_scores": True, "unsmoothed": True, "logistic": {}},
)
LIKENESS: Mapping[str, Any] = {  # score and likeness alike; statistics, over whatever segments, count nothing
    **PLAIN,
    "detector_scores": True,
    "logistic": {"weights": "alike"},
    "appearance": {},
}
MOST_ROWS = 4000  # pictures or tiles up to which likeness is tried; of more it takes minutes to learn
_ITS_OWN = {"logistic", "appearance", "statistics"}  # wishes that leave likeness nothing to choose


def open_ways(wished: Mapping[str, Any], unseen: Unseen, *, several: bool) -> Iterator[dict[str, Any]]:
    """The ways, as options, that the wishes leave open; the last of `JUDGES` where one is asked for."""
    judges = [*JUDGES] if several else [JUDGES[-1]]
    if several and _likeness_open(wished, unseen):
        judges.insert(-1, LIKENESS)
    for judge in judges:
        way = {**judge, **wished}
        if way["detector_scores"] or not _alike(way["logistic"]):
            yield way


def _likeness_open(wished: Mapping[str, Any], unseen: Unseen) -> bool:
    """Whether likeness is tried: wishes leave it open, pictures are one segment, and not too many."""
    made = wished.get("defects") in ("synthetic", "both") or unseen.defective is None
    rows = len(unseen.normal) * (2 if made else 1) + len(unseen.defective or ())
    free = not wished.keys() & _ITS_OWN and wished.get("detector_scores", True)
    return free and wished.get("segments") == {"kind": "one"} and rows <= MOST_ROWS


def _alike(logistic: Any) -> bool:
    """Whether such a wish for the logistic regression weighs scores alike."""
    return isinstance(logistic, Mapping) and logistic.get("weights") == "alike"
