"""Flows against autograd's full Jacobian, their own inverse, and torch's distributions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import AffineTransform, Independent, Normal, TransformedDistribution

from flawscope.methods.fastflow import Coupling, Flow, PlaceScaling, negative_log_likelihood

LOG_2_PI = 1.8378770664093453


def flow_of(channels: int, kernels: tuple[int, ...] = (3, 1, 3)) -> Flow:
    """A small flow in float64 with every parameter away from where it starts."""
    torch.manual_seed(0)
    flow = Flow(channels, (2, 3), kernels, hidden_ratio=1.5, clamp=2.0).double()
    with torch.no_grad():
        for value in flow.parameters():
            value.copy_(torch.randn_like(value))
    return flow


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_log_determinant_is_that_of_the_full_jacobian(channels: int) -> None:
    flow = flow_of(channels)
    x = torch.randn(3, channels, 2, 3, dtype=torch.float64)
    _, log_det = flow(x)

    def flat(vector: Tensor) -> Tensor:
        return flow(vector.view(1, channels, 2, 3))[0].flatten()

    expected = []
    for one in x:
        jacobian = torch.autograd.functional.jacobian(flat, one.flatten())
        assert torch.linalg.matrix_rank(jacobian) == channels * 6
        expected.append(torch.linalg.slogdet(jacobian).logabsdet)
    torch.testing.assert_close(log_det, torch.stack(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("channels", [2, 5, 8])
def test_inverse_leads_back(channels: int) -> None:
    flow = flow_of(channels)
    x = torch.randn(2, channels, 2, 3, dtype=torch.float64)
    z, _ = flow(x)
    assert not torch.allclose(z, x, atol=0.1)
    torch.testing.assert_close(flow.inverse(z), x, rtol=1e-8, atol=1e-8)


def test_coupling_keeps_one_half_and_bounds_the_scale_of_the_other() -> None:
    torch.manual_seed(1)
    coupling = Coupling(6, 3, hidden_ratio=1.0, clamp=0.5).requires_grad_(False)
    with torch.no_grad():
        for value in coupling.parameters():
            value.mul_(1000)
    x = torch.randn(1, 6, 4, 4)
    y, log_det = coupling(x)
    torch.testing.assert_close(y[:, :3], x[:, coupling.order[:3]])
    assert abs(float(log_det[0])) <= 0.5 * 3 * 16
    changed, shifted = coupling(torch.where(torch.arange(6).view(1, 6, 1, 1) == coupling.order[5], x + 1, x))
    torch.testing.assert_close(shifted, log_det)
    assert not torch.allclose(changed[:, 5], y[:, 5])


def test_hidden_ratio_sets_the_width_between() -> None:
    assert Coupling(9, 1, hidden_ratio=0.5, clamp=1.0).subnet[0].weight.shape == (2, 5, 1, 1)
    assert Coupling(2, 1, hidden_ratio=0.01, clamp=1.0).subnet[0].weight.shape == (1, 1, 1, 1)


def test_likelihood_of_a_scaling_is_that_of_a_gaussian_at_each_place() -> None:
    torch.manual_seed(2)
    scaling = PlaceScaling(3, (2, 2)).double()
    with torch.no_grad():
        scaling.log_scale.copy_(torch.randn_like(scaling.log_scale))
        scaling.shift.copy_(torch.randn_like(scaling.shift))
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    base = Independent(Normal(torch.zeros(3, 2, 2).double(), torch.ones(3, 2, 2).double()), 3)
    scale = scaling.log_scale[0].exp().detach()
    back = AffineTransform(-scaling.shift[0].detach() / scale, 1 / scale, event_dim=3)
    expected = -TransformedDistribution(base, [back]).log_prob(x) - 12 * LOG_2_PI / 2
    torch.testing.assert_close(negative_log_likelihood(*scaling(x)), expected)


def test_log_determinant_stays_in_the_maps_format_under_autocast() -> None:
    torch.manual_seed(3)
    flow = Flow(4, (2, 3), (3, 1), 1.0, 2.0)
    x = torch.randn(2, 4, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z, log_det = flow(x)
    assert z.dtype == log_det.dtype == torch.float32
    torch.testing.assert_close(z, flow(x)[0], atol=0.05, rtol=0.05)
