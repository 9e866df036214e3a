"""Deviation loss against hand-computed cases."""

from __future__ import annotations

import pytest
import torch

from flawscope.methods.supervised.devnet import REFERENCES, deviation_loss, prior_scores


def test_loss_of_four_pictures_by_hand() -> None:
    prior = torch.tensor([0.0, 2.0, 4.0])  # mean 2, standard deviation 2 (of a sample)
    scores = torch.tensor([2.0, -1.0, 4.0, 20.0])  # deviations 0, -1.5, 1, 9
    defective = torch.tensor([0.0, 0.0, 1.0, 1.0])
    # good: |0| + |-1.5|; defective: 5 - 1, and 0 beyond the margin
    assert float(deviation_loss(scores, defective, prior)) == pytest.approx((0 + 1.5 + 4 + 0) / 4)
    assert float(deviation_loss(scores, defective, prior, margin=1.0)) == pytest.approx(1.5 / 4)


def test_gradients_pull_good_scores_to_the_prior_and_push_defects_up_to_the_margin() -> None:
    scores = torch.tensor([3.0, -3.0, 2.0, 7.0], requires_grad=True)
    deviation_loss(
        scores, torch.tensor([False, False, True, True]), torch.tensor([-1.0, 0.0, 1.0])
    ).backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, torch.tensor([0.25, -0.25, -0.25, 0.0]))


def test_prior_is_standard_normal_and_seeded() -> None:
    torch.manual_seed(3)
    first = prior_scores()
    assert first.shape == (REFERENCES,)
    assert abs(float(first.mean())) < 0.05
    assert float(first.std()) == pytest.approx(1, abs=0.05)
    torch.manual_seed(3)
    assert torch.equal(first, prior_scores())
