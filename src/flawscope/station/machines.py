"""What a station can run, and how fast: written there, read where a model is exported for it. No torch."""

from __future__ import annotations

import codecs
import datetime
import hashlib
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

import flawscope
from flawscope.errors import BundleError, InputError, unknown
from flawscope.files import write_text
from flawscope.progress import Progress, Silent
from flawscope.runtime import bundle
from flawscope.runtime.engine_table import Speeds, fastest
from flawscope.runtime.engines import ENGINES, Pair, Precision, installed, usable_cores
from flawscope.runtime.frozen import Frozen, misfit
from flawscope.runtime.machine import processor, units
from flawscope.runtime.manifest import Manifest, OutputSpec, StageSpec
from flawscope.runtime.pipeline import Graphs, Pipeline
from flawscope.runtime.timing import measured_speeds

LIMIT = 1 << 20  # bytes of a machine file
PROBE = Graphs(
    Path(__file__).parent,
    (StageSpec(file="probe.onnx", inputs=("pixels",), outputs=("score",)),),
    (OutputSpec(name="score", kind="score"),),
    {},
)
PROBE_SIDE = 320


class InstalledEngine(Frozen):
    """An engine that the station has, in a precision that its processor has the units for."""

    engine: str
    precision: Precision
    version: str


class ModelSpeeds(Frozen):
    """How fast a model's graphs run at the station; `graphs` is their digest."""

    name: str
    graphs: str
    speeds: Speeds


class Machine(Frozen):
    """One station.

    Attributes:
        cores: that a process may use.
        units: of the processor, by the system's names.
        probe: times of a small built-in graph of convolutions and a search.
        models: times of the models that were named.
    """

    kind: Literal["flawscope machine"] = "flawscope machine"
    flawscope: str
    created: str
    processor: str
    cores: int
    system: str
    units: tuple[str, ...]
    engines: tuple[InstalledEngine, ...]
    probe: Speeds
    models: tuple[ModelSpeeds, ...] = ()

    def speeds(self, manifest: Manifest) -> tuple[Speeds, bool]:
        """Times of this model, and True; where it was not timed there, of the built-in graph, and False."""
        digest = graphs_digest(manifest)
        own = next((model.speeds for model in self.models if model.graphs == digest), None)
        return (self.probe, False) if own is None else (own, True)


def probe(models: Sequence[Path] = (), progress: Progress | None = None) -> Machine:
    """Describe this machine, and time a built-in graph and `models` in each engine, on seeded noise.

    Raises:
        BundleError: a damaged model.
    """
    opened = [bundle.load(model) for model in models]
    with (progress or Silent()).stage("timing engines", 1 + len(models)) as stage:
        small = _timed(PROBE, PROBE_SIDE, PROBE_SIDE)
        stage.advance()
        timed = []
        for model in opened:
            frame = model.manifest.frame
            speeds = _timed(Graphs.of(model), frame.height, frame.width)
            digest = graphs_digest(model.manifest)
            timed.append(ModelSpeeds(name=model.folder.name, graphs=digest, speeds=speeds))
            stage.advance()
    return Machine(
        flawscope=flawscope.__version__,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        processor=processor(),
        cores=usable_cores(),
        system=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        units=units(),
        engines=tuple(
            InstalledEngine(engine=name, precision=precision, version=metadata.version(name))
            for name, precision in installed()
        ),
        probe=small,
        models=tuple(timed),
    )


def _timed(graphs: Graphs, height: int, width: int) -> Speeds:
    """Times in every engine that opens the graphs."""
    pixels = np.random.default_rng(0).random((3, height, width), np.float32)
    pipelines: list[Pipeline] = []
    for number, pair in enumerate(installed()):
        try:
            pipelines.append(Pipeline.in_engine(graphs, *pair))
        except BundleError:
            if number == 0:  # the default engine, which must run every model
                raise
    return measured_speeds(pipelines, [pixels])


def write_machine(machine: Machine, path: Path) -> None:
    """Write the machine file.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, machine.model_dump_json(indent=1) + "\n")


def read_machine(path: Path) -> Machine:
    """Read what `probe` found on a station.

    Raises:
        InputError: no such file, or none that `write_machine` wrote.
        OptionError: an engine in it that this version does not know.
    """
    path = Path(path)

    def refused(got: str) -> InputError:
        fix = "Write it on the station with: flawscope station-probe --out MACHINE.json."
        return InputError(f"machine file {path}", expected="one of `station-probe`", got=got, fix=fix)

    try:
        if path.stat().st_size > LIMIT:
            raise refused(f"{path.stat().st_size} bytes")
        machine = Machine.model_validate_json(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        raise refused((error.strerror or str(error)).lower()) from error
    except ValidationError as error:
        raise refused(misfit(error)) from error
    timed = (machine.probe, *(model.speeds for model in machine.models))
    names = {one.engine for one in machine.engines} | {row.engine for speeds in timed for row in speeds.rows}
    for name in sorted(names):
        if name not in ENGINES:
            raise unknown(f"engine in machine file {path}", name, ENGINES)
    return machine


def choose_for(machine: Machine, manifest: Manifest) -> Pair:
    """The engine and precision that runs the model fastest on a station, of those whose parity holds.

    Raises:
        BundleError: the station has none of them.
    """
    times = machine.speeds(manifest)[0].by_pair()
    there = {(row.engine, row.precision) for row in machine.engines}
    holding = [entry.pair for entry in manifest.parity if entry.within]
    fitting = {pair: times[pair] for pair in holding if pair in there and pair in times}
    if not fitting:
        raise BundleError(
            "engine for the station",
            expected=f"one whose parity holds ({_told(holding)})",
            got=_told(sorted(there & times.keys())),
            fix="Install one of the first there and probe again, or train with one of the second.",
        )
    return fastest(fitting)


def graphs_digest(manifest: Manifest) -> str:
    """Tells a model's graphs from others, whatever its thresholds and whichever copy it is."""
    own = tuple(stage.file for stage in manifest.stages)
    parts = sorted(f"{name}:{entry.sha256}" for name, entry in manifest.files.items() if name.startswith(own))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _told(pairs: Sequence[Pair]) -> str:
    return ", ".join(map(" ".join, pairs)) or "none"
