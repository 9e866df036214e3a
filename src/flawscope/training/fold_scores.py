"""Scores of good pictures that fit has not seen: of pictures set aside, or of few pictures in folds."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.methods.detector import Detector
from flawscope.methods.running import score
from flawscope.nn.run import Checkpoints, Run
from flawscope.runtime.bundle import GRAPH
from flawscope.runtime.engines import Engine, open_engine
from flawscope.runtime.manifest import Precision
from flawscope.training.export import engine_outputs, export_onnx

Maps = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Scores and maps of good pictures that fit did not see.

    Attributes:
        scores: of all pictures in one array (N,), or an array for each fold.
        heatmaps: their maps (N, h, w), where the method has any.
        in_folds: whether models of folds gave them, each on the pictures that it had not seen.
    """

    scores: tuple[NDArray[np.float32], ...]
    heatmaps: NDArray[np.float32] | None
    in_folds: bool


def score_apart(detector: Detector, engine: Engine, pictures: Pictures, run: Run) -> HeldOut:
    """The engine's answers on pictures that were set aside, at the detector's values of its scalars."""
    with run.progress.stage("calibrating", len(pictures)) as stage:
        outputs = engine_outputs(engine, pictures, scalars=detector.options.scalar_values())
        stage.advance(len(pictures))
    return HeldOut((outputs["score"],), outputs.get("heatmap"), in_folds=False)


def score_in_folds(
    folds: Sequence[tuple[TrainingData, Pictures]],
    fresh: Callable[[], Detector],
    run: Run,
    *,
    engine: tuple[str, Precision] = ("onnxruntime", "fp32"),
) -> HeldOut:
    """Scores of every good picture by a model that has not seen it (K-fold cross-conformal).

    Each fold holds what one of the models learns from, and the pictures that it then scores. `engine` will
    run the model: in half precision each fold's model is exported and scores there too; in float32 the
    detector itself does, since parity keeps both alike.
    """
    outputs = []
    with run.progress.stage("cross-conformal folds", len(folds)) as stage:
        for index, fold in enumerate(folds):
            outputs.append(_fold(index, fold, fresh, run, engine))
            stage.advance()
    maps = [fold["heatmap"] for fold in outputs if "heatmap" in fold]
    joined = np.concatenate(maps) if maps else None
    return HeldOut(tuple(fold["score"] for fold in outputs), joined, in_folds=True)


def _fold(
    index: int,
    fold: tuple[TrainingData, Pictures],
    fresh: Callable[[], Detector],
    run: Run,
    engine: tuple[str, Precision],
) -> Maps:
    exact = engine[1] == "fp32"
    name = f"fold-{index}" if exact else f"fold-{index}-{'-'.join(engine)}"
    checkpoints = run.checkpoints
    kept = checkpoints.load(name) if checkpoints else None
    if kept is not None:
        return {key: tensor.numpy() for key, tensor in kept.items()}
    training, held_out = fold
    unfinished = None if checkpoints is None else Checkpoints(checkpoints.folder / f"unfinished-{index}")
    quiet = dataclasses.replace(run, checkpoints=unfinished)
    detector = fresh().fit(training, quiet)
    scored = score(detector, held_out, quiet) if exact else _exported(detector, held_out, engine)
    outputs: Maps = {key: scored[key] for key in ("score", "heatmap") if key in scored}
    if checkpoints:
        checkpoints.save(name, {key: torch.from_numpy(value) for key, value in outputs.items()})
    if unfinished:
        shutil.rmtree(unfinished.folder, ignore_errors=True)
    return outputs


def _exported(detector: Detector, pictures: Pictures, engine: tuple[str, Precision]) -> Maps:
    name, precision = engine
    with tempfile.TemporaryDirectory() as folder:
        graph = export_onnx(detector, Path(folder) / GRAPH)
        opened = open_engine(name, graph, precision=precision)
        return engine_outputs(opened, pictures, scalars=detector.options.scalar_values())
