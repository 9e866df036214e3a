"""The table flaw by flaw: each kind beside the good pictures, the largest loss first."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from flawscope.products import PRODUCTS


def test_rendered_flaws_come_in_the_order_of_their_product(load: Callable[[str], ModuleType]) -> None:
    script = load("flaws")
    flaws = script.rendered_flaws("impeller", "gg" + "l" * 8 + "s" * 12)
    logical = [name for name, kind in PRODUCTS["impeller"].flaws.items() if kind == "logical"]
    assert flaws[:2].tolist() == ["good", "good"]
    assert flaws[2:10].tolist() == np.repeat(logical, 2).tolist()
    with pytest.raises(SystemExit, match="impeller: other pictures"):
        script.rendered_flaws("impeller", "ggll")


def test_the_largest_loss_comes_first(load: Callable[[str], ModuleType]) -> None:
    script = load("flaws")
    place = {"product": "x", "pictures": "x", "seed": 0, "kinds": "ggdddd"}
    rows = [
        {"preset": "a", "scores": "1 2 3 3 0 0", **place},
        {"preset": "b", "scores": "1 2 0 0 3 3", **place},
        {"preset": "c", "scores": "1 1 1 1 1 1", **place},
    ]
    flaws = np.array(["good", "good", "dent", "dent", "hole", "hole"])
    lines = list(script.markdown(rows, {"x": flaws}, "a"))
    assert lines[0] == "| product | flaw | a | b | c | best rival | a less it |"
    assert lines[2] == "| x | hole | 0.000 | 1.000 | 0.500 | b | -100.00 [-100.00, -100.00] |"
    assert lines[3] == "| x | dent | 1.000 | 0.000 | 0.500 | c | +50.00 [+50.00, +50.00] |"
