"""Training data of small pictures, and engines that run a module's exported graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.runtime.images import Frame

Answers = dict[str, tuple[NDArray[Any], ...]]


@pytest.fixture
def training_data(good_pictures: Callable[..., Path]) -> Callable[..., TrainingData]:
    """Make `count` good pictures at a frame of 64×64, all for training."""

    def make(count: int, *, name: str = "good", seed: int = 0) -> TrainingData:
        folder = good_pictures(count, name=name, seed=seed) if count else Path()
        samples = (
            [Sample(path, "train", defective=False) for path in sorted(folder.glob("*.png"))] if count else []
        )
        pictures = PictureFiles(samples, Frame(height=64, width=64))
        return TrainingData(normal=pictures, tuning=pictures.subset([]))

    return make


@pytest.fixture
def supervised_data(
    training_data: Callable[..., TrainingData],
) -> Callable[[int, int], TrainingData]:
    """Make so many good and so many defective pictures at 64×64, and two for tuning."""

    def make(normals: int, defects: int) -> TrainingData:
        bad = training_data(defects, name="bad", seed=1).normal
        samples = [replace(sample, defective=True, kind="scratch") for sample in bad.samples]
        return TrainingData(
            training_data(normals).normal,
            training_data(2, name="tuning", seed=2).normal,
            defective=PictureFiles(samples, bad.frame),
        )

    return make


@pytest.fixture
def exported(tmp_path: Path) -> Callable[..., Answers]:
    """What onnxruntime and OpenVINO answer to a batch, by engine; the graph is traced on another batch."""

    def run(module: nn.Module, *batch: Tensor) -> Answers:
        import onnxruntime
        import openvino

        for logger in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        path = tmp_path / "graph.onnx"
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(),
                tuple(part[:2] for part in batch),
                dynamo=True,
                verbose=False,
                opset_version=20,
                dynamic_shapes=tuple({0: torch.export.Dim.DYNAMIC} for _ in batch),
            )
            assert program is not None
            program.save(path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [node.name for node in session.get_inputs()]
        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        given = [part.numpy() for part in batch]
        return {
            "onnxruntime": tuple(
                np.asarray(value) for value in session.run(None, dict(zip(names, given, strict=True)))
            ),
            "openvino": tuple(np.array(value) for value in compiled(given).values()),
        }

    return run
