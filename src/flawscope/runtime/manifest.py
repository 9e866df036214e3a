"""What a model folder says about itself: `manifest.json` as frozen, strict models."""

from __future__ import annotations

import contextlib
import datetime
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from itertools import chain, repeat
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    FiniteFloat,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from flawscope.errors import OptionError, suggest
from flawscope.files import remembered_sha256
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.engine_table import EngineRow, ParityFigures, Speeds, engine_rows
from flawscope.runtime.engines import DEFAULT, Precision
from flawscope.runtime.frozen import Frozen
from flawscope.runtime.images import Frame
from flawscope.runtime.machine import hardware
from flawscope.runtime.tiling import Tiling

FORMAT = 3
Role = Literal["normal", "tuning", "calibration", "defective"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

REGION_QUANTILE = 0.95
_PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless", "openvino", "pillow", "timm", "torch")


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


class SeenPicture(Frozen):
    """A picture that the model has seen, by content, and what it was used for.

    `frames` is the number of tiles that it was seen in, 1 for one that was seen whole; `group` names the part
    that it shows, where pictures have groups.
    """

    name: str
    sha256: Digest
    role: Role
    frames: int = Field(default=1, ge=1)
    group: str | None = None

    @model_serializer(mode="wrap")
    def _group_where_there_is_one(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = values(self)
        if self.group is None:
            written.pop("group", None)
        return written


class Provenance(Frozen):
    """Where a model comes from."""

    created: str
    seed: int
    pictures: tuple[SeenPicture, ...] = ()
    hardware: str = ""
    versions: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def now(cls, seed: int, pictures: Iterable[SeenPicture]) -> Provenance:
        """The provenance of a model made now on this machine."""
        return cls(
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seed=seed,
            pictures=tuple(pictures),
            hardware=hardware(),
            versions={"python": platform.python_version(), **_versions()},
        )

    def count(self, role: Role) -> int:
        """How many pictures played this role."""
        return sum(picture.role == role for picture in self.pictures)


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
        engine, precision: what made the calibration's scores, at the values of `scalars`.
        conditions: of the calibration pictures themselves, by name and in their order, as far as nine of ten
            tell them (`flawscope.runtime.conditions`).
        parity, speeds: how well and how fast each engine answered where the engine was chosen.
    """

    format: int = FORMAT
    flawscope: str
    method: str
    options: dict[str, JsonValue]
    frame: Frame
    tiling: Tiling | None = None
    outputs: tuple[OutputSpec, ...]
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


def seen(paths: Iterable[Path], role: Role, groups: Iterable[str | None] = ()) -> tuple[SeenPicture, ...]:
    """Name and content hash of each picture, with its role, and its group where it has one."""
    return tuple(
        SeenPicture(name=Path(path).name, sha256=remembered_sha256(path), role=role, group=group)
        for path, group in zip(paths, chain(groups, repeat(None)), strict=False)
    )


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
