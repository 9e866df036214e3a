"""The benchmark of grouped promises: its prediction holds for parts, and counted pictures leave it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.mark.parametrize("promise", ["with_confidence", "on_average"])
def test_parts_keep_what_pictures_do_not(load: Callable[[str], ModuleType], promise: str) -> None:
    script = load("groups")
    scores = script.simulated(0.95, 1000)
    cases = {way: script.study(scores, way, promise, 200, 3) for way in script.WAYS}
    assert script.between(scores) == pytest.approx(0.95, abs=0.02)
    assert cases["groups"]["agrees"]
    assert cases["parts"]["agrees"]
    if promise == "with_confidence":
        assert cases["pictures"]["exceeded"] > cases["pictures"]["exceeded_range"][1]
    text = script.table([{"name": "made", "between": 0.95, "cases": list(cases.values())}])
    assert text.count("\n") == 4
