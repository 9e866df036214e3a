"""Inputs of a graph reach both engines by name, and none is left out in silence."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from flawscope.errors import BundleError, MissingExtraError, OptionError
from flawscope.runtime.engines import ENGINES, open_engine, require_engine

GRAPH = """
<ir_version: 9, opset_import: ["": 18]>
scaled (float[n, 3, 4, 4] pixels, float gain, float offset) => (float[n] score)
<int64[3] sides = {1, 2, 3}>
{
    mean = ReduceMean<keepdims = 0>(pixels, sides)
    louder = Mul(mean, gain)
    score = Add(louder, offset)
}
"""


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    onnx.save(onnx.parser.parse_model(GRAPH), str(tmp_path / "model.onnx"))
    return tmp_path / "model.onnx"


@pytest.fixture(params=sorted(ENGINES))
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    return str(request.param)


def feeds(**scalars: float) -> dict[str, np.ndarray]:
    pixels = np.random.default_rng(0).random((2, 3, 4, 4), np.float32)
    return {name: np.array(value, np.float32) for name, value in scalars.items()} | {"pixels": pixels}


def test_inputs_are_taken_by_name(graph: Path, name: str) -> None:
    engine = open_engine(name, graph, threads=1)
    assert engine.inputs == ("pixels", "gain", "offset")
    given = feeds(offset=10.0, gain=2)
    expected = 2 * given["pixels"].mean((1, 2, 3)) + 10
    np.testing.assert_allclose(engine.run(given)["score"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "got"),
    [
        ({}, "got pixels"),
        ({"gain": 1.0}, "got gain, pixels"),
        ({"gain": 1.0, "shift": 1.0}, "got gain, shift, pixels"),
        ({"gain": 1.0, "offset": 0.0, "shift": 1.0}, "got gain, offset, shift, pixels"),
    ],
)
def test_other_inputs_are_refused(graph: Path, name: str, values: dict[str, float], got: str) -> None:
    engine = open_engine(name, graph, threads=1)
    with pytest.raises(BundleError, match=rf"inputs \(pixels, gain, offset\), {got}\."):
        engine.run(feeds(**values))


def test_an_engine_is_required_before_there_is_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    require_engine("onnxruntime")
    with pytest.raises(OptionError, match='Did you mean "openvino"'):
        require_engine("openvno")
    with pytest.raises(OptionError, match="expected fp32"):
        require_engine("onnxruntime", "bf16")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"flawscope\[openvino\]"):
        require_engine("openvino")
