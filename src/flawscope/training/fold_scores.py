"""Scores of good pictures that fit has not seen: of pictures set aside, or of few pictures in folds."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.data.tiles import groups_of, tiles_of, units_of
from flawscope.data.training import TrainingData
from flawscope.methods.detector import Detector
from flawscope.methods.running import answers, taught
from flawscope.nn.run import UNFINISHED, Checkpoints, Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.progress import counted
from flawscope.runtime.engines import DEFAULT, Precision
from flawscope.runtime.pipeline import Judged, Pipeline, judged_outputs, scores_and_levels
from flawscope.runtime.tiling import of_pictures
from flawscope.training.export import export
from flawscope.training.overview import levelled


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What calibration reads of good pictures that fit did not see.

    Attributes:
        scores: of all pictures in one array (N,), or an array for each fold.
        levels: the `map_level` of each picture's map (N, 2), where the method has any.
        in_folds: whether models of folds gave them, each on the pictures that it had not seen.
        groups: for each score the name of its picture's part, or None; empty where nobody asks.
    """

    scores: tuple[NDArray[np.float32], ...]
    levels: NDArray[np.float32] | None
    in_folds: bool
    groups: tuple[tuple[str | None, ...], ...] = ()


def score_apart(pipeline: Pipeline, pictures: Pictures, watch: Watch = UNWATCHED) -> HeldOut:
    """The pipeline's answers on pictures that were set aside, one map at a time."""
    with watch.stage("calibrating", len(pictures)) as stage:
        return _held_out(pipeline.score(counted(pictures, stage), pipeline.judged), pictures, pipeline.judged)


def score_in_folds(
    folds: Sequence[tuple[TrainingData, Pictures]],
    fresh: Callable[[], Detector],
    run: Run,
    watch: Watch = UNWATCHED,
    *,
    engine: tuple[str, Precision] = (DEFAULT, "fp32"),
    further: TrainingData | None = None,
) -> HeldOut:
    """Scores of every good picture by a model that has not seen it (K-fold cross-conformal).

    Each fold holds what one of the models learns from, and the pictures that it then scores. `engine` will
    run the model: in half precision each fold's model is exported and scores there too; in float32 the
    detector itself does, since parity keeps both alike. What the model was taught after its fit each fold's
    model is taught too: `further`.
    """
    found = []
    with watch.stage("cross-conformal folds", len(folds)) as stage:
        for index, fold in enumerate(folds):
            found.append(_fold(index, fold, fresh, engine, run=run, watch=watch, further=further))
            stage.advance()
    levels = [one.levels for one in found if one.levels is not None]
    joined = np.concatenate(levels) if levels else None
    groups = tuple(one.groups[0] for one in found)
    return HeldOut(tuple(one.scores[0] for one in found), joined, in_folds=True, groups=groups)


def score_by_itself(detector: Detector, pictures: Pictures, run: Run, watch: Watch = UNWATCHED) -> HeldOut:
    """The trained detector's own answers, in torch, one map at a time."""
    names = judged_outputs(detector.outputs)
    return _held_out(answers(detector, pictures, run, watch, names), pictures, names)


def _fold(
    index: int,
    fold: tuple[TrainingData, Pictures],
    fresh: Callable[[], Detector],
    engine: tuple[str, Precision],
    *,
    run: Run,
    watch: Watch,
    further: TrainingData | None,
) -> HeldOut:
    exact = engine[1] == "fp32"
    name = f"fold-{index}" if exact else f"fold-{index}-{'-'.join(engine)}"
    checkpoints = run.checkpoints
    kept = checkpoints.load(name) if checkpoints else None
    training, apart = fold
    if kept is not None:
        tensors = {key: tensor.numpy() for key, tensor in kept.items()}
        groups = (groups_of(apart),)
        return HeldOut((tensors["scores"],), tensors.get("levels"), in_folds=False, groups=groups)
    unfinished = None if checkpoints is None else Checkpoints(checkpoints.folder / f"{UNFINISHED}{index}")
    learnt, held = (len(set(units_of(pictures.samples))) for pictures in (training.normal, apart))
    part = learnt / (learnt + held)
    run = dataclasses.replace(run, checkpoints=unfinished, part=part)
    detector = fresh().fit(training, run, watch.wordless())
    if further is not None:
        detector = taught(detector, further, run, watch.wordless())
    apart = levelled(detector, apart, training.tuning, run)
    found = score_by_itself(detector, apart, run, watch) if exact else _exported(detector, apart, engine)
    if checkpoints:
        arrays = {"scores": found.scores[0]} | ({} if found.levels is None else {"levels": found.levels})
        checkpoints.save(name, {key: torch.from_numpy(value) for key, value in arrays.items()})
    if unfinished:
        shutil.rmtree(unfinished.folder, ignore_errors=True)
    return found


def _exported(detector: Detector, pictures: Pictures, engine: tuple[str, Precision]) -> HeldOut:
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline.in_engine(export(detector, Path(folder)), *engine)
        return _held_out(pipeline.score(pictures, pipeline.judged), pictures, pipeline.judged)


def _held_out(stream: Iterable[Mapping[str, NDArray[Any]]], pictures: Pictures, names: Judged) -> HeldOut:
    """From the answers for all pictures, or all their tiles, in order; one map at a time."""
    scores, levels = scores_and_levels(of_pictures(stream, tiles_of(pictures), names), names)
    joined = np.array(levels, np.float32) if levels else None
    groups = (groups_of(pictures),)
    return HeldOut((np.array(scores, np.float32),), joined, in_folds=False, groups=groups)
