"""What a model folder says about itself: `manifest.json` as frozen, strict models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    FiniteFloat,
    JsonValue,
    model_validator,
)

from flawscope.errors import OptionError, suggest
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.engine_table import EngineRow, ParityFigures, Speeds, engine_rows
from flawscope.runtime.engines import DEFAULT, Precision
from flawscope.runtime.frozen import Frozen
from flawscope.runtime.images import Frame
from flawscope.runtime.provenance import Digest, Provenance
from flawscope.runtime.tiling import Tiling

FORMAT = 3

REGION_QUANTILE = 0.95


class OutputSpec(Frozen):
    """One named output of the graph.

    Attributes:
        kind: how to read it: `score` (N,), `heatmap` (N, h, w), `label_map` and `index_map` (N, h, w)
            integers, `vector` (N, d).
        names: of a vector's d entries, where they have any.
        parity: of a score that is a step function of a vector, that vector's name: engines are compared on
            it, since rounding in another order of summation may carry a value across a step, however small
            the difference. Fit then hands over a reference (`Learnt.reference`) that holds the score against
            an engine's own vector.
    """

    name: str = Field(min_length=1)
    kind: Literal["score", "heatmap", "label_map", "index_map", "vector"]
    about: str = ""
    names: tuple[str, ...] = ()
    parity: str | None = None


class ScalarSpec(Frozen):
    """A knob that stays open after training, a scalar input of the graph: its value, and where it may lie."""

    name: str = Field(min_length=1)
    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    about: str = ""

    @model_validator(mode="after")
    def _inside(self) -> ScalarSpec:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.name} must lie between {self.low:g} and {self.high:g}")
        return self


class StageSpec(Frozen):
    """One graph file of the model: a stretch of the way from pixels to the outputs.

    Attributes:
        file: its name in the model folder.
        inputs: `pixels`, scalars, and outputs of stages before it, in the graph's order.
        outputs: what it gives, in the graph's order: outputs of the model, or what later stages take.
        half: whether it runs in half precision where the model does; otherwise it stays in float32.
    """

    file: str = Field(min_length=1)
    inputs: tuple[str, ...] = Field(min_length=1)
    outputs: tuple[str, ...] = Field(min_length=1)
    half: bool = True


class HeatmapRange(Frozen):
    """Levels of the raw anomaly map on the calibration pictures.

    Attributes:
        low: foot of the colour scale: the median of the maps.
        high: end of the colour scale: as far above the threshold as that lies above `low`, so that good
            pictures keep to the scale's lower half.
        threshold: level above which an area becomes a region: the value that the maps of 95 % of the
            calibration pictures stay below, so that about one good picture in twenty shows a region.
    """

    low: FiniteFloat
    high: FiniteFloat
    threshold: FiniteFloat


class FileEntry(Frozen):
    """One file of the model folder."""

    sha256: Digest
    bytes: int = Field(ge=0)


class Manifest(Frozen):
    """All that the runtime must know about a model.

    Attributes:
        explains: which reader of `flawscope.runtime.explain` turns outputs into findings.
        learnt: facts that fit found out, which the explanation and a restored detector read.
        tiling: how pictures are cut into tiles of the frame; None: each is seen whole.
        calibrated_tiles: the most that a picture has whose score calibrates; None: seen whole, or not known.
        cells: height and width, over the frame, of the finest grid that maps are enlarged from; or None.
        engine, precision: what made the calibration's scores, at the values of `scalars`.
        conditions: of the calibration pictures themselves, by name and in their order, as far as nine of ten
            tell them (`flawscope.runtime.conditions`); where parts are counted, of one picture of each.
        parity, speeds: how well and how fast each engine answered where the engine was chosen.
    """

    format: int = FORMAT
    flawscope: str
    method: str
    options: dict[str, JsonValue]
    frame: Frame
    tiling: Tiling | None = None
    calibrated_tiles: int | None = Field(default=None, ge=1)
    outputs: tuple[OutputSpec, ...]
    cells: tuple[int, int] | None = None
    scalars: tuple[ScalarSpec, ...] = ()
    explains: str = "levels"
    learnt: dict[str, JsonValue] = Field(default_factory=dict)
    stages: tuple[StageSpec, ...] = Field(min_length=1)
    engine: str = DEFAULT
    precision: Precision = "fp32"
    calibration: Calibration
    conditions: dict[str, tuple[FiniteFloat, ...]] = Field(default_factory=dict)
    heatmap: HeatmapRange | None = None
    parity: tuple[ParityFigures, ...] = ()
    speeds: Speeds | None = None
    provenance: Provenance
    files: dict[str, FileEntry] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        names = [output.name for output in self.outputs]
        if len(set(names)) != len(names):
            raise ValueError("outputs must have different names")
        if len(self.scalar_values()) != len(self.scalars):
            raise ValueError("scalars must have different names")
        if sum(output.kind == "score" for output in self.outputs) != 1:
            raise ValueError("exactly one output must be the score")
        if any(output.parity not in (None, *names) for output in self.outputs):
            raise ValueError("parity must be judged on an output")
        if self.tiling is not None and self.tiling.size != (self.frame.height, self.frame.width):
            raise ValueError("tiles must have the size of the frame")
        _check_stages(self.stages, {"pixels", *self.scalar_values()}, names)
        if self.heatmap is None and self.output("heatmap") is not None:
            raise ValueError("a model with a heatmap needs its range")
        return self

    def output(self, kind: Literal["score", "heatmap"]) -> str | None:
        """Name of the first output of this kind, or None."""
        return next((output.name for output in self.outputs if output.kind == kind), None)

    def engines(self) -> tuple[EngineRow, ...]:
        """Every engine and precision that was measured, the plainest first."""
        return engine_rows(self.parity, self.speeds, (self.engine, self.precision))

    @property
    def timed(self) -> str:
        """What the milliseconds of engines are for: a picture, or one of its tiles."""
        return "picture" if self.tiling is None else "tile"

    def scalar_values(self) -> dict[str, float]:
        """The value in force of each scalar input of the graph."""
        return {knob.name: knob.value for knob in self.scalars}

    def with_scalars(self, values: Mapping[str, float]) -> Manifest:
        """The manifest with other values in force; scalars that `values` does not name stay.

        Raises:
            OptionError: a scalar that the model does not have, or a value outside its range.
        """
        known = {knob.name: knob for knob in self.scalars}
        for name, value in values.items():
            if name not in known:
                fix = suggest(name, known) if known else f"Method {self.method} has no knobs."
                raise OptionError("knob", expected="one that the model has", got=repr(name), fix=fix)
            low, high = known[name].low, known[name].high
            if not low <= value <= high:
                raise OptionError(
                    name, expected=f"{low:g} to {high:g}", got=f"{value:g}", fix="Choose a value in between."
                )
            known[name] = known[name].model_copy(update={"value": float(value)})
        return self.model_copy(update={"scalars": tuple(known.values())})


def _check_stages(stages: tuple[StageSpec, ...], given: set[str], wanted: Iterable[str]) -> None:
    """Raise a ValueError unless stages lead from all that is `given` to what is `wanted`, each made once."""
    if idle := sorted(given.difference(*(stage.inputs for stage in stages))):
        raise ValueError(f"no stage takes the input {idle[0]}")
    known = set(given)
    for stage in stages:
        if lacking := [name for name in stage.inputs if name not in known]:
            raise ValueError(f"stage {stage.file} needs {lacking[0]}, which nothing before it gives")
        if twice := [name for name in stage.outputs if name in known]:
            raise ValueError(f"stage {stage.file} gives {twice[0]}, which is there already")
        known.update(stage.outputs)
    if lacking := [name for name in wanted if name not in known]:
        raise ValueError(f"no stage gives the output {lacking[0]}")


def map_level(values: NDArray[np.float32]) -> tuple[float, float]:
    """Median and maximum of one anomaly map (h, w): what `heatmap_range` is read from."""
    return float(np.median(values)), float(values.max())


def heatmap_range(levels: Iterable[Sequence[float]]) -> HeatmapRange:
    """Levels of the calibration pictures' maps, from the `map_level` of each."""
    medians, maxima = zip(*levels, strict=True)
    low, threshold = float(np.median(medians)), float(np.quantile(maxima, REGION_QUANTILE))
    return HeatmapRange(low=low, high=2 * threshold - low, threshold=threshold)
