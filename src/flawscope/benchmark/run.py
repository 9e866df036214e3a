"""Run a benchmark: train and evaluate what is not finished, keep what is, go on after a stop."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from flawscope.benchmark.measures import measured
from flawscope.benchmark.plan import Outcome, Planned
from flawscope.benchmark.results import MODEL, RESULT, SCORES, TRAINING, RunResult, Scores, Training
from flawscope.errors import FlawscopeError, OutputError, Stopped
from flawscope.files import writable_folder
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime import bundle
from flawscope.runtime.inspector import Inspector
from flawscope.station.evaluate import Evaluation, evaluate
from flawscope.training.pack import LOSSES
from flawscope.training.train import train


def run_benchmark(
    outcome: Outcome,
    run: Run,
    watch: Watch = UNWATCHED,
    *,
    after: Callable[[Outcome], None] = lambda outcome: None,
) -> None:
    """Train and evaluate what is not finished yet; `after` is called once before, and after each run.

    A run that fails is noted in `outcome.failed`, and the next one begins.

    Raises:
        Stopped: the stop signal was set; the same call again goes on from the last checkpoint.
        OutputError: a folder cannot be written.
    """
    chosen = {row.label for row in outcome.benchmark.choose(outcome.wishes.only)}
    todo = [planned for planned in outcome.planned if planned.row.label in chosen]
    after(outcome)
    with watch.stage("rows", len(todo)) as stage:
        for planned in todo:
            if planned.result is not None:
                watch.say(f"{planned.name}: kept from an earlier run.")
            else:
                watch.check_stop(run)
                watch.say(f"{planned.name}: running.")
                _try(planned, outcome, run, watch.wordless())
                after(outcome)
            stage.advance()


def _try(planned: Planned, outcome: Outcome, run: Run, watch: Watch) -> None:
    trained = Checkpoints(outcome.trained) if outcome.trained else None
    run = dataclasses.replace(run, seed=planned.recipe.seed, trained=trained)
    try:
        _run_one(planned, run, watch)
        if not outcome.benchmark.keep_models:
            let_go(planned.folder)
    except (Stopped, OutputError):
        raise
    except FlawscopeError as error:
        outcome.failed[planned.name] = error


def let_go(folder: Path) -> None:
    """Remove a run's model, but for its losses, which charts draw."""
    with contextlib.suppress(OSError):
        (folder / MODEL / LOSSES).replace(folder / LOSSES)
    shutil.rmtree(folder / MODEL, ignore_errors=True)


def _run_one(planned: Planned, run: Run, watch: Watch) -> None:
    folder, recipe = writable_folder(planned.folder), planned.recipe
    training = Training.read(folder / TRAINING)
    if training is None or not bundle.is_bundle(folder / MODEL):
        (folder / LOSSES).unlink(missing_ok=True)  # of a model that was let go
        made = train(recipe, folder / MODEL, run, watch, overwrite=True)
        training = Training(
            pictures=made.counts,
            seconds={name: round(value, 3) for name, value in made.seconds.items()},
            device=_device(recipe.device),
        )
        training.write(folder / TRAINING)
    started = time.perf_counter()
    inspector = Inspector.load(folder / MODEL)
    evaluation = evaluate(inspector, planned.dataset, progress=watch.progress)
    seconds = round(time.perf_counter() - started, 3)
    provenance = inspector.bundle.manifest.provenance
    steps = planned.options.get("steps")
    _scores(evaluation).write(folder / SCORES)
    RunResult(
        label=planned.row.label,
        seed=planned.seed,
        product=planned.dataset.name,
        measures=measured(evaluation),
        pictures={
            **training.pictures,
            "test": len(evaluation.readable),
            "test_defective": int(evaluation.truth()[0].sum()),
            "unreadable": len(evaluation.records) - len(evaluation.readable),
            "known_to_model": evaluation.known,
        },
        seconds={**training.seconds, "evaluation": seconds},
        steps=steps if isinstance(steps, int) else None,
        options=dict(planned.options),
        device=training.device,
        hardware=provenance.hardware,
        versions={"flawscope": inspector.bundle.manifest.flawscope, **provenance.versions},
        created=provenance.created,
        tested=planned.tested,
    ).write(folder / RESULT)


def _scores(evaluation: Evaluation) -> Scores:
    root = evaluation.dataset.root
    known = [(record, record.truth) for record in evaluation.readable if record.truth is not None]
    return Scores(
        picture=tuple(Path(os.path.relpath(record.path, root)).as_posix() for record, _ in known),
        score=tuple(record.rank for record, _ in known),
        defective=tuple(truth.defective for _, truth in known),
        seen=tuple(truth.seen or not truth.defective for _, truth in known),
    )


def _device(name: str) -> str:
    import torch  # noqa: PLC0415 - only to name the card

    device = torch.device(name)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else name
