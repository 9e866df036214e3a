"""EfficientAD's losses and CDO's, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from flawscope.nn.student_teacher.losses import cdo_loss, discrepancy, hard_loss, mean_square


def cells(*values: float) -> Tensor:
    """Discrepancies of some cells, (cells,)."""
    return torch.tensor(values)


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


@pytest.mark.parametrize("sampled", [1.0, 100.0, 0.0])  # of the same size as the others, all above, all below
def test_hard_loss_finds_the_largest_among_many(sampled: float) -> None:
    maps = torch.randn(2, 96 * 96 * 8, generator=torch.Generator().manual_seed(1))
    maps[:, ::16] *= sampled
    largest = maps.square().topk(738).values  # 0.99 of 73728 lie below
    student = maps.view(2, 96, 96, 8).permute(0, 3, 1, 2)  # (2, 8, 96, 96)
    found = hard_loss(torch.zeros_like(student), student, 0.99).item()
    assert found == pytest.approx(largest.mean().item(), rel=1e-5)


def test_discrepancy_is_the_squared_distance_of_unit_vectors() -> None:
    teacher = torch.tensor([[[[3.0, 1.0, 2.0]], [[4.0, 0.0, 0.0]]]])  # (1, 2, 1, 3)
    student = torch.tensor([[[[4.0, -5.0, 7.0]], [[3.0, 0.0, 0.0]]]])
    # (0.6, 0.8) against (0.8, 0.6); opposite directions; the same direction
    assert discrepancy(teacher, student).flatten().tolist() == pytest.approx([0.08, 4.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_that_autograd_finds(order: torch.memory_format) -> None:
    random = torch.Generator().manual_seed(2)
    teacher, first = torch.randn(2, 2, 5, 4, 3, dtype=torch.float64, generator=random)
    second = first.clone(memory_format=order).requires_grad_()
    first.requires_grad_()
    with torch.no_grad():
        expected = discrepancy(teacher, first)
    torch.testing.assert_close(discrepancy(teacher, second).detach(), expected)
    weights = torch.arange(24.0, dtype=torch.float64).view(2, 4, 3)
    plain = (F.normalize(teacher, dim=1) - F.normalize(first, dim=1)).square().sum(1)
    squares = (teacher - first).square().flatten(1)  # (2, 60): 6 are at or above the 0.9 quantile
    hardest = squares.topk(6).values.mean()
    ((plain * weights).sum() + hardest + F.mse_loss(2 * first, first + 1)).backward()
    found = (discrepancy(teacher, second) * weights).sum() + hard_loss(teacher, second, 0.9)
    (found + mean_square(2 * second, second + 1)).backward()
    torch.testing.assert_close(second.grad, first.grad)


def test_cdo_with_gamma_0_is_the_plain_difference() -> None:
    assert cdo_loss(cells(0.1, 0.3), cells(2.0), 0.0).item() == pytest.approx((0.1 + 0.3 - 2.0) / 3)


def test_cdo_weighs_far_normal_and_near_defect_cells() -> None:
    # d̄_N = 0.2: weights (1/2)² and (3/2)²; d̄_A = 2: weights (1/2)⁻² and (3/2)⁻²
    normal, defective = (0.25, 2.25), (4.0, 1 / 2.25)
    above = normal[0] * 0.1 + normal[1] * 0.3 - defective[0] * 1.0 - defective[1] * 3.0
    found = cdo_loss(cells(0.1, 0.3), cells(1.0, 3.0), 2.0).item()
    assert found == pytest.approx(above / sum(normal + defective))


def test_cdo_without_defects_is_its_normal_term() -> None:
    assert cdo_loss(cells(0.1, 0.3), cells(), 2.0).item() == pytest.approx((0.25 * 0.1 + 2.25 * 0.3) / 2.5)
    assert cdo_loss(cells(0.1, 0.3), cells(), 0.0).item() == pytest.approx(0.2)


def test_cdo_without_normal_cells_is_its_defect_term() -> None:
    assert cdo_loss(cells(), cells(1.0, 3.0), 0.0).item() == pytest.approx(-2.0)
    assert cdo_loss(cells(), cells(), 2.0).item() == 0.0


def test_cdo_weights_carry_no_gradient() -> None:
    normal, defective = cells(0.1, 0.3).requires_grad_(), cells(1.0, 3.0).requires_grad_()
    cdo_loss(normal, defective, 2.0).backward()
    assert normal.grad is not None
    assert defective.grad is not None
    weights = torch.tensor([0.25, 2.25, -4.0, -1 / 2.25])
    torch.testing.assert_close(torch.cat([normal.grad, defective.grad]), weights / weights.abs().sum())


def test_cdo_stays_finite_where_teacher_and_student_agree() -> None:
    normal, defective = cells(0.0, 0.0).requires_grad_(), cells(0.0, 1.0).requires_grad_()
    loss = cdo_loss(normal, defective, 2.0)
    loss.backward()
    assert math.isfinite(loss.item())
    assert normal.grad is not None
    assert defective.grad is not None
    assert bool(torch.cat([normal.grad, defective.grad]).isfinite().all())
