"""The five losses of the segmentation network, each against a case computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from flawscope.segmenters.components.losses import (
    LossWeights,
    cross_entropy,
    dice,
    entropy,
    focal,
    histogram_matching,
    supervised,
    unsupervised,
)

# one picture of two pixels, three classes: (1, 3, 1, 2)
SHARES = torch.tensor([[[[0.5, 0.1]], [[0.25, 0.8]], [[0.25, 0.1]]]])
BOTH = torch.tensor([[[0, 1]]])


def test_cross_entropy_is_the_mean_over_the_pixels() -> None:
    expected = -(math.log(0.5) + math.log(0.8)) / 2
    assert float(cross_entropy(SHARES.log(), BOTH)) == pytest.approx(expected)


def test_focal_loss_weighs_what_is_missed() -> None:
    expected = -(0.5**2 * math.log(0.5) + 0.2**2 * math.log(0.8)) / 2
    assert float(focal(SHARES.log(), BOTH, 2.0)) == pytest.approx(expected)
    assert float(focal(SHARES.log(), BOTH, 0.0)) == pytest.approx(float(cross_entropy(SHARES.log(), BOTH)))


def test_dice_is_averaged_over_classes_and_one_pixel_smooths_it() -> None:
    each = [
        (2 * 0.5 + 1) / (0.5**2 + 0.1**2 + 1 + 1),
        (2 * 0.8 + 1) / (0.25**2 + 0.8**2 + 1 + 1),
        1 / (0.25**2 + 0.1**2 + 1),
    ]
    assert float(dice(SHARES, BOTH)) == pytest.approx(1 - sum(each) / 3)


def test_dice_of_a_perfect_answer_is_0_also_for_a_class_that_is_not_there() -> None:
    perfect = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]]])
    assert float(dice(perfect, BOTH)) == pytest.approx(0.0)


def test_histograms_are_compared_over_components_alone() -> None:
    # shares of the picture: background 0.3, then 0.525 and 0.175; drawn: 0.5 and 0.5 of classes 1 and 2
    drawn = torch.tensor([[[1, 2]]])
    expected = (abs(0.525 - 0.5) + abs(0.175 - 0.5)) / 2
    assert float(histogram_matching(SHARES, drawn)) == pytest.approx(expected)


def test_entropy_is_the_pixels_mean() -> None:
    pixels = [
        -(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25)),
        -(0.8 * math.log(0.8) + 2 * 0.1 * math.log(0.1)),
    ]
    assert float(entropy(SHARES.log(), SHARES)) == pytest.approx(sum(pixels) / 2)


def test_logits_are_normalised_first_and_summed_by_the_papers_weights() -> None:
    logits = SHARES.log() + 3.0
    found = supervised(logits, BOTH, 2.0)
    assert float(found["cross_entropy"]) == pytest.approx(float(cross_entropy(SHARES.log(), BOTH)))
    assert float(found["dice"]) == pytest.approx(float(dice(SHARES, BOTH)))
    assert float(found["focal"]) == pytest.approx(float(focal(SHARES.log(), BOTH, 2.0)))
    found |= unsupervised(logits, BOTH)
    assert float(found["histogram"]) == pytest.approx(float(histogram_matching(SHARES, BOTH)))
    assert float(found["entropy"]) == pytest.approx(float(entropy(SHARES.log(), SHARES)))
    values = {name: float(loss) for name, loss in found.items()}
    expected = (
        0.5 * values["cross_entropy"]
        + 10 * values["dice"]
        + values["focal"]
        + 10 * values["histogram"]
        + values["entropy"]
    )
    assert float(LossWeights().total(found)) == pytest.approx(expected)
