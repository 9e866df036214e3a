"""The way from pixels to a model's outputs, which exists once: stages in an engine, checked at both ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import BundleError
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.engines import (
    DEFAULT,
    Engine,
    Pair,
    Precision,
    check_inputs,
    open_engine,
    require_known,
    runs,
)
from flawscope.runtime.engines.budget import BUDGET
from flawscope.runtime.manifest import Manifest, OutputSpec, StageSpec, map_level

Outputs = dict[str, NDArray[Any]]
Judged = tuple[str, ...]  # names of the score and, where there is any, of the heatmap
_RANKS = {"score": 1, "heatmap": 3}


@dataclass(frozen=True, slots=True)
class Graphs:
    """The graph files of a model folder, and what they promise together.

    Attributes:
        folder: where the files lie.
        stages: the files in their order; the first takes `pixels` (N, 3, H, W) float32 in [0, 1].
        outputs: what the last stages give, N entries each.
        scalars: the value in force of each scalar input.
    """

    folder: Path
    stages: tuple[StageSpec, ...]
    outputs: tuple[OutputSpec, ...]
    scalars: Mapping[str, float]

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Those of a model folder, at the values of its manifest."""
        manifest = bundle.manifest
        return cls(bundle.folder, manifest.stages, manifest.outputs, manifest.scalar_values())


class Pipeline:
    """A model's graphs, one engine for each: pixels in, the declared outputs out.

    `run` and `score` may be called from several threads. `judged` names the score, and the heatmap where
    there is one.
    """

    def __init__(self, graphs: Graphs, engines: Sequence[Engine]) -> None:
        self.graphs, self.engines = graphs, tuple(engines)
        self.judged = judged_outputs(graphs.outputs)
        self._names = [output.name for output in graphs.outputs]
        self._ranks = {o.name: _RANKS[o.kind] for o in graphs.outputs if o.kind in _RANKS}
        self._scalars = {name: np.array(value, np.float32) for name, value in graphs.scalars.items()}
        for stage, engine in zip(graphs.stages, self.engines, strict=True):
            check_inputs(f"graph {graphs.folder / stage.file}", engine.inputs, stage.inputs)

    @classmethod
    def open(cls, bundle: Bundle, engine: str = "auto", *, threads: int | None = None) -> Self:
        """Open a model folder; `auto` takes the engine whose scores the calibration holds.

        Raises:
            BundleError: a damaged or foreign model, or an engine whose parity was not measured.
            OptionError: an unknown engine, or fewer than one thread.
            MissingExtraError: the engine's package is not installed.
        """
        return cls.in_engine(Graphs.of(bundle), *choose(bundle.manifest, engine), threads=threads)

    @classmethod
    def in_engine(
        cls, graphs: Graphs, name: str = DEFAULT, precision: Precision = "fp32", *, threads: int | None = None
    ) -> Self:
        """Open graphs in the engine called `name`, whether or not it answers as it should.

        Stages that bear no half precision run in float32 whatever `precision` says.

        Raises:
            BundleError, OptionError, MissingExtraError: as `flawscope.runtime.engines.open_engine`.
        """
        pairs = [(graphs.folder / s.file, precision if s.half else "fp32") for s in graphs.stages]
        return cls(graphs, [open_engine(name, file, precision=kind, threads=threads) for file, kind in pairs])

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return self.engines[0].name

    @property
    def precision(self) -> Precision:
        """Number format that the graphs run in, those that bear no half precision left aside."""
        return next((each.precision for each in self.engines if each.precision != "fp32"), "fp32")

    @property
    def pair(self) -> Pair:
        """Engine and precision."""
        return self.engine, self.precision

    @property
    def threads(self) -> int:
        """Processor threads that a call takes."""
        return self.engines[0].threads

    def turned(self, scalars: Mapping[str, float]) -> Pipeline:
        """The same graphs in the same engines, with other values for some scalars."""
        values = {**self.graphs.scalars, **scalars}
        return Pipeline(replace(self.graphs, scalars=values), self.engines)

    def run(self, pixels: NDArray[np.float32]) -> Outputs:
        """The declared outputs, by name, for pixels (N, 3, H, W) float32 in [0, 1] at the model's frame.

        Raises:
            BundleError: a graph fails, or answers otherwise than promised: with outputs that lack or have
                other shapes, or with scores and heatmaps that are not finite.
        """
        outputs = self._answered(pixels)
        for name in self._ranks:
            if not np.isfinite(outputs[name]).all():
                raise self._broken("finite scores and heatmaps", "values that are not")
        return outputs

    def score(
        self,
        pictures: Iterable[NDArray[np.float32]],
        keep: Collection[str] | None = None,
        *,
        finite: bool = True,
    ) -> Iterator[Outputs]:
        """The answer for each picture (3, H, W), one at a time: outputs by name, without the axis N.

        Each runs alone, as in inspection. All but the outputs in `keep` are dropped at once; None keeps all.

        Raises:
            BundleError: as `run`; with `finite` off, values that are not finite pass.
        """
        run = self.run if finite else self._answered
        for pixels in pictures:
            outputs = run(pixels[None])
            yield {name: values[0] for name, values in outputs.items() if keep is None or name in keep}

    def _answered(self, pixels: NDArray[np.float32]) -> Outputs:
        """Run stage after stage, and check names and shapes."""
        known: Outputs = {"pixels": pixels, **self._scalars}
        for stage, engine in zip(self.graphs.stages, self.engines, strict=True):
            feeds = {name: known[name] for name in stage.inputs}
            try:
                with BUDGET.share(engine):
                    known |= engine.run(feeds)
            except Exception as error:
                raise self._broken("a graph that runs", " ".join(str(error).split())[:300]) from error
            if missing := [name for name in stage.outputs if name not in known]:
                raise self._broken("the outputs that its manifest names", f"none called {', '.join(missing)}")
        for name, rank in self._ranks.items():
            if known[name].ndim != rank or len(known[name]) != len(pixels):
                raise self._broken(f"{name} with {rank} axes, one entry a picture", f"{known[name].shape}")
        return {name: known[name] for name in self._names}

    def _broken(self, expected: str, got: str) -> BundleError:
        return BundleError(
            f"model {self.graphs.folder}", expected=expected, got=got, fix="Train or export again."
        )


def choose(manifest: Manifest, engine: str = "auto") -> Pair:
    """Engine and precision to run a model with.

    `auto` takes what made the calibration's scores; where that is not installed, or lacks the units for
    its precision on this machine, another one whose measured parity is within its bound.

    Raises:
        OptionError: an unknown engine.
        BundleError: the engine's parity with the model was not measured, or exceeds the bound.
    """
    calibrated: Pair = (manifest.engine, manifest.precision)
    measured = [entry.pair for entry in manifest.parity if entry.within]
    allowed = [calibrated, *(pair for pair in measured if pair != calibrated)]
    if engine == "auto":
        return next((pair for pair in allowed if runs(*pair)), calibrated)
    require_known(engine, "auto")
    fitting = [pair for pair in allowed if pair[0] == engine]
    if not fitting:
        names = ", ".join(sorted({pair[0] for pair in allowed}))
        raise BundleError(
            f"engine {engine!r}",
            expected=f"one whose scores agree with the calibration ({names})",
            got="one that was not measured with this model",
            fix="Train again with this engine installed, or use engine auto.",
        )
    return next((pair for pair in fitting if runs(*pair)), fitting[0])


def judged_outputs(outputs: Iterable[Any]) -> Judged:
    """What calibration reads of outputs with `name` and `kind`: the score, and the first heatmap if any."""
    first = {output.kind: output.name for output in reversed(tuple(outputs))}
    return tuple(first[kind] for kind in ("score", "heatmap") if kind in first)


def scores_and_levels(
    answers: Iterable[Mapping[str, NDArray[Any]]], judged: Judged
) -> tuple[list[float], list[tuple[float, float]]]:
    """Score and `map_level` of each answer, one map at a time; no levels where there are no maps."""
    scores, levels = list[float](), list[tuple[float, float]]()
    for answer in answers:
        scores.append(float(answer[judged[0]]))
        levels += [map_level(answer[name]) for name in judged[1:]]
    return scores, levels
