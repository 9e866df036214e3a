"""Gaussians of vectors of good pictures, one for each composition that they come in.

The distance of a picture is the Mahalanobis distance of its vector to the nearest of them (section 3.3,
equation 4). The paper takes the plain covariance of the training pictures, which is singular where they are
few or a class never varies; here a floor is added to each variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from flawscope.errors import DataError
from flawscope.methods.csad.variants import Search, variants_of
from flawscope.runtime.frozen import Frozen

Matrix = NDArray[np.float64]

FEWEST = 2
OWN = 3  # pictures of a variant for each entry of the vector, from which on it has a covariance of its own
_LEAST = 1e-10  # eigenvalue of a covariance in units of its variances below which rounding decides


class GaussianOptions(Frozen):
    """Options of `Gaussian`."""

    shrinkage: bool = Field(
        False,
        description="shrink the covariance as far as pictures are few (Ledoit and Wolf 2004); off is the "
        "paper's plain covariance (equation 4), which alone sees that what one cell lacks another has",
    )
    variants: Search = Field(
        "one",
        description="several normal compositions with a Gaussian each: found by HDBSCAN, or by Gaussian "
        "mixtures and their BIC; one is the paper's single Gaussian",
    )
    least_members: int = Field(
        10, ge=FEWEST, description="good pictures of a variant; those of smaller ones join the nearest"
    )


class Gaussian(nn.Module):
    """Distance of vectors to those of good pictures; all that `learn` finds out lies in buffers.

    Args:
        size: entries d of a vector.
        options: see there.
        floor: standard deviation, in the vectors' unit, that is added to each entry's: (d,) or one for all,
            above 0. It decides what a deviation weighs where good pictures do not vary at all.

    Attributes:
        mean: (V, d) of each of V variants.
        deviation: (V, d) standard deviation of each entry, with the floor.
        whitening: (V, d, d), W with (x - mean) @ W of unit covariance.
    """

    mean: Tensor
    deviation: Tensor
    whitening: Tensor

    def __init__(self, size: int, options: GaussianOptions, floor: float) -> None:
        super().__init__()
        self.options, self.floor = options, floor
        self.register_buffer("mean", torch.zeros(1, size))
        self.register_buffer("deviation", torch.ones(1, size))
        self.register_buffer("whitening", torch.eye(size).unsqueeze(0))

    def learn(self, vectors: Tensor, members: NDArray[np.intp] | None = None) -> Tensor:
        """Estimate the Gaussians from the vectors (n, d) of good pictures.

        Args:
            vectors: one for each picture.
            members: (n,) the variant of each, 0 to V - 1, see `find_variants`; None: all are of one.

        Returns:
            The distance (n,) of each vector to the Gaussians of all others (Sherman and Morrison 1950), to be
            read as one of a picture that was held out. The variants, the floor, and how far and to what the
            covariance is shrunk stay those of all vectors.

        Raises:
            DataError: fewer than two vectors.
        """
        rows = vectors.detach().cpu().double().numpy()
        if len(rows) < FEWEST:
            raise DataError(
                "good pictures to compare others with",
                expected=f"at least {FEWEST}",
                got=str(len(rows)),
                fix="Add good pictures to the folder.",
            )
        if members is None:
            members = np.zeros(len(rows), np.intp)
        fits = _fit(rows, members, self.floor, shrinkage=self.options.shrinkage)
        for name in ("mean", "deviation", "whitening"):
            stacked = np.stack([getattr(fit, name) for fit in fits])
            setattr(self, name, torch.from_numpy(stacked).to(getattr(self, name)))
        return torch.from_numpy(_left_out(rows, members, fits)).float()

    def distances(self, vectors: Tensor) -> Tensor:
        """Mahalanobis distance (N, V) of vectors (N, d) to each variant."""
        away = vectors.unsqueeze(0) - self.mean.unsqueeze(1)  # (V, N, d)
        return torch.matmul(away, self.whitening).square().sum(2).sqrt().T  # (N, V)

    def forward(self, vectors: Tensor) -> Tensor:
        """Mahalanobis distance (N,) of vectors (N, d) to the nearest variant; exports to ONNX."""
        return self.distances(vectors).amin(1)

    def deviations(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """How far vectors (N, d) lie above their nearest variant's mean, and its deviation: (N, d) each."""
        nearest = self.distances(vectors).argmin(1)  # (N,)
        return vectors - self.mean[nearest], self.deviation[nearest]


def find_variants(vectors: Tensor, options: GaussianOptions, seed: int) -> NDArray[np.intp]:
    """The variant (n,) of each vector (n, d) of amounts, at least 0; see `variants_of`."""
    return variants_of(vectors.detach().cpu().double().numpy(), options.variants, options.least_members, seed)


@dataclass(frozen=True, slots=True)
class _Fit:
    """One variant's Gaussian.

    Attributes:
        mean, deviation, whitening: as in `Gaussian`, of the one variant.
        count: vectors from which the covariance comes.
        share: of the scatter in the covariance, 1 less the shrinkage.
        rest: (d,) diagonal of what is added to the scatter, in units of the deviations.
        scatter: (d, d) mean product of the centred vectors, in those units.
    """

    mean: Matrix
    deviation: Matrix
    whitening: Matrix
    count: int
    share: float
    rest: Matrix
    scatter: Matrix

    def distance(self, rows: Matrix) -> Matrix:
        """Mahalanobis distance (n,) of rows (n, d)."""
        return np.asarray(np.linalg.norm((rows - self.mean) @ self.whitening, axis=1))


def _fit(rows: Matrix, members: NDArray[np.intp], floor: float, *, shrinkage: bool) -> list[_Fit]:
    """A Gaussian for each variant; those too small for a covariance of their own share one."""
    variants = range(int(members.max()) + 1)
    means = np.stack([rows[members == variant].mean(0) for variant in variants])  # (V, d)
    centred = rows - means[members]
    shared = _covariance(centred, floor, shrinkage=shrinkage)
    fits = []
    for variant in variants:
        own = centred[members == variant]
        large = len(own) >= OWN * rows.shape[1]
        found = _covariance(own, floor, shrinkage=shrinkage) if large and len(variants) > 1 else shared
        fits.append(_Fit(means[variant], **found))
    return fits


def _covariance(centred: Matrix, floor: float, *, shrinkage: bool) -> dict[str, Any]:
    """Fields of a `_Fit` but the mean, from centred vectors (n, d).

    Shrinkage works in units of the deviations, so that small components count as much as large ones.
    """
    deviation = np.sqrt((centred**2).mean(0) + floor**2)
    units = centred / deviation
    amount = _shrinkage(units) if shrinkage else 0.0
    scatter = units.T @ units / len(units)
    rest = amount * np.trace(scatter) / len(deviation) + floor**2 / deviation**2  # (d,)
    values, axes = np.linalg.eigh((1 - amount) * scatter + np.diag(rest))
    whitening = axes / np.sqrt(np.maximum(values, _LEAST)) / deviation[:, None]
    return {
        "deviation": deviation,
        "whitening": whitening,
        "count": len(centred),
        "share": 1 - amount,
        "rest": rest,
        "scatter": scatter,
    }


def _shrinkage(units: Matrix) -> float:
    from sklearn.covariance import ledoit_wolf_shrinkage  # noqa: PLC0415 - takes a second; learning alone

    return float(ledoit_wolf_shrinkage(units, assume_centered=True)) if units.any() else 0.0


def _left_out(rows: Matrix, members: NDArray[np.intp], fits: list[_Fit]) -> Matrix:
    """Distance (n,) of each row to the Gaussians of the others.

    Without one of n vectors of a variant, d away from its mean, the scatter loses n / (n - 1) d dᵀ and d
    grows by n / (n - 1), so one inverse serves all vectors of a covariance.
    """
    found = np.stack([fit.distance(rows) for fit in fits], 1)  # (n, V)
    for variant, fit in enumerate(fits):
        own = members == variant
        grown = own.sum() / max(own.sum() - 1, 1)
        part = fit.share / max(fit.count - 1, 1)  # of each vector's product in the others' covariance
        others = part * fit.count * fit.scatter + np.diag(fit.rest)
        away = (rows[own] - fit.mean) / fit.deviation  # (m, d)
        plain = np.einsum("nd,nd->n", away @ np.linalg.inv(others), away)
        found[own, variant] = grown * np.sqrt(plain / np.maximum(1 - part * grown * plain, _LEAST))
    return np.asarray(found.min(1))
