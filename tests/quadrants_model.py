"""A model folder of segment statistics without a forest: two maps, four quadrants, what features add."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from brightness_model import SIDE, make_manifest
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.manifest import HeatmapRange, Manifest, OutputSpec

STATISTICS = ("maximum", "mean")
SEGMENTS = [f"segment {index}" for index in range(4)]
USUAL_HIGH = 0.5
START = -1.0


def quadrants() -> NDArray[np.int64]:
    """Labels (16, 16): 0 and 1 above, 2 and 3 below."""
    half = np.arange(SIDE) // (SIDE // 2)
    return np.asarray(2 * half[:, None] + half[None, :], np.int64)


def write_graph(path: Path) -> Path:
    """Features: for the brightness and its square, for each quadrant, maximum and mean.

    contributions = features − 0.5; score = −1 + their sum.
    """
    masks = np.stack([quadrants().ravel() == segment for segment in range(4)]).astype(np.float32)
    constants = {
        "channel": np.array([1]),
        "pixels_axis": np.array([3]),
        "each": np.array([0, -1]),
        "last": np.array([3]),
        "masks": masks[None, None],  # (1, 1, 4, P)
        "share": np.array(masks.shape[1] / masks[0].sum(), np.float32),
        "usual": np.array(USUAL_HIGH, np.float32),
        "zero": np.array(0, np.float32),
        "start": np.array(START, np.float32),
        "quadrants": quadrants()[None],
    }
    node = helper.make_node
    nodes = [
        node("ReduceMean", ["pixels", "channel"], ["heatmap"], keepdims=0),
        node("Unsqueeze", ["heatmap", "channel"], ["once"]),
        node("Mul", ["once", "once"], ["squared"]),
        node("Concat", ["once", "squared"], ["maps"], axis=1),  # (N, 2, h, w)
        node("Shape", ["maps"], ["shape"], start=0, end=2),
        node("Constant", [], ["tail"], value=numpy_helper.from_array(np.array([1, SIDE * SIDE]))),
        node("Concat", ["shape", "tail"], ["wanted"], axis=0),
        node("Reshape", ["maps", "wanted"], ["flatmaps"]),  # (N, 2, 1, P)
        node("Mul", ["flatmaps", "masks"], ["inside"]),  # (N, 2, 4, P)
        node("ReduceMax", ["inside", "pixels_axis"], ["maximum"], keepdims=0),  # (N, 2, 4)
        node("ReduceMean", ["inside", "pixels_axis"], ["part"], keepdims=0),
        node("Mul", ["part", "share"], ["mean"]),
        node("Unsqueeze", ["maximum", "last"], ["maximum1"]),
        node("Unsqueeze", ["mean", "last"], ["mean1"]),
        node("Concat", ["maximum1", "mean1"], ["stacked"], axis=3),  # (N, 2, 4, 2)
        node("Reshape", ["stacked", "each"], ["features"]),  # (N, 16)
        node("Sub", ["features", "usual"], ["contributions"]),
        node("ReduceSum", ["contributions", "channel"], ["sum"], keepdims=0),
        node("Add", ["sum", "start"], ["score"]),
        node("Mul", ["features", "zero"], ["usual_low"]),
        node("Add", ["usual_low", "usual"], ["usual_high"]),
        node("Mul", ["heatmap", "zero"], ["nothing"]),
        node("Cast", ["nothing"], ["none"], to=TensorProto.INT64),
        node("Add", ["none", "quadrants"], ["segments"]),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    info = helper.make_tensor_value_info
    vectors = ("contributions", "features", "usual_low", "usual_high")
    graph = helper.make_graph(
        nodes,
        "quadrants",
        [info("pixels", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [
            info("score", TensorProto.FLOAT, ["n"]),
            info("heatmap", TensorProto.FLOAT, ["n", SIDE, SIDE]),
            info("segments", TensorProto.INT64, ["n", SIDE, SIDE]),
            *(info(name, TensorProto.FLOAT, ["n", 16]) for name in vectors),
        ],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def names(owners: Sequence[str], statistics: Sequence[str], segments: int = 4) -> tuple[str, ...]:
    """Names of the features of some detectors."""
    return tuple(
        f"{owner}/{segment}/{statistic}"
        for owner in owners
        for segment in range(segments)
        for statistic in statistics
    )


def quadrants_manifest(**changes: Any) -> Manifest:
    """A manifest that fits the graph; scores above −6.5 are rejected."""
    vectors = ("contributions", "features", "usual_low", "usual_high")
    values: dict[str, Any] = {
        "method": "quadrants",
        "explains": "segments",
        "learnt": {"segments": SEGMENTS, "marks": ["0", "1", "2", "3"]},
        "outputs": (
            OutputSpec(name="score", kind="score"),
            OutputSpec(name="heatmap", kind="heatmap"),
            OutputSpec(name="segments", kind="label_map"),
            *(OutputSpec(name=name, kind="vector") for name in vectors if name != "features"),
            OutputSpec(name="features", kind="vector", names=names(("bright 1", "bright 2"), STATISTICS)),
        ),
        "calibration": Calibration(scores=tuple(np.linspace(-8, -6.5, 59)), alpha=0.05),
        "heatmap": HeatmapRange(low=0.1, high=1.1, threshold=0.6),
    }
    return make_manifest(**(values | changes))


def save_model(folder: Path, **changes: Any) -> Bundle:
    """Save the model into `folder`; `changes` override parts of its manifest."""

    with bundle.writing(folder) as draft:
        write_graph(draft.folder / bundle.GRAPH)
        draft.manifest = quadrants_manifest(**changes)
    return draft.bundle
