"""Engines that run a module's exported graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Answers = dict[str, tuple[NDArray[Any], ...]]


@pytest.fixture
def exported(tmp_path: Path) -> Callable[[nn.Module, Tensor], Answers]:
    """What onnxruntime and OpenVINO answer to a batch, by engine; the graph is traced on another batch."""

    def run(module: nn.Module, batch: Tensor) -> Answers:
        import onnxruntime
        import openvino

        for logger in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        path = tmp_path / "graph.onnx"
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(),
                (batch[:2],),
                dynamo=True,
                verbose=False,
                opset_version=20,
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            )
            assert program is not None
            program.save(path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        given = batch.numpy()
        return {
            "onnxruntime": tuple(np.asarray(value) for value in session.run(None, {name: given})),
            "openvino": tuple(np.array(value) for value in compiled([given]).values()),
        }

    return run
