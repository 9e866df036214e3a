"""Capital: bets are fair, online p-values are what they are said to be, and Ville's inequality holds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from flawscope.runtime.martingale import OF_CONDITIONS, OF_SCORES, TO_URNS, Bets, Capital
from flawscope.runtime.ranks import Ranks

STREAMS = 10_000


def online(values: NDArray[np.float64], reference: int, random: np.random.Generator) -> NDArray[np.float64]:
    """p-values of streams (streams, length), ranked among all before; the first `reference` are given."""
    draws = random.random((len(values), values.shape[1] - reference))
    found = np.empty(draws.shape)
    for place in range(reference, values.shape[1]):
        now, before = values[:, place : place + 1], values[:, :place]
        above, equal = (before > now).sum(1), (before == now).sum(1)
        found[:, place - reference] = (above + draws[:, place - reference] * (equal + 1)) / (place + 1)
    return found


def highest(bets: Bets, p_values: NDArray[np.float64], reference: int) -> NDArray[np.float64]:
    """The highest logarithm of capital that each stream reaches, from p-values (streams, length)."""
    capital = Capital(bets, np.full(len(p_values), reference))
    best = np.zeros(len(p_values))
    for now in p_values.T:
        capital.step(now)
        best = np.maximum(best, capital.logs)
    return best


@pytest.mark.parametrize("bets", [OF_SCORES, OF_CONDITIONS], ids=["scores", "conditions"])
@pytest.mark.parametrize("before", [0, 130], ids=["first", "later"])
@pytest.mark.parametrize("reference", [0, 40])
def test_every_bet_is_fair_and_so_is_capital(bets: Bets, before: int, reference: int) -> None:
    edges = np.geomspace(1e-12, 0.5, 4000)
    edges = np.concatenate([[0.0], edges, 1 - edges[-2::-1], [1.0]])
    middles = (edges[1:] + edges[:-1]) / 2
    capital = Capital(bets, np.full(len(middles), reference))
    for now in np.random.default_rng(5).random(before):
        capital.step(np.full(len(middles), now))
    start = np.exp(capital.logs[0])
    mean = np.diff(edges) @ np.exp(capital.step(middles))
    assert mean == pytest.approx(np.ones(len(bets)), abs=0.02)  # the last 1e-12 at both ends is cut off
    assert mean.max() < 1.001
    assert np.diff(edges) @ np.exp(capital.logs) == pytest.approx(start, rel=1e-3)


def test_stakes_are_shared_out() -> None:
    for bets, to_urns in ((OF_SCORES, TO_URNS), (OF_CONDITIONS, 0.0)):
        assert len(bets.shares) == len(bets)
        assert bets.shares.sum() == pytest.approx(1)
        assert bets.shares[len(bets.betas) :].sum() == pytest.approx(to_urns)


def test_more_defects_are_told_without_a_reference() -> None:
    random = np.random.default_rng(6)
    values = random.standard_normal((40, 1500))
    values[:, 500:] += np.where(random.random((40, 1000)) < 0.05, 6.0, 0.0)
    reached = highest(OF_SCORES, online(values, 1, random), 0) >= np.log(200)
    assert reached.mean() >= 0.9


def test_a_state_of_other_bets_is_refused() -> None:
    state = Capital(OF_SCORES, np.array([9])).to_json()
    Capital(OF_SCORES, np.array([9])).restore(state)
    for other in (state | {"bets": [*state["bets"][:-1], 0.5]}, {"bets": []}):
        with pytest.raises(ValueError, match="other bets"):
            Capital(OF_SCORES, np.array([9])).restore(other)


@pytest.mark.parametrize("ties", [False, True])
def test_online_p_values_are_independent_and_uniform(ties: bool) -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(STREAMS, 24))
    p_values = online(np.round(values) if ties else values, 4, random)
    counts = np.histogram(p_values, 20, (0, 1))[0]
    assert np.abs(counts / counts.mean() - 1).max() < 0.05
    correlations = np.corrcoef(p_values.T) - np.eye(20)
    assert np.abs(correlations).max() < 0.05
    runs = (p_values < 0.1).sum(1)  # as of a coin: more spread means that they depend on each other
    assert runs.var() == pytest.approx(20 * 0.1 * 0.9, rel=0.05)


def test_ranks_give_these_p_values() -> None:
    random = np.random.default_rng(1)
    values = np.round(random.normal(size=(1, 3000)), 2)
    ranks = Ranks(values[0, :300])
    for place in range(300, 3000):
        now, before = values[0, place], values[0, :place]
        assert ranks.above(now) == ((before > now).sum(), (before == now).sum())
        ranks.add(now)
    again = Ranks.of_json(json.loads(json.dumps(ranks.to_json())))
    for value in (-9.0, 9.0, *values[0, :50]):
        assert again.above(value) == ranks.above(value)
    assert len(again) == len(ranks) == 3000
    assert ranks.median() == np.sort(values[0])[1499]


@pytest.mark.parametrize("bets", [OF_SCORES, OF_CONDITIONS], ids=["scores", "conditions"])
def test_unchanged_streams_raise_no_more_alarms_than_promised(bets: Bets) -> None:
    random = np.random.default_rng(2)
    best = highest(bets, random.random((STREAMS, 250)), 60)
    for alpha in (0.005, 0.05, 0.2):
        slack = 3 * np.sqrt(alpha * (1 - alpha) / STREAMS)
        assert (best >= -np.log(alpha)).mean() <= alpha + slack


def test_the_promise_holds_with_real_ranks_of_heavy_tails_and_ties() -> None:
    random = np.random.default_rng(3)
    values = np.round(random.standard_t(2, (2000, 30 + 250)), 1)
    best = highest(OF_SCORES, online(values, 30, random), 30)
    assert (best >= -np.log(0.1)).mean() <= 0.1 + 3 * np.sqrt(0.09 / 2000)


@pytest.mark.parametrize(
    ("bets", "way", "change"),
    [
        (OF_SCORES, "risen", lambda p: p**2.5),
        (OF_SCORES, "more", lambda p: np.where(np.arange(400) % 14 == 0, p / 500, p)),
        (OF_CONDITIONS, "risen", lambda p: p**2.5),
        (OF_CONDITIONS, "fallen", lambda p: 1 - p**2.5),
        (OF_CONDITIONS, "scattered", lambda p: np.where(p < 0.5, 4 * p**3, 1 - 4 * (1 - p) ** 3)),
    ],
)
def test_a_change_is_found_and_told_by_its_way(bets: Bets, way: str, change: object) -> None:
    random = np.random.default_rng(4)
    assert callable(change)
    after = change(random.random((20, 400)))
    capital = Capital(bets, np.full(20, 300))
    for now in np.concatenate([random.random((20, 600)), after], 1).T:
        capital.step(np.clip(now, 1e-9, 1 - 1e-9))
    assert (capital.logs > np.log(1600)).mean() >= 0.9
    told = [bets.ways[bet] for bet in capital.leading]
    assert told.count(way) >= 17  # type: ignore[arg-type]


def test_a_picture_that_does_not_tell_leaves_capital_as_it_is() -> None:
    capital, other = (Capital(OF_CONDITIONS, np.array([50, 50])) for _ in range(2))
    for p_values in ([0.01, 0.5], [0.02, 0.3]):
        capital.step(np.array(p_values))
        other.step(np.array([p_values[0], np.nan]))
    assert other.logs[0] == capital.logs[0]
    assert other.logs[1] == 0
    other.restore(json.loads(json.dumps(capital.to_json())))
    for one in (capital, other):
        one.step(np.array([0.5, 0.01]))
    assert other.logs.tolist() == capital.logs.tolist()
