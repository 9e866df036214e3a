"""The promise on false rejects holds for the joint decision, whatever the members' scores look like."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from flawscope.methods.committee.levels import TailLevels, joined
from flawscope.runtime.calibration import Calibration

SPLITS, TUNING, CALIBRATION, NEW = 300, 12, 120, 400
ALPHA, DELTA = 0.05, 0.1


def _scores(count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Scores (n, 3) of good pictures by three members: two that see the same things, one heavy-tailed."""
    shared, own = random.normal(size=count), random.normal(size=(count, 3))
    return np.stack(
        [0.8 * shared + 0.6 * own[:, 0], np.exp(0.8 * shared + 0.6 * own[:, 1]), np.abs(own[:, 2]) ** 3], 1
    )


def _rates(join: str, promise: str) -> tuple[NDArray[np.float64], Calibration]:
    """The share of new good pictures that each of the splits' models rejects, and one of the calibrations."""
    random = np.random.default_rng(11)
    rates = []
    for _ in range(SPLITS):
        levels = TailLevels(3)
        levels.learn(torch.from_numpy(_scores(TUNING, random)))
        score = [
            joined(levels(torch.from_numpy(_scores(count, random)).float()), join).numpy()
            for count in (CALIBRATION, NEW)
        ]
        calibration = Calibration(scores=tuple(score[0]), alpha=ALPHA, delta=DELTA, promise=promise)
        rates.append(float((score[1] > calibration.reject_threshold).mean()))
    return np.array(rates), calibration


@pytest.mark.parametrize("join", ["largest", "sum"])
def test_on_average(join: str) -> None:
    rates, calibration = _rates(join, "on_average")
    expected = calibration.expected_rate
    assert expected == pytest.approx(6 / 121)
    of_split = expected * (1 - expected) * (1 / (CALIBRATION + 2) + 1 / NEW)  # Beta, then binomial
    assert rates.mean() == pytest.approx(expected, abs=4 * math.sqrt(of_split / SPLITS))


@pytest.mark.parametrize("join", ["largest", "sum"])
def test_with_confidence(join: str) -> None:
    """The rates have the predicted distribution: a count of new pictures that is beta-binomial."""
    rates, calibration = _rates(join, "with_confidence")
    rank = calibration.rank
    random = np.random.default_rng(5)
    predicted = random.binomial(NEW, random.beta(rank, CALIBRATION - rank + 1, size=100_000)) / NEW
    for quantile in (0.5, 0.9):
        bound = float(np.quantile(predicted, quantile))
        below, wanted = float((rates <= bound).mean()), float((predicted <= bound).mean())
        assert below == pytest.approx(wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / SPLITS))
    failing = float((predicted > ALPHA).mean())
    assert (rates > ALPHA).mean() <= failing + 4 * math.sqrt(failing * (1 - failing) / SPLITS)
