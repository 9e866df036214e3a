"""EfficientAD's losses and CDO's, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from flawscope.nn.student_teacher.losses import cdo_loss, discrepancy, hard_loss, mean_square


def cells(*values: float) -> Tensor:
    """One row of cells as (1, 1, w)."""
    return torch.tensor([[list(values)]])


def test_hard_loss_is_the_mean_of_the_largest_squares() -> None:
    teacher = torch.zeros(1, 2, 1, 5)
    student = torch.tensor([[[[0.0, 1, 2, 3, 4]], [[5.0, 6, 7, 8, 9]]]])
    # squares 0, 1, 4 … 81; the 0.7 quantile lies at place 6.3, so 49, 64 and 81 are at or above it
    assert hard_loss(teacher, student, 0.7).item() == pytest.approx((49 + 64 + 81) / 3)
    assert hard_loss(teacher, student, 0.0).item() == pytest.approx(285 / 10)


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99, 0.999])
def test_hard_loss_agrees_with_torchs_quantile(quantile: float) -> None:
    random = torch.Generator().manual_seed(1)
    teacher, student = torch.randn(2, 3, 8, 7, 9, generator=random)
    expected = []
    for squares in (teacher - student).square():
        limit = torch.quantile(squares.flatten(), quantile)
        expected.append(squares[squares >= limit].mean())
    assert hard_loss(teacher, student, quantile).item() == pytest.approx(torch.stack(expected).mean().item())


def test_hard_loss_leaves_defects_out() -> None:
    teacher = torch.zeros(1, 1, 1, 4)
    student = torch.tensor([[[[1.0, 2, 3, 100]]]])
    normal = torch.tensor([[[True, True, True, False]]])
    assert hard_loss(teacher, student, 0.0, normal).item() == pytest.approx((1 + 4 + 9) / 3)
    assert hard_loss(teacher, student, 0.0, ~normal.roll(1)).item() == pytest.approx(1.0)
    assert hard_loss(teacher, student, 0.5, torch.zeros_like(normal)).item() == 0.0


def test_mean_square_over_all_cells_and_over_normal_ones() -> None:
    target = torch.zeros(1, 2, 1, 2)
    output = torch.tensor([[[[1.0, 3]], [[2.0, 5]]]])
    assert mean_square(target, output).item() == pytest.approx((1 + 9 + 4 + 25) / 4)
    assert mean_square(target, output, torch.tensor([[[True, False]]])).item() == pytest.approx((1 + 4) / 2)


def test_discrepancy_is_the_squared_distance_of_unit_vectors() -> None:
    teacher = torch.tensor([[[[3.0, 1.0, 2.0]], [[4.0, 0.0, 0.0]]]])  # (1, 2, 1, 3)
    student = torch.tensor([[[[4.0, -5.0, 7.0]], [[3.0, 0.0, 0.0]]]])
    # (0.6, 0.8) against (0.8, 0.6); opposite directions; the same direction
    assert discrepancy(teacher, student).flatten().tolist() == pytest.approx([0.08, 4.0, 0.0], abs=1e-6)


def test_cdo_with_gamma_0_is_the_plain_difference() -> None:
    distances, defects = cells(0.1, 0.3, 2.0), cells(0, 0, 1).bool()
    assert cdo_loss(distances, defects, 0.0).item() == pytest.approx((0.1 + 0.3 - 2.0) / 3)


def test_cdo_weighs_far_normal_and_near_defect_cells() -> None:
    distances, defects = cells(0.1, 0.3, 1.0, 3.0), cells(0, 0, 1, 1).bool()
    # d̄_N = 0.2: weights (1/2)² and (3/2)²; d̄_A = 2: weights (1/2)⁻² and (3/2)⁻²
    normal, defective = (0.25, 2.25), (4.0, 1 / 2.25)
    above = normal[0] * 0.1 + normal[1] * 0.3 - defective[0] * 1.0 - defective[1] * 3.0
    assert cdo_loss(distances, defects, 2.0).item() == pytest.approx(above / sum(normal + defective))


def test_cdo_without_defects_is_its_normal_term() -> None:
    distances = cells(0.1, 0.3)
    none = torch.zeros_like(distances, dtype=torch.bool)
    assert cdo_loss(distances, none, 2.0).item() == pytest.approx((0.25 * 0.1 + 2.25 * 0.3) / 2.5)
    assert cdo_loss(distances, none, 0.0).item() == pytest.approx(0.2)


def test_cdo_without_normal_cells_is_its_defect_term() -> None:
    distances = cells(1.0, 3.0)
    whole = torch.ones_like(distances, dtype=torch.bool)
    assert cdo_loss(distances, whole, 0.0).item() == pytest.approx(-2.0)


def test_cdo_weights_carry_no_gradient() -> None:
    distances, defects = cells(0.1, 0.3, 1.0, 3.0).requires_grad_(), cells(0, 0, 1, 1).bool()
    cdo_loss(distances, defects, 2.0).backward()
    weights = torch.tensor([0.25, 2.25, -4.0, -1 / 2.25])
    torch.testing.assert_close(distances.grad, (weights / weights.abs().sum()).view(1, 1, 4))


def test_cdo_stays_finite_where_teacher_and_student_agree() -> None:
    distances, defects = cells(0.0, 0.0, 0.0, 1.0).requires_grad_(), cells(0, 0, 1, 1).bool()
    loss = cdo_loss(distances, defects, 2.0)
    loss.backward()
    assert math.isfinite(loss.item())
    assert distances.grad is not None
    assert bool(distances.grad.isfinite().all())
