"""Grouped calibration: simulated parts with views that are alike, and draws enumerated one by one."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from flawscope.errors import CalibrationError, OptionError
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.groups import numbered
from flawscope.runtime.prediction import Decision

SPLITS, PARTS, VIEWS, NOISE = 400, 100, 8, 0.3  # views of one part correlate by 1 / 1.09 = 0.92
NUMBERS = np.repeat(np.arange(PARTS), VIEWS)


def views(rng: np.random.Generator, parts: int = PARTS) -> NDArray[np.float64]:
    """Scores (parts * VIEWS,), part by part: the part's own, and a little noise a view."""
    return (rng.normal(size=(parts, 1)) + NOISE * rng.normal(size=(parts, VIEWS))).ravel()


def rate_of_pictures(threshold: float) -> float:
    return float(stats.norm.sf(threshold, scale=math.hypot(1, NOISE)))


def rate_of_parts(threshold: float) -> float:
    """Chance that the highest of a part's views lies above the threshold, by quadrature over the part."""
    places, weights = np.polynomial.hermite_e.hermegauss(80)
    below = stats.norm.cdf((threshold - places) / NOISE) ** VIEWS
    return 1 - float(weights @ below) / math.sqrt(2 * math.pi)


def exceeding(rates: list[float], calibration: Calibration) -> tuple[float, float, float]:
    """How often the promised rate is exceeded, and the 99.9 % range of that if the prediction holds."""
    kept, rank, count = calibration.alpha_kept, calibration.rank, calibration.count
    chance = stats.beta.sf(kept, rank, count - rank + 1)
    assert chance <= calibration.delta + 1e-9
    low, high = stats.binom.ppf([0.0005, 0.9995], len(rates), chance) / len(rates)
    return float(np.mean(np.array(rates) > kept)), float(low), float(high)


@pytest.fixture(scope="module")
def splits() -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(16)
    return [views(rng) for _ in range(SPLITS)]


def test_counting_views_as_parts_breaks_the_promise_with_confidence(splits):
    plain = [Calibration(scores=scores, alpha=0.05) for scores in splits]
    measured, _, high = exceeding([rate_of_pictures(one.reject_threshold) for one in plain], plain[0])
    assert measured > 0.2 > 2 * high  # promised: in 5 of 100 at most


def test_one_drawn_view_a_part_keeps_it_as_the_beta_distribution_of_the_parts_says(splits):
    grouped = [Calibration(scores=scores, groups=NUMBERS, alpha=0.05) for scores in splits]
    measured, low, high = exceeding([rate_of_pictures(one.reject_threshold) for one in grouped], grouped[0])
    assert low <= measured <= high
    rates = [rate_of_pictures(one.reject_threshold) for one in grouped]
    predicted = stats.beta(grouped[0].rank, PARTS - grouped[0].rank + 1)
    assert stats.kstest(rates, predicted.cdf).pvalue > 1e-3


def test_judging_parts_by_their_highest_view_keeps_it_for_parts(splits):
    judged = [Calibration(scores=scores, groups=NUMBERS, alpha=0.05, judge="part") for scores in splits]
    rates = [rate_of_parts(one.reject_threshold) for one in judged]
    measured, low, high = exceeding(rates, judged[0])
    assert low <= measured <= high
    predicted = stats.beta(judged[0].rank, PARTS - judged[0].rank + 1)
    assert stats.kstest(rates, predicted.cdf).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.02, 0.05])
def test_on_average_shares_keep_the_rate_within_what_the_new_part_itself_weighs(splits, alpha):
    """Between alpha and two parts' weight less: the new part counts in full, and the sum moves in steps."""
    grouped = [
        Calibration(scores=scores, groups=NUMBERS, alpha=alpha, promise="on_average") for scores in splits
    ]
    rates = np.array([rate_of_pictures(one.reject_threshold) for one in grouped])
    error = 3 * rates.std() / math.sqrt(SPLITS)
    assert alpha - 2 / (PARTS + 1) - error <= rates.mean() <= alpha + error
    assert rates.mean() <= np.mean([one.expected_rate for one in grouped]) + error
    assert all(one.expected_rate <= alpha + 1e-9 for one in grouped)


def test_on_average_twenty_parts_cannot_promise_what_their_pictures_seem_to(splits):
    few = [scores[: 20 * VIEWS] for scores in splits]
    plain = [Calibration(scores=scores, promise="on_average") for scores in few]
    rates = np.array([rate_of_pictures(one.reject_threshold) for one in plain])
    assert plain[0].alpha_kept == 0.01
    assert rates.mean() > 0.015 + 3 * rates.std() / math.sqrt(SPLITS)
    grouped = Calibration(scores=few[0], groups=NUMBERS[: 20 * VIEWS], promise="on_average")
    assert grouped.alpha_kept == 1 / 21
    assert "Asked for were 1 %, which need 99 good parts: 79 more." in grouped.statement()


@settings(deadline=None, max_examples=60)
@given(
    parts=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=4, max_size=9),
    judge=st.sampled_from(["picture", "part"]),
)
def test_whichever_part_comes_last_p_values_of_at_most_alpha_are_no_more_than_alpha(parts, judge):
    """The theorem itself: given all parts, each is equally likely to be the new one, and each view of it."""
    found = []
    for new, own in enumerate(parts):
        others = [part for index, part in enumerate(parts) if index != new]
        scores = [score for part in others for score in part]
        numbers = [index for index, part in enumerate(others) for _ in part]
        calibration = Calibration(scores=scores, groups=numbers, promise="on_average", judge=judge)
        seen = own if judge == "picture" else [max(own)]
        found += [(calibration.p_value(score), 1 / len(seen) / len(parts)) for score in seen]
    for alpha, _ in found:
        assert sum(weight for p, weight in found if p <= alpha + 1e-12) <= alpha + 1e-9


@given(
    parts=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6), min_size=3, max_size=12),
    alpha=st.floats(0.02, 0.45),
)
def test_on_average_rejected_is_what_has_a_p_value_of_at_most_the_rate(parts, alpha):
    scores = [score for part in parts for score in part]
    numbers = [index for index, part in enumerate(parts) for _ in part]
    calibration = Calibration(scores=scores, groups=numbers, alpha=alpha, promise="on_average")
    for score in (*scores, *(score + 0.5 for score in scores), -1.0, 31.0):
        sizes = [sum(own >= score for own in part) / len(part) for part in parts]
        assert calibration.p_value(score) == pytest.approx((1 + sum(sizes)) / (len(parts) + 1))
        rejected = calibration.p_value(score) <= calibration.alpha_kept + 1e-9
        assert (calibration.decide(score) is Decision.REJECT) == rejected


def test_a_part_is_rejected_when_any_picture_is_and_each_counts_by_its_highest():
    calibration = Calibration(
        scores=[3, 9, 1, 2, 8, 7, 5, 4], groups=[0, 0, 1, 1, 2, 3, 4, 4], judge="part", promise="on_average"
    )
    assert calibration.count == 5
    assert calibration.reject_threshold == 9
    assert calibration.p_value(8) == 3 / 6
    assert calibration.p_value(9.5) == 1 / 6


def test_parts_of_one_picture_each_answer_as_pictures_do():
    plain = Calibration(scores=range(299))
    for judge in ("picture", "part"):
        one = Calibration(scores=range(299), groups=range(299), judge=judge)
        for promise in ("with_confidence", "on_average"):
            own, other = one.with_settings(promise=promise), plain.with_settings(promise=promise)
            assert own.reject_threshold == other.reject_threshold
            assert own.review_threshold == other.review_threshold
            assert own.expected_rate == pytest.approx(other.expected_rate)
            assert own.p_value(290) == pytest.approx(other.p_value(290))


def test_the_draw_is_the_contents_whatever_order_and_numbers_they_come_in():
    rng = np.random.default_rng(0)
    scores, order = views(rng), rng.permutation(PARTS * VIEWS)
    one = Calibration(scores=scores, groups=NUMBERS)
    other = Calibration(scores=scores[order], groups=1000 - NUMBERS[order])
    assert one.reject_threshold == other.reject_threshold
    assert one.review_threshold == other.review_threshold
    again = Calibration.model_validate_json(one.model_dump_json())
    assert again == one
    assert again.reject_threshold == one.reject_threshold


def test_parts_with_the_same_scores_draw_each_for_itself():
    calibration = Calibration(scores=[0, 1] * 400, groups=np.repeat(np.arange(400), 2))
    drawn = calibration._counted.scores
    assert 150 < sum(drawn) < 250


def test_without_groups_nothing_of_them_is_written():
    plain = Calibration(scores=range(9), promise="on_average")
    assert set(json.loads(plain.model_dump_json())) == {
        *("scores", "alpha", "delta", "promise", "cross_conformal")
    }
    grouped = plain.with_more([3.0, 4.0], [0, 0])
    assert grouped.count == 10
    assert json.loads(grouped.model_dump_json())["groups"] == [0, 1, 2, 3, 9, 4, 9, 5, 6, 7, 8]


def test_more_parts_are_added_beside_those_there_are():
    one = Calibration(scores=[1.0, 2.0, 3.0, 4.0], groups=[7, 7, 2, 5], promise="on_average")
    more = one.with_more([9.0, 8.0, 7.0], [0, 0, 1])
    assert more.count == 5
    assert more.scores[-3:] == (7.0, 8.0, 9.0)
    assert more.groups[-2] == more.groups[-1] != more.groups[-3]
    assert one.with_more([9.0, 8.0]).count == 5
    assert one.with_settings(judge="part").judge == "part"


def test_folds_hold_parts_together():
    folds, numbers = [[1.0, 4.0, 2.0], [3.0, 6.0]], [[0, 0, 1], [2, 3]]
    calibration = Calibration.from_folds(folds, numbers, judge="part", grouped_by="x")
    assert (calibration.count, calibration.groups) == (4, (0, 1, 2, 0, 3))
    text = calibration.statement()
    assert "20 % of good parts have a picture that is rejected, on average" in text
    assert "the 4 good parts (5 pictures) served both" in text
    with pytest.raises(CalibrationError, match="pictures of a part in one fold"):
        Calibration.from_folds(folds, [[0, 0, 1], [1, 3]])


def test_statements_count_parts():
    scores = views(np.random.default_rng(1))
    text = Calibration(scores=scores, groups=NUMBERS).statement()
    assert "At most 3 % of pictures of good parts are rejected, with 95 % confidence" in text
    assert "from 100 good parts (800 pictures) that training has not seen" in text
    assert "which need 299 good parts: 199 more" in text
    text = Calibration(scores=scores, groups=NUMBERS, alpha=0.05, promise="on_average").statement()
    assert "On average at most 5 % of pictures of good parts" in text
    assert "199 good parts support" not in text
    assert "100 good parts support 2.5 %" in text


def test_too_few_parts_are_refused_whatever_their_pictures():
    with pytest.raises(CalibrationError, match=r"at least 5 good parts .*got 4 good parts \(400 pictures\)"):
        Calibration(scores=range(400), groups=[index % 4 for index in range(400)])
    with pytest.raises(CalibrationError, match=r"at least 2 good parts .*got 1 good parts \(400 pictures\)"):
        Calibration(scores=range(400), groups=[3] * 400, promise="on_average")


@pytest.mark.parametrize("groups", [[0, 1], [0.5] * 9, [-1] * 9, ["a"] * 9, [[0]] * 9])
def test_groups_that_do_not_fit_are_refused(groups):
    with pytest.raises(CalibrationError, match="a whole number, 0 or above, for each of 9 scores"):
        Calibration(scores=range(9), groups=groups, promise="on_average")


def test_parts_need_groups_and_judges_are_two():
    with pytest.raises(CalibrationError, match="groups of pictures"):
        Calibration(scores=range(9), judge="part")
    with pytest.raises(OptionError, match='"picture" or "part"'):
        Calibration(scores=range(9), judge="batch")


def test_names_become_numbers_in_their_order():
    assert numbered(["b", None, "a", "b", None]) == (0, 1, 2, 0, 3)
    assert numbered([None, None]) == ()
