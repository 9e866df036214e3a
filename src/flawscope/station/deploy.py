"""Make the folder for the station out of a trained model: the graph and what it promises. No torch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from flawscope.errors import BundleError, OptionError
from flawscope.progress import Progress, Silent
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.engines import Pair, runs
from flawscope.runtime.pipeline import Graphs, Pipeline, choose
from flawscope.runtime.seal import Signer
from flawscope.station.calibrate import recalibrated
from flawscope.station.gated import require_same
from flawscope.station.machines import choose_for, read_machine

LEFT_BEHIND = (bundle.WEIGHTS, bundle.RECIPE)
PROBES = 2  # pictures of seeded noise on which the copy must answer bit for bit


def deploy(
    model: Path,
    out: Path,
    *,
    sign: Path | None = None,
    machine: Path | None = None,
    normals: Sequence[Path] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Copy a model without its training weights and recipe, and check that the copy answers the same.

    With `sign`, a private Ed25519 key, the copy's manifest is signed; a signature of the model itself does
    not hold for the copy, whose files are others.

    With `machine`, a file that `station.machines.probe` made, the engine is chosen again: `engine_for` tells
    which one that station runs fastest. With `normals`, good pictures, the copy is calibrated on it, which
    this machine must be able to run; without, it keeps the engine and the thresholds that the model has.

    Raises:
        BundleError: the model is damaged, or another command changes it meanwhile; the copy answers
            differently; no engine of `machine` fits.
        CalibrationError, DataError, InputError: `normals` cannot calibrate; see `station.calibrate`.
        MissingExtraError: `sign` is given, and the package for signatures is not installed.
        OptionError: `out` holds a model already and `overwrite` is off, or is the model itself; `sign` is no
            such key; `normals` without `machine`, or with an engine that does not run here.
        OutputError: `out` cannot be written; what stood there is untouched.
    """
    source, out = bundle.load(model), Path(out)
    bundle.refuse_existing(out, overwrite=overwrite, source=source.folder)
    signer = None if sign is None else Signer(sign)
    if machine is not None:
        pair = choose_for(read_machine(machine), source.manifest)
        if normals:
            _require_here(pair)
            source = recalibrated(source, normals=normals, engines=[pair], progress=progress).bundle
    elif normals:
        fix = "Name the station's machine file, or use: flawscope calibrate."
        raise OptionError("--normals", expected="--for MACHINE.json beside it", got="none", fix=fix)
    with (progress or Silent()).stage("exporting", 1) as stage:
        with bundle.writing(out, signer) as draft:
            try:
                _copy(source, draft.folder)
                _check_alike(source, draft.folder)
            except (OSError, BundleError):
                require_same(source)
                raise
            require_same(source)
            draft.manifest = source.manifest
        stage.advance()
    return draft.bundle


def engine_for(model: Bundle, machine: Path) -> tuple[Pair, str]:
    """The engine that a station runs the model fastest in, and what that was measured on.

    Raises:
        BundleError, InputError, OptionError: as `deploy`.
    """
    found = read_machine(machine)
    pair = choose_for(found, model.manifest)
    speeds, own = found.speeds(model.manifest)
    measured = "this model" if own else "a small graph, since this model was not timed there"
    return pair, f"{speeds.by_pair()[pair]:.1f} ms for {measured}"


def _require_here(pair: Pair) -> None:
    if runs(*pair):
        return
    name, precision = pair
    raise OptionError(
        "--normals",
        expected="an engine that runs on this machine, to calibrate it here",
        got=f"{name} {precision}",
        fix="Leave --normals out, and calibrate on the station: flawscope calibrate MODEL "
        f"--engine {name} --engine-precision {precision} --normals FOLDER.",
    )


def _copy(source: Bundle, folder: Path) -> None:
    for name in source.manifest.files:
        if name not in LEFT_BEHIND:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.folder / name, folder / name)


def _check_alike(source: Bundle, copy: Path) -> None:
    manifest, ours = source.manifest, Graphs.of(source)
    shape = (PROBES, 3, manifest.frame.height, manifest.frame.width)
    pixels = np.random.default_rng(0).random(shape, np.float32)
    expected, got = (
        Pipeline.in_engine(graphs, *choose(manifest), threads=1).run(pixels)
        for graphs in (ours, replace(ours, folder=copy))
    )
    if any(not np.array_equal(expected[name], got[name]) for name in expected):
        raise BundleError(
            "exported model",
            expected="the answers of the trained model",
            got="other answers on the same pixels",
            fix="Check the disk, and export again.",
        )
