"""The benchmark of many pictures: rejects stand beside their law, and leave it when levels are off."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest


@pytest.mark.parametrize(("promise", "rank"), [("with_confidence", 1), ("on_average", 3)])
def test_what_is_rejected_stands_beside_its_law(
    load: Callable[[str], ModuleType], promise: str, rank: int
) -> None:
    script = load("many_pictures")
    scores = np.random.default_rng(0).gumbel(size=599).astype(np.float32)
    held, further = scores[:299], scores[299:]
    sound = script.kept(held, further, promise, 0.01)
    assert (sound["rank"], sound["alpha_kept"]) == (rank, 0.01)
    assert sound["predicted"] == pytest.approx(300 * rank / 300)
    assert sound["rejected"] == np.sum(further > np.sort(held)[-rank])
    assert sound["agrees"]
    assert not script.kept(held, further + 50, promise, 0.01)["agrees"]


def test_tables_have_a_line_for_each_number_and_promise(load: Callable[[str], ModuleType]) -> None:
    script = load("many_pictures")
    scores = np.arange(299, dtype=np.float32)
    figures = {"fit_seconds": 1.5, "fit_processor": 2.5, "peak_beyond_start_mib": 7, "image_auroc": 0.5}
    row = {"pictures": 300, **figures, "promises": [script.kept(scores, scores, *script.PROMISES[0])]}
    lines = list(script.table([row]))
    assert "| 300 | 1.5 | 2.5 | 7 | – | 0.5000 |" in lines
    assert "| 300 | 1.0%, with confidence | 0 of 299 | 1.0 | 0 to 10 |" in lines
