"""`flawscope learn`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flawscope.cli import options
from flawscope.cli.comparisons import end_unless_passed, gated_json, show_gated
from flawscope.cli.console import Bars, note, print_json, promised, say
from flawscope.cli.signals import interruptible_run
from flawscope.files import typed

if TYPE_CHECKING:
    from flawscope.station.gate import Gate
    from flawscope.station.gated import Gated
    from flawscope.training.candidates import Tried
    from flawscope.training.learn import LearnResult

EXAMPLES = """Examples:

  flawscope learn models/bracket --normals new_good/ --defects defects/ --out models/bracket-2

  flawscope learn models/bracket --normals new_good/ --defects defects/ --out models/b2 --segments map.png

  flawscope learn models/bracket --normals new_good/ --defects defects/ --gate GATE.yaml

  flawscope learn --recipe models/b2/recipe.yaml --out models/b3 --set seed=1

Defects may lie in sub-folders named by kind. Good pictures that the model learnt from are left out by
content; those that only calibrated it may serve. Several ways to learn are tried in cross-validation, and the
best is taken; an option of SegAD that is set stays as it is, as in --set options.logistic=null. With --gate
the new model replaces MODEL, or the one at --out, if it passes; `rollback` returns to the one before."""


def learn(
    model: Annotated[Path | None, typer.Argument(help="Model folder that `flawscope train` made.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Model folder to make; with --gate one to replace.")
    ] = None,
    normals: Annotated[
        list[str] | None,
        typer.Option("--normals", help="Good pictures: folder, file or pattern; may be repeated."),
    ] = None,
    defects: Annotated[Path | None, typer.Option("--defects", help="Folder of defective pictures.")] = None,
    groups: options.Groups = None,
    judge: options.Judge = None,
    recipe: options.Recipe = None,
    segments: Annotated[
        str | None,
        typer.Option(
            "--segments",
            help="one, drafted, object, clusters, or an indexed PNG (see `segments draft`); by default the "
            "better of one and drafted.",
        ),
    ] = None,
    settings: options.Settings = None,
    false_rejects: options.FalseRejectsOfModel = None,
    confidence: options.ConfidenceOfModel = None,
    engine: options.EngineOfModel = None,
    engine_precision: options.EnginePrecision = None,
    seed: options.SeedOfRecipe = None,
    device: options.DeviceOfRecipe = None,
    overwrite: options.Overwrite = False,
    gate: options.Gate = None,
    as_json: options.AsJson = False,
) -> None:
    """Learn known defects on top of a trained model, and say what that gains."""
    from flawscope.errors import OptionError
    from flawscope.runtime import bundle, versions
    from flawscope.station.gated import switch_if_it_passes
    from flawscope.training.learn import learn as run_learning
    from flawscope.training.recipe import LearnRecipe
    from flawscope.training.settings import read_recipe, settled

    named: dict[str, Any] = {
        "model": None if model is None else str(model),
        "normals": normals or None,
        "defects": None if defects is None else str(defects),
        "groups": groups,
        "options.segments": None if segments is None else {"kind": segments},
        "calibration.false_rejects": options.rate(false_rejects, "--false-rejects"),
        "calibration.confidence": options.rate(confidence, "--confidence"),
        "calibration.judge": options.judge(judge),
        "engine.name": engine,
        "engine.precision": engine_precision,
        "seed": seed,
        "device": device,
    }
    if segments is not None and segments.lower().endswith(".png"):
        named["options.segments"] = {"kind": "static", "map": segments}
    values = settled(read_recipe(recipe) if recipe else {}, named, settings or [])
    for key, option in (("model", "MODEL"), ("normals", "--normals"), ("defects", "--defects")):
        if values.get(key) is None:
            raise OptionError(
                option,
                expected="a value, or a --recipe that holds one",
                got="neither",
                fix="Run: flawscope learn MODEL --normals FOLDER --defects FOLDER --out NEW",
            )
    wish = LearnRecipe.parse(values)
    place, in_use, wanted = _place(out, wish.model, gate)
    if in_use.resolve() == wish.model.resolve():  # so that its recipe names what it was made from
        wish = wish.model_copy(update={"model": versions.keep(in_use).folder})
    with interruptible_run(seed=wish.seed, device=wish.device, precision=wish.precision, quiet=as_json) as (
        run,
        watch,
    ):
        result = run_learning(
            wish, place, run, dataclasses.replace(watch, say=note), overwrite=overwrite or wanted is not None
        )
    gated = None
    if wanted is not None:
        event = {"event": "learn", "pictures": result.counts, "learnt_over": str(wish.model)}
        gated = switch_if_it_passes(in_use, place, wanted, event, progress=Bars(quiet=as_json))
        result = dataclasses.replace(result, bundle=bundle.load(gated.folder))
    _show(result, gated, in_use, as_json=as_json)
    end_unless_passed(gated)


def _place(out: Path | None, model: Path, gate: Path | None) -> tuple[Path, Path, Gate | None]:
    """Where to write the model, which one it is to replace, and what it must hold for that.

    Without a gate it is written to `out`; with one beside the model that it shall replace, `out` or its own.
    """
    from flawscope.errors import OptionError
    from flawscope.runtime import bundle, versions
    from flawscope.station.gate import read_gate

    if gate is None:
        if out is None:
            fix = "Name a new folder with --out, or a --gate that the model must pass to replace MODEL."
            raise OptionError("--out", expected="a folder", got="none", fix=fix)
        return out, out, None
    in_use = out or model
    if not bundle.is_bundle(in_use):
        raise OptionError(
            f"--out {in_use}",
            expected="a model that the new one shall replace, since there is a --gate",
            got="none",
            fix="Leave --gate out and judge by: flawscope compare MODEL NEW --gate FILE.",
        )
    wanted = read_gate(gate)
    wanted.dataset()  # before hours of work
    return versions.candidate_place(in_use), in_use, wanted


def _show(result: LearnResult, gated: Gated | None, in_use: Path, *, as_json: bool) -> None:
    from flawscope.runtime import engine_table

    manifest = result.bundle.manifest
    if as_json:
        print_json(
            {
                "model": result.bundle.folder,
                "pictures": result.counts,
                "left_out": result.known,
                "tried": [tried.to_json() for tried in result.tried],
                "gains": [gain.to_json() for gain in result.gains],
                **promised(manifest.calibration),
                "engines": manifest.engines(),
                **gated_json(gated),
            }
        )
        return
    counts = ", ".join(f"{count} {role}" for role, count in result.counts.items() if count)
    left_out = f" {result.known} known to the model were left out." if result.known else ""
    say(f"Model: {result.bundle.folder}")
    say(f"Pictures: {counts}.{left_out}")
    for row in _table(result.tried) if len(result.tried) > 1 else ():
        say(row)
    for gain in result.gains:
        say(gain.statement())
    say(manifest.calibration.statement())
    say("\n".join(engine_table.lines(manifest.engines(), of=manifest.timed)))
    if gated is not None:
        show_gated(gated, in_use)
    else:
        say(f"Next: flawscope inspect {typed(result.bundle.folder)} PICTURES --out results")


def _table(tried: Sequence[Tried]) -> list[str]:
    """What was tried, a line each, with its image AUROC in cross-validation."""
    cells = [("segments", "features", "judged by", "AUROC"), *map(_cells, tried)]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    rows = ("  ".join([*map(str.ljust, row, widths), row[3]]) for row in cells)
    return ["Tried in cross-validation:", *(f"  {row}" for row in rows)]


def _cells(one: Tried) -> tuple[str, str, str, str]:
    return one.segments, one.features, one.final, f"{one.auroc:.3f}" + (" taken" if one.chosen else "")
