"""Scalar inputs of a graph reach both engines by name, and none is left out in silence."""

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


def test_scalars_are_taken_by_name(graph: Path, name: str) -> None:
    engine = open_engine(name, graph, threads=1)
    assert engine.scalars == ("gain", "offset")
    pixels = np.random.default_rng(0).random((2, 3, 4, 4), np.float32)
    answer = engine.run(pixels, {"offset": 10.0, "gain": 2})["score"]
    np.testing.assert_allclose(answer, 2 * pixels.mean((1, 2, 3)) + 10, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (None, "got none"),
        ({"gain": 1.0}, "got gain"),
        ({"gain": 1.0, "shift": 1.0}, "got gain, shift"),
        ({"gain": 1.0, "offset": 0.0, "shift": 1.0}, "got gain, offset, shift"),
    ],
)
def test_other_scalars_are_refused(graph: Path, name: str, values: dict[str, float] | None, got: str) -> None:
    engine = open_engine(name, graph, threads=1)
    with pytest.raises(BundleError, match=rf"scalar inputs \(gain, offset\), {got}\."):
        engine.run(np.zeros((1, 3, 4, 4), np.float32), values)


def test_an_engine_is_required_before_there_is_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    require_engine("onnxruntime")
    with pytest.raises(OptionError, match='Did you mean "openvino"'):
        require_engine("openvno")
    with pytest.raises(OptionError, match="expected fp32"):
        require_engine("onnxruntime", "bf16")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"flawscope\[openvino\]"):
        require_engine("openvino")
