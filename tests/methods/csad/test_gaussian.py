"""Gaussians of good vectors: numpy's distances, never singular, and what a left-out vector would have got."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flawscope.errors import DataError
from flawscope.methods.csad import gaussian as module
from flawscope.methods.csad.gaussian import Gaussian, GaussianOptions, find_variants
from flawscope.methods.csad.variants import variants_of

RANDOM = np.random.default_rng(3)
MIXED = RANDOM.normal(size=(5, 5))


def vectors(count: int, seed: int = 0) -> torch.Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.normal(size=(count, 5)) @ MIXED + 4).float()


def test_the_plain_distance_is_mahalanobis_with_the_floor_in_the_variance() -> None:
    good, other = vectors(40), vectors(7, seed=1)
    found = Gaussian(5, GaussianOptions(), 0.1)
    found.learn(good)
    rows = good.double().numpy()
    inverse = np.linalg.inv(np.cov(rows.T, bias=True) + 0.01 * np.eye(5))
    away = other.double().numpy() - rows.mean(0)
    expected = np.sqrt(np.einsum("nd,de,ne->n", away, inverse, away))
    np.testing.assert_allclose(found(other).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("shrinkage", [False, True])
def test_a_singular_covariance_gives_finite_distances(shrinkage: bool) -> None:
    good = torch.zeros(3, 5)
    good[:, 0] = torch.tensor([0.5, 0.5, 0.5])
    good[:, 1] = torch.tensor([0.1, 0.2, 0.3])
    found = Gaussian(5, GaussianOptions(shrinkage=shrinkage), 1e-4)
    left_out = found.learn(good)
    assert torch.isfinite(left_out).all()
    odd = good[:1].clone()
    odd[0, 4] = 0.01  # where good pictures show nothing at all
    assert found(good).max() < 2
    np.testing.assert_allclose(found(odd).item(), 100, rtol=0.05)


@pytest.mark.parametrize("shrinkage", [False, True])
def test_left_out_distances_are_those_of_a_gaussian_of_the_others(
    shrinkage: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = vectors(12).double()
    found = Gaussian(5, GaussianOptions(shrinkage=shrinkage), 0.1)
    left_out = found.learn(good)
    fit = module._fit(good.numpy(), np.zeros(12, np.intp), 0.1, shrinkage=shrinkage)[0]
    assert (fit.share < 1) == shrinkage
    for index in range(12):
        others = np.delete(good.numpy(), index, 0)
        units = (others - others.mean(0)) / fit.deviation
        covariance = fit.share * units.T @ units / 11 + np.diag(fit.rest)
        away = (good[index].numpy() - others.mean(0)) / fit.deviation
        np.testing.assert_allclose(
            left_out[index], np.sqrt(away @ np.linalg.inv(covariance) @ away), rtol=1e-5
        )


def test_one_vector_is_refused() -> None:
    with pytest.raises(DataError, match="at least 2"):
        Gaussian(5, GaussianOptions(), 0.1).learn(vectors(1))


def two_juices(counts: tuple[int, int], seed: int = 0) -> torch.Tensor:
    random = np.random.default_rng(seed)
    centres = np.array([[0.3, 0.0, 0.1], [0.0, 0.3, 0.1]])
    rows = [random.normal(centre, 0.01, (count, 3)) for centre, count in zip(centres, counts, strict=True)]
    return torch.from_numpy(np.concatenate(rows)).float().clamp(min=0)


@pytest.mark.parametrize("search", ["density", "mixture"])
def test_each_variant_is_compared_with_its_own(search: str) -> None:
    options = GaussianOptions.model_validate({"variants": search})
    found, plain = Gaussian(3, options, 1e-3), Gaussian(3, GaussianOptions(), 1e-3)
    good = two_juices((30, 20))
    found.learn(good, find_variants(good, options, 2**63 - 1))
    plain.learn(good)
    assert found.mean.shape == (2, 3)
    between = torch.tensor([[0.15, 0.15, 0.1]])  # half of each, which one Gaussian takes for the most usual
    assert plain(between) < plain(good).max()
    assert found(between) > 3 * found(good).max()
    assert found.deviations(good[-1:])[0].abs().max() < 0.05


@pytest.mark.parametrize("search", ["density", "mixture"])
def test_one_composition_stays_one_and_few_pictures_make_no_variant(search: str) -> None:
    rows = np.random.default_rng(0).normal(5, 1, (60, 4))
    assert not variants_of(rows, search, 10).any()  # type: ignore[arg-type]
    rare = two_juices((30, 3)).double().numpy()
    assert not variants_of(rare, search, 10).any()  # type: ignore[arg-type]
    assert not variants_of(np.ones((40, 4)), search, 10).any()  # type: ignore[arg-type]


def test_left_out_distances_with_variants_stay_near_the_distances() -> None:
    options = GaussianOptions(variants="density")
    found, good = Gaussian(3, options, 1e-3), two_juices((30, 20))
    left_out = found.learn(good, find_variants(good, options, 0))
    assert (left_out >= found(good) - 1e-4).all()
    assert left_out.median() < 1.3 * found(good).median()
