"""How far a pipeline's answers lie from those that it should give, and whether that is near enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import BundleError
from flawscope.runtime.engine_table import ParityFigures
from flawscope.runtime.engines import Precision
from flawscope.runtime.pipeline import Pipeline

# Share of the spread of scores (of map values) over the parity pictures. Rounding in another order of
# summation stays well below the first; half precision keeps 8 bits of each factor (bf16), or 11.
BOUNDS: dict[Precision, float] = {"fp32": 0.002, "bf16": 0.02, "fp16": 0.02}
PICTURES = 100  # at most, that are compared
_LARGEST = float(np.finfo(np.float32).max)
_STILL = 1e-3  # of the widest column's spread, below which a column only rounds


class Compared:
    """One pipeline's answers beside reference ones: vectors and scores are kept, maps are not."""

    def __init__(self, pipeline: Pipeline, reference: str) -> None:
        self.pipeline, self._reference = pipeline, reference
        self._outputs = pipeline.graphs.outputs
        self._maps = {o.name: _Difference() for o in self._outputs if o.kind == "heatmap"}
        self._kept = [o.name for o in self._outputs if o.kind in ("score", "vector")]
        self._rows: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {name: [] for name in self._kept}

    def add(self, pixels: NDArray[np.float32], reference: Mapping[str, NDArray[Any]]) -> None:
        """Run the pipeline on one picture (3, H, W), for which `reference` is the right answer."""
        (answer,) = self.pipeline.score([pixels], finite=False)
        for name, difference in self._maps.items():
            difference.add(reference[name], answer[name])
        for name, rows in self._rows.items():
            rows.append((reference[name], answer[name]))

    def given(self) -> dict[str, NDArray[Any]]:
        """The pipeline's own scores and vectors (N, …) by name."""
        return self._side(1)

    def figures(self) -> ParityFigures:
        """What the answers so far amount to."""
        expected, got = self._side(0), self.given()
        score, judged = next((o.name, o.parity) for o in self._outputs if o.kind == "score")
        score_absolute, score_relative = difference(expected[score], got[score])
        if judged is not None:
            score_relative = difference_of_columns(expected[judged], got[judged])
        maps = max((one.figures() for one in self._maps.values()), default=(0.0, 0.0))
        return ParityFigures(
            engine=self.pipeline.engine,
            precision=self.pipeline.precision,
            reference=self._reference,
            pictures=len(expected[score]),
            score_absolute=score_absolute,
            score_relative=score_relative,
            heatmap_absolute=maps[0],
            heatmap_relative=maps[1],
            rank_change=rank_change(expected[score], got[score]),
            bound=BOUNDS[self.pipeline.precision],
        )

    def _side(self, side: int) -> dict[str, NDArray[Any]]:
        return {name: np.stack([row[side] for row in rows]) for name, rows in self._rows.items()}


def check_parity(figures: ParityFigures) -> None:
    """Let a model pass only where its engine answers as it should.

    Raises:
        BundleError: score or heatmap differ by more than the bound; the error names what does.
    """
    measured = {"scores": figures.score_relative, "heatmaps": figures.heatmap_relative}
    beyond = [f"{value:.3g} in {what}" for what, value in measured.items() if value > figures.bound]
    if beyond:
        exact = figures.precision == "fp32"
        raise BundleError(
            f"parity of {figures.engine} {figures.precision} with {figures.reference}",
            expected=f"at most {figures.bound:.3g} of the spread over {figures.pictures} pictures",
            got=" and ".join(beyond),
            fix="Report the method and its options as a bug." if exact else "Use precision fp32.",
        )


class _Difference:
    """Largest absolute difference, and its share of the spread of what was expected, over many arrays."""

    def __init__(self) -> None:
        self._absolute, self._low, self._high = 0.0, np.float32(np.inf), np.float32(-np.inf)

    def add(self, expected: NDArray[Any], got: NDArray[Any]) -> None:
        """Compare two arrays of one shape; another shape, or values that are not finite, differ most."""
        self._low, self._high = min(self._low, expected.min()), max(self._high, expected.max())
        alike = expected.shape == got.shape and bool((np.isfinite(expected) & np.isfinite(got)).all())
        found = float(np.abs(expected.astype(np.float64) - got).max()) if alike else _LARGEST
        self._absolute = max(self._absolute, found)

    def figures(self) -> tuple[float, float]:
        """Absolute, then relative."""
        if self._absolute == _LARGEST:
            return _LARGEST, _LARGEST
        # One picture, or equal ones, have no spread: then a hundredth of the size stands in.
        size = max(abs(float(self._low)), abs(float(self._high)))
        spread = max(float(self._high - self._low), 0.01 * size, float(np.finfo(np.float32).tiny))
        return self._absolute, self._absolute / spread


def difference(expected: NDArray[Any], got: NDArray[Any]) -> tuple[float, float]:
    """Largest absolute difference, and its share of the spread of what was expected."""
    found = _Difference()
    found.add(expected, got)
    return found.figures()


def difference_of_columns(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """Largest difference in a column of vectors (N, d), as a share of the spread of what was expected there.

    A column that hardly varies beside the others, as of a branch to which all good pictures are the same, is
    measured by a thousandth of the widest one's spread: its own may be that of the last bits.
    """
    columns = [difference(*column) for column in zip(expected.T, got.T, strict=True)]
    least = _STILL * float(np.ptp(expected, axis=0).max())
    shares = [min(share, absolute / least) if least else share for absolute, share in columns]
    return max(share if np.isfinite(share) else _LARGEST for share in shares)


def rank_change(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """Share of pairs of pictures whose order turns round."""
    first = np.sign(expected[:, None] - expected[None, :])  # (N, N)
    second = np.sign(got[:, None] - got[None, :])
    pairs = len(expected) * (len(expected) - 1)
    return float((first * second < 0).sum() / pairs) if pairs else 0.0
