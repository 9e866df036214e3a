"""Each loss against a case worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from flawscope.methods.multiscale_patch.losses import (
    PositionClassifier,
    cosine_loss,
    kmeans_loss,
    position_loss,
    svdd_loss,
    total_loss,
)


def test_svdd_is_the_distance_of_neighbours() -> None:
    anchor, nearer = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0], [1.0, 2.0]])
    assert float(svdd_loss(anchor, nearer)) == pytest.approx((5 + 1) / 2)


def test_cos_is_the_likeness_of_the_farther_less_that_of_the_nearer() -> None:
    anchor = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    nearer = torch.tensor([[5.0, 0.0], [3.0, 0.0]])  # likeness 1 and 0
    farther = torch.tensor([[0.0, 3.0], [1.0, 1.0]])  # 0 and 1 / √2
    assert float(cosine_loss(anchor, nearer, farther)) == pytest.approx((0 - 1 + 1 / math.sqrt(2) - 0) / 2)


def test_position_is_the_cross_entropy() -> None:
    logits = torch.zeros(2, 12)
    logits[1, 3] = math.log(11)  # as likely as the eleven others together
    assert float(position_loss(logits, torch.tensor([5, 3]))) == pytest.approx(
        (math.log(12) + math.log(2)) / 2
    )


def test_kmeans_is_the_distance_to_the_nearest_centre() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    embeddings = torch.tensor([[3.0, 4.0], [9.0, 0.0], [0.0, 0.0]])
    assert float(kmeans_loss(embeddings, centres)) == pytest.approx((5 + 1 + 0) / 3)


def test_the_sum_weighs_closeness() -> None:
    values = {"svdd": 2.0, "cos": 3.0, "ssl": 5.0, "kmeans": 7.0}
    losses = {name: torch.tensor(value) for name, value in values.items()}
    assert float(total_loss(losses, 1e-3, 1.0)) == pytest.approx(1e-3 * (2 + 3) + 5 + 7)
    assert float(total_loss(losses, 1e-3, 0.25)) == pytest.approx(1e-3 * (2 + 3) + 5 + 7 / 4)
    del losses["kmeans"], losses["cos"]
    assert float(total_loss(losses, 0.5, 1.0)) == pytest.approx(0.5 * 2 + 5)


def test_equal_embeddings_give_finite_gradients() -> None:
    same = torch.ones(4, 3, requires_grad=True)
    losses = svdd_loss(same, same.clone()) + cosine_loss(same, same.clone(), same.clone())
    losses = losses + kmeans_loss(same, torch.ones(2, 3)) + svdd_loss(same * 0, same * 0)
    losses.backward()
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()


def test_the_classifier_sees_the_difference_alone() -> None:
    classifier = PositionClassifier(5, 12)
    first, second, shift = torch.rand(3, 5), torch.rand(3, 5), torch.rand(3, 5)
    torch.testing.assert_close(classifier(first, second), classifier(first + shift, second + shift))
    assert classifier(first, second).shape == (3, 12)
