"""A model folder without torch: the anomaly map is the brightness, the score the brightest pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.engine_table import ParityFigures
from flawscope.runtime.images import Frame
from flawscope.runtime.manifest import HeatmapRange, Manifest, OutputSpec, StageSpec
from flawscope.runtime.provenance import Provenance

SIDE = 16


def write_graph(path: Path, *, side: int = SIDE, divide_by: float = 1.0) -> Path:
    """heatmap = mean over channels / divide_by; score = its maximum; mean colour as a vector (N, 3)."""
    nodes = [
        helper.make_node("Div", ["pixels", "divisor"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "channel"], ["heatmap"], keepdims=0),
        helper.make_node("ReduceMax", ["heatmap", "sides"], ["score"], keepdims=0),
        helper.make_node("ReduceMean", ["scaled", "area"], ["colour"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("divisor", TensorProto.FLOAT, [], [divide_by]),
        helper.make_tensor("channel", TensorProto.INT64, [1], [1]),
        helper.make_tensor("sides", TensorProto.INT64, [2], [1, 2]),
        helper.make_tensor("area", TensorProto.INT64, [2], [2, 3]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, side, side])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, ["n", side, side]),
            helper.make_tensor_value_info("colour", TensorProto.FLOAT, ["n", 3]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def make_manifest(**changes: Any) -> Manifest:
    """A manifest that fits the graph; calibration scores 0.01 to 0.59, so that 0.6 and above is rejected."""
    values: dict[str, Any] = {
        "flawscope": "0.1.0",
        "method": "brightness",
        "options": {"size": [SIDE, SIDE]},
        "frame": Frame(height=SIDE, width=SIDE),
        "outputs": (
            OutputSpec(name="score", kind="score", about="brightest pixel"),
            OutputSpec(name="heatmap", kind="heatmap", about="brightness"),
            OutputSpec(name="colour", kind="vector", about="mean colour"),
        ),
        "calibration": Calibration(scores=tuple(np.arange(1, 60) / 100), alpha=0.05),
        "heatmap": HeatmapRange(low=0.1, high=1.1, threshold=0.6),
        "parity": (parity_of("onnxruntime"), parity_of("openvino")),
        "provenance": Provenance(created="2025-01-01T00:00:00+00:00", seed=0),
    }
    values |= changes
    names = tuple(output.name for output in values["outputs"])
    inputs = ("pixels", *(knob.name for knob in values.get("scalars", ())))
    stage = StageSpec(file=bundle.GRAPH, inputs=inputs, outputs=names)
    return Manifest(**({"stages": (stage,)} | values))


def parity_of(engine: str, *, score: float = 1e-6) -> ParityFigures:
    """Figures of an engine whose scores differ by `score` of their spread."""
    return ParityFigures(engine=engine, pictures=4, score_absolute=score, score_relative=score, bound=0.002)


def save_model(folder: Path, *, divide_by: float = 1.0, **changes: Any) -> Bundle:
    """Save the model into `folder`; `changes` override parts of its manifest."""

    with bundle.writing(folder) as draft:
        write_graph(draft.folder / bundle.GRAPH, divide_by=divide_by)
        draft.manifest = make_manifest(**changes)
    return draft.bundle
