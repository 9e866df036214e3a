"""Calibration against scipy's distributions, simulated calibration sets and cases worked by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from flawscope.errors import CalibrationError, InputError, OptionError
from flawscope.runtime.calibration import Calibration, normals_needed, parse_rate
from flawscope.runtime.false_rejects import order_statistic, percent, smallest_rate
from flawscope.runtime.prediction import Decision


@pytest.mark.parametrize("count", [1, 5, 58, 59, 298, 299, 400, 1000, 5000])
@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.3])
@pytest.mark.parametrize("delta", [0.01, 0.05, 0.5])
def test_rank_with_confidence_is_the_largest_that_scipys_beta_allows(count, alpha, delta):
    rank = order_statistic(count, alpha, delta, "with_confidence")
    if rank:
        assert stats.beta.sf(alpha, rank, count - rank + 1) <= delta * (1 + 1e-9)
        assert stats.binom.cdf(rank - 1, count, alpha) <= delta * (1 + 1e-9)
    if rank < count:
        assert stats.beta.sf(alpha, rank + 1, count - rank) > delta


@pytest.mark.parametrize("alpha", [0.001, 0.005, 0.01, 0.05, 0.07, 0.29])
@pytest.mark.parametrize("promise", ["with_confidence", "on_average"])
def test_normals_needed_is_the_first_count_with_a_threshold(alpha, promise):
    needed = normals_needed(alpha, 0.05, promise)
    assert order_statistic(needed, alpha, 0.05, promise) == 1
    assert order_statistic(needed - 1, alpha, 0.05, promise) == 0
    assert smallest_rate(needed, 0.05, promise) <= alpha + 1e-12 < smallest_rate(needed - 1, 0.05, promise)


def test_the_published_counts():
    assert [normals_needed(alpha) for alpha in (0.01, 0.05)] == [299, 59]
    assert [normals_needed(alpha, promise="on_average") for alpha in (0.01, 0.05)] == [99, 19]


@pytest.mark.parametrize(("count", "alpha"), [(299, 0.01), (700, 0.01), (59, 0.05), (40, 0.01)])
def test_over_many_calibration_sets_the_promises_hold_and_are_not_idle(count, alpha):
    rng = np.random.default_rng(count)
    sure = Calibration(scores=range(count), alpha=alpha)
    mean = sure.with_settings(promise="on_average")
    uniform = np.sort(rng.random((4000, count)), axis=1)
    rates = 1 - uniform[:, -sure.rank]  # the rate of a threshold at a uniform score is one minus it
    exceeding = np.mean(rates > sure.alpha_kept)
    expected = stats.beta.sf(sure.alpha_kept, sure.rank, count - sure.rank + 1)
    assert expected <= 0.05 + 1e-9
    assert abs(exceeding - expected) < 4 * math.sqrt(0.05 * 0.95 / 4000)
    assert np.mean(1 - uniform[:, -mean.rank]) == pytest.approx(mean.expected_rate, rel=0.1)
    assert mean.expected_rate <= mean.alpha_kept + 1e-12


@pytest.mark.parametrize("promise", ["with_confidence", "on_average"])
def test_reject_on_average_is_a_p_value_of_at_most_alpha(promise):
    rng = np.random.default_rng(0)
    calibration = Calibration(scores=np.round(rng.normal(size=250), 1), alpha=0.05, promise=promise)
    for score in np.linspace(-3, 3, 241):
        count = sum(s >= score for s in calibration.scores)
        assert calibration.p_value(score) == (1 + count) / 251
        if promise == "on_average":
            rejected = calibration.p_value(score) <= 0.05
            assert rejected == (calibration.decide(score) is Decision.REJECT)


def test_ties_at_the_threshold_are_not_rejected():
    calibration = Calibration(scores=[0.0] * 50 + [1.0] * 50, alpha=0.1)
    assert calibration.reject_threshold == 1.0
    assert calibration.decide(1.0) is Decision.ACCEPT
    assert calibration.decide(np.nextafter(1.0, 2.0)) is Decision.REJECT


def test_three_verdicts():
    calibration = Calibration(scores=range(1000))
    assert calibration.rank == order_statistic(1000, 0.01, 0.05, "with_confidence") == 5
    assert calibration.reject_threshold == 995
    review = order_statistic(1000, 0.05, 0.05, "with_confidence")
    assert calibration.review_threshold == 1000 - review
    verdicts = [calibration.decide(score) for score in (0, 1000 - review, 1000 - review + 1, 995, 995.5)]
    assert [str(verdict) for verdict in verdicts] == ["accept", "accept", "review", "review", "reject"]


def test_scores_are_sorted_kept_and_survive_json():
    scores = np.random.default_rng(0).normal(size=50).astype(np.float32)
    calibration = Calibration(scores=scores, alpha=0.1, promise="on_average")
    assert calibration.scores == tuple(sorted(scores.tolist()))
    again = Calibration.model_validate_json(calibration.model_dump_json())
    assert again == calibration
    assert again.reject_threshold == calibration.reject_threshold
    assert set(calibration.model_dump()) == {"scores", "alpha", "delta", "promise", "cross_conformal"}


def test_too_few_pictures_get_the_smallest_rate_they_support_and_are_told_so():
    calibration = Calibration(scores=range(100))
    assert calibration.alpha_kept == pytest.approx(1 - 0.05 ** (1 / 100))
    assert calibration.alpha == 0.01
    assert calibration.reject_threshold == 99
    assert calibration.normals_needed == 299
    text = calibration.statement()
    assert "At most 3 % of good parts are rejected, with 95 % confidence, from 100 good pictures" in text
    assert "Asked for were 1 %, which need 299 good pictures: 199 more." in text


@pytest.mark.parametrize(("promise", "fewest"), [("with_confidence", 5), ("on_average", 2)])
def test_it_fails_only_where_nothing_below_one_half_is_supported(promise, fewest):
    calibration = Calibration(scores=range(fewest), promise=promise)
    assert calibration.alpha_kept < 0.5
    assert calibration.review_rate == 0.5
    assert calibration.review_threshold <= calibration.reject_threshold == fewest - 1
    with pytest.raises(
        CalibrationError, match=f"at least {fewest} good pictures.*got {fewest - 1}"
    ) as caught:
        Calibration(scores=range(fewest - 1), promise=promise)
    assert f"{normals_needed(0.01, 0.05, promise)} support 1 %" in str(caught.value)


@pytest.mark.parametrize("count", [5, 30, 59, 150, 299, 2000])
@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.2, 0.45])
@pytest.mark.parametrize("promise", ["with_confidence", "on_average"])
def test_review_never_stands_above_reject_and_never_promises_less(count, alpha, promise):
    calibration = Calibration(scores=range(count), alpha=alpha, promise=promise)
    assert calibration.review_threshold <= calibration.reject_threshold
    assert alpha <= calibration.alpha_kept < 0.5
    assert calibration.alpha_kept <= calibration.review_rate <= 0.5
    assert calibration.expected_rate <= calibration.alpha_kept + 1e-12


def test_new_settings_read_the_same_scores_again():
    calibration = Calibration(scores=range(400))
    other = calibration.with_settings(alpha=0.05, delta=0.1)
    assert (other.alpha, other.delta, other.promise) == (0.05, 0.1, "with_confidence")
    assert other.scores is calibration.scores or other.scores == calibration.scores
    assert other.reject_threshold == 400 - order_statistic(400, 0.05, 0.1, "with_confidence")
    assert other.with_settings(alpha=0.01, delta=0.05) == calibration


def test_more_pictures_are_added_in_order():
    calibration = Calibration(scores=[3.0, 1.0, 2.0, 5.0, 4.0], promise="on_average").with_more([0.5, 9.0])
    assert calibration.scores == (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 9.0)
    assert calibration.promise == "on_average"


def test_folds_keep_the_weaker_promise_and_say_so():
    calibration = Calibration.from_folds([[1.0, 4.0], [2.0, 3.0], np.array([6.0, 5.0])])
    assert calibration.scores == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    assert calibration.cross_conformal
    assert calibration.alpha_kept == 1 / 7
    text = calibration.statement()
    assert text.startswith("About 15 % of good parts are rejected, on average. This is the weaker promise")
    assert "need 99 good pictures: 93 more" in text
    assert calibration.with_more([7.0]).cross_conformal
    with pytest.raises(CalibrationError, match="come from folds"):
        calibration.with_settings(promise="with_confidence")
    with pytest.raises(CalibrationError, match="at least 2, got 1"):
        Calibration.from_folds([[1.0, 2.0]])


def test_statement_of_a_kept_promise_says_what_more_would_buy():
    text = Calibration(scores=range(299)).statement()
    assert text.startswith("At most 1 % of good parts are rejected, with 95 % confidence")
    assert "The rate to expect is 0.34 %." in text
    assert "598 good pictures support 0.5 %" in text
    average = Calibration(scores=range(99), promise="on_average").statement()
    assert average.startswith("On average at most 1 % of good parts are rejected")
    assert "one calibration may do worse" in average
    assert "199 good pictures support 0.5 %" in average


@pytest.mark.parametrize(
    ("rate", "text"), [(0.01, "1 %"), (0.005, "0.5 %"), (0.0295, "3 %"), (0.0296, "3 %"), (1 / 7, "15 %")]
)
def test_rates_are_rounded_up(rate, text):
    assert percent(rate) == text


@pytest.mark.parametrize(
    "scores", [[], [1.0, math.nan] * 9, [1.0, math.inf] * 9, [[1.0] * 9] * 9, ["a"] * 9, None]
)
def test_unusable_scores_are_refused(scores):
    with pytest.raises(CalibrationError, match="one finite number per good picture") as caught:
        Calibration(scores=scores)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_gets_no_verdict(score):
    calibration = Calibration(scores=range(99))
    for ask in (calibration.decide, calibration.p_value):
        with pytest.raises(InputError, match="finite number"):
            ask(score)


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": 0.0},
        {"alpha": 0.5},
        {"alpha": math.nan},
        {"delta": 0.0},
        {"delta": 1.0},
        {"promise": "always"},
    ],
)
def test_settings_outside_their_range_are_refused(settings):
    with pytest.raises(OptionError):
        Calibration(scores=range(99), **settings)
    with pytest.raises(OptionError):
        normals_needed(**{"alpha": 0.01, **settings})


@pytest.mark.parametrize(
    ("text", "rate"), [("0.5%", 0.005), ("0.005", 0.005), (" 1 % ", 0.01), ("95%", 0.95), ("5e-3", 0.005)]
)
def test_rates_are_read(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "%", "1", "0", "100%", "0%", "-1%", "0,5%", "half", "nan", "inf%"])
def test_other_rates_are_refused_by_name(text):
    with pytest.raises(OptionError, match="confidence: expected a share"):
        parse_rate(text, "confidence")
