"""The gate that the exported graphs answer as the trained detector does, in every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.errors import BundleError
from flawscope.methods.detector import Detector
from flawscope.methods.running import answers
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.engines import DEFAULT, Precision, installed
from flawscope.runtime.manifest import ParityFigures
from flawscope.runtime.pipeline import Graphs, Pipeline

# Share of the spread of scores (of map values) over the parity pictures. Rounding in another order of
# summation stays well below the first; half precision keeps 8 bits of each factor.
BOUNDS = {"fp32": 0.002, "bf16": 0.02}
_LARGEST = float(np.finfo(np.float32).max)


def parity_of_engines(
    detector: Detector,
    graphs: Graphs,
    pictures: Pictures,
    run: Run,
    watch: Watch = UNWATCHED,
    *,
    calibrated: tuple[str, Precision] = (DEFAULT, "fp32"),
) -> tuple[ParityFigures, ...]:
    """Figures for every engine that is installed, in float32, the default one first, and `calibrated`.

    An engine beyond its bound is noted, and the runtime will not use it; the default one must pass, and so
    must the engine and precision that the model will be `calibrated` on.

    Raises:
        BundleError: one of those that must pass differs by more than the bound, or an engine's answers
            contradict a reference of the method's own.
        OptionError: this machine lacks the precision.
        MissingExtraError: the engine's package is not installed.
    """
    pairs: list[tuple[str, Precision]] = [pair for pair in installed() if pair[1] == "fp32"]
    pairs += [calibrated] if calibrated not in pairs else []
    figures = parity(detector, [Pipeline.in_engine(graphs, *pair) for pair in pairs], pictures, run, watch)
    for pair, found in zip(pairs, figures, strict=True):
        if pair in (pairs[0], calibrated):
            check_parity(found)
    return figures


def parity(
    detector: Detector, pipelines: Sequence[Pipeline], pictures: Pictures, run: Run, watch: Watch = UNWATCHED
) -> tuple[ParityFigures, ...]:
    """Compare scores and heatmaps of pipelines over the same graphs with the detector's own.

    All are at the graphs' values of the scalars. Pictures are read twice, once for the detector and once for
    the pipelines; maps are compared picture by picture and then dropped.

    Raises:
        BundleError: a graph fails, or an engine's answers contradict a reference of the method's own.
    """
    compared = [_Compared(detector, pipeline) for pipeline in pipelines]
    references = answers(detector, pictures, run, watch, scalars=pipelines[0].graphs.scalars)
    for pixels, reference in zip(pictures, references, strict=True):
        for one in compared:
            one.add(pixels, reference)
    return tuple(one.figures() for one in compared)


class _Compared:
    """One pipeline's answers beside the detector's own: vectors and scores are kept, maps are not."""

    def __init__(self, detector: Detector, pipeline: Pipeline) -> None:
        self.detector, self.pipeline = detector, pipeline
        self._maps = {o.name: _Difference() for o in detector.outputs if o.kind == "heatmap"}
        self._kept = [o.name for o in detector.outputs if o.kind in ("score", "vector")]
        self._rows: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {name: [] for name in self._kept}

    def add(self, pixels: NDArray[np.float32], reference: Mapping[str, NDArray[Any]]) -> None:
        """Run the pipeline on one picture (3, H, W), for which the detector gives `reference`."""
        (answer,) = self.pipeline.score([pixels], finite=False)
        for name, difference in self._maps.items():
            difference.add(reference[name], answer[name])
        for name, rows in self._rows.items():
            rows.append((reference[name], answer[name]))

    def figures(self) -> ParityFigures:
        """What the answers so far amount to."""
        detector, pipeline = self.detector, self.pipeline
        expected, got = (
            {name: np.stack([row[side] for row in rows]) for name, rows in self._rows.items()}
            for side in (0, 1)
        )
        if pipeline.precision == "fp32" and detector.learnt.reference is not None:
            detector.learnt.reference(got, pipeline.engine)
        score, judged = next((o.name, o.parity) for o in detector.outputs if o.kind == "score")
        score_absolute, score_relative = difference(expected[score], got[score])
        if judged is not None:
            columns = zip(expected[judged].T, got[judged].T, strict=True)
            score_relative = max(difference(*column)[1] for column in columns)
        maps = max((one.figures() for one in self._maps.values()), default=(0.0, 0.0))
        return ParityFigures(
            engine=pipeline.engine,
            precision=pipeline.precision,
            pictures=len(expected[score]),
            score_absolute=score_absolute,
            score_relative=score_relative,
            heatmap_absolute=maps[0],
            heatmap_relative=maps[1],
            rank_change=rank_change(expected[score], got[score]),
            bound=BOUNDS[pipeline.precision],
        )


def check_parity(figures: ParityFigures) -> None:
    """Let a model pass only where its engine answers as the trained detector does.

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


def rank_change(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """Share of pairs of pictures whose order turns round."""
    first = np.sign(expected[:, None] - expected[None, :])  # (N, N)
    second = np.sign(got[:, None] - got[None, :])
    pairs = len(expected) * (len(expected) - 1)
    return float((first * second < 0).sum() / pairs) if pairs else 0.0
