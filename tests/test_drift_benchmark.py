"""The benchmark of drift: its streams are ranked and bet on as single ones are."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from flawscope.runtime.martingale import OF_SCORES, Capital
from flawscope.runtime.ranks import Ranks


@pytest.fixture
def streams(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("_drift_streams")


def test_many_streams_are_ranked_as_one_is(streams: ModuleType) -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(3, 120))
    values[random.random(values.shape) < 0.1] = np.nan
    found = streams.p_values(values, 40, random)
    for stream, own in zip(values, found, strict=True):
        ranks = Ranks(stream[:40][~np.isnan(stream[:40])])
        for value, p_value in zip(stream[40:], own, strict=True):
            if np.isnan(value):
                assert np.isnan(p_value)
                continue
            above, _ = ranks.above(value)
            ranks.add(value)
            assert above / len(ranks) <= p_value <= (above + 1) / len(ranks)


def test_ties_are_broken_evenly(streams: ModuleType) -> None:
    random = np.random.default_rng(1)
    found = streams.p_values(np.round(random.normal(size=(400, 60))), 10, random)
    counts = np.histogram(found, 10, (0, 1))[0]
    assert np.abs(counts / counts.mean() - 1).max() < 0.1


def test_first_alarms_are_those_of_capital(streams: ModuleType) -> None:
    random = np.random.default_rng(2)
    p_values = np.concatenate([random.random((2, 50)), random.random((2, 30)) ** 4], 1)
    best = streams.highest(streams.SCORES, p_values, np.array([100, 100]))
    found = streams.first(best, 5.0)
    capital = Capital(OF_SCORES, np.array([100, 100]))
    for index, now in enumerate(p_values.T):
        capital.step(now)
        for row in range(2):
            assert (capital.logs[row] >= 5.0) <= (found[row] <= index)
    assert streams.limit(streams.SCORES, 0.01) == pytest.approx(np.log(200))
    assert streams.limit("x", 0.01) == pytest.approx(np.log(1600))
