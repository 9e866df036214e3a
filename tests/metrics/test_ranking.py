"""Image-level ranking metrics against scikit-learn and cases worked by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from flawscope import metrics
from flawscope.errors import InputError, OptionError


@pytest.fixture(params=[0, 1, 2], ids=["distinct", "tied", "heavily-tied"])
def ranked(request):
    rng = np.random.default_rng(request.param)
    labels = np.append(rng.random(198) < 0.3, [True, False])
    scores = rng.normal(size=200) + labels
    return labels, np.round(scores, (9, 1, 0)[request.param])


def test_auroc_and_average_precision_equal_scikit_learn(ranked):
    assert metrics.auroc(*ranked) == pytest.approx(reference.roc_auc_score(*ranked), abs=1e-12)
    expected = reference.average_precision_score(*ranked)
    assert metrics.average_precision(*ranked) == pytest.approx(expected, abs=1e-12)


def test_curves_equal_scikit_learn(ranked):
    fpr, tpr, thresholds = reference.roc_curve(*ranked, drop_intermediate=False)
    ours = metrics.roc_curve(*ranked)
    np.testing.assert_allclose(ours.fpr, fpr)
    np.testing.assert_allclose(ours.tpr, tpr)
    np.testing.assert_allclose(ours.thresholds, thresholds)
    precision, recall, thresholds = reference.precision_recall_curve(*ranked)
    curve = metrics.precision_recall_curve(*ranked)
    np.testing.assert_allclose(curve.precision[::-1], precision[:-1])
    np.testing.assert_allclose(curve.recall[::-1], recall[:-1])
    np.testing.assert_allclose(curve.thresholds[::-1], thresholds)


def test_max_f1_is_the_best_over_every_threshold(ranked):
    labels, scores = ranked
    f1, threshold = metrics.max_f1(labels, scores)
    every = {t: reference.f1_score(labels, scores >= t) for t in np.unique(scores)}
    assert f1 == pytest.approx(max(every.values()), abs=1e-12)
    assert every[threshold] == pytest.approx(f1, abs=1e-12)


def test_fpr_at_tpr_is_the_first_step_that_reaches_it(ranked):
    fpr, tpr, _ = reference.roc_curve(*ranked, drop_intermediate=False)
    for wanted in (0.5, 0.95, 1.0):
        assert metrics.fpr_at_tpr(*ranked, tpr=wanted) == pytest.approx(fpr[tpr >= wanted - 1e-12].min())


def test_fpr_at_tpr_counts_an_exact_share_as_reached():
    labels = np.repeat([0, 1], 20)
    scores = np.concatenate((np.arange(20), np.arange(20) + 0.5))
    assert metrics.fpr_at_tpr(labels, scores, tpr=0.95) == 18 / 20


def test_all_scores_equal_separate_nothing():
    assert metrics.auroc([0, 1, 0, 1], [3, 3, 3, 3]) == 0.5
    assert metrics.max_f1([0, 1, 0, 1], [3, 3, 3, 3]) == (pytest.approx(2 / 3), 3.0)


METRICS = [
    metrics.auroc,
    metrics.average_precision,
    metrics.max_f1,
    metrics.fpr_at_tpr,
    metrics.roc_curve,
    metrics.precision_recall_curve,
]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("labels", "scores", "named"),
    [
        ([0, 0], [1.0, 2.0], "good ones only"),
        ([1, 1], [1.0, 2.0], "defective ones only"),
        ([], [], "no pictures"),
        ([0, 1], [1.0, np.nan], "NaN"),
        ([0, 1], [1.0, np.inf], "infinity"),
        ([0, 1], ["a", "b"], "no number"),
        ([0, 1, 1], [1.0, 2.0], "shapes"),
        ([[0, 1]], [[1.0, 2.0]], "shapes"),
        ([0, 2], [1.0, 2.0], "other values"),
    ],
)
def test_unusable_input_is_refused_in_one_line(metric, labels, scores, named):
    with pytest.raises(InputError, match=named) as caught:
        metric(labels, scores)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tpr", [0.0, 1.1, np.nan])
def test_fpr_at_tpr_refuses_rates_outside_its_range(tpr):
    with pytest.raises(OptionError, match="tpr"):
        metrics.fpr_at_tpr([0, 1], [0.0, 1.0], tpr=tpr)
