"""Both engines answer the same, by name, for any batch, from several threads."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest

from brightness_model import SIDE, make_manifest, parity_of, write_graph
from flawscope.errors import BundleError, MissingExtraError, OptionError
from flawscope.runtime.engines import ENGINES, candidates, installed, open_engine
from flawscope.runtime.pipeline import choose


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write_graph(tmp_path / "model.onnx")


@pytest.fixture(params=sorted(ENGINES))
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    return str(request.param)


@pytest.mark.parametrize("count", [1, 3])
def test_named_outputs(graph: Path, name: str, count: int) -> None:
    pixels = np.random.default_rng(0).random((count, 3, SIDE, SIDE), np.float32)
    engine = open_engine(name, graph, threads=1)
    outputs = engine.run({"pixels": pixels})
    assert (engine.name, engine.precision) == (name, "fp32")
    assert set(outputs) == {"score", "heatmap", "colour"}
    np.testing.assert_allclose(outputs["heatmap"], pixels.mean(1), rtol=1e-5)
    np.testing.assert_allclose(outputs["score"], pixels.mean(1).max((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(outputs["colour"], pixels.mean((2, 3)), rtol=1e-5)


def test_an_output_that_is_another_tensor_reshaped_keeps_its_name(tmp_path: Path, name: str) -> None:
    """Engines drop the reshape, and with it the name, if they may."""
    shape = onnx.numpy_helper.from_array(np.array([-1, 4]), "shape")
    nodes = [
        onnx.helper.make_node("Concat", ["pixels", "pixels"], ["joined"], axis=1),
        onnx.helper.make_node("Reshape", ["joined", "shape"], ["pose"]),
        onnx.helper.make_node("Relu", ["joined"], ["score"]),
    ]
    floats = onnx.TensorProto.FLOAT
    given, *made = (
        onnx.helper.make_tensor_value_info(key, floats, ["batch", width])
        for key, width in (("pixels", 2), ("pose", 4), ("score", 4))
    )
    graph = onnx.helper.make_graph(nodes, "reshaped", [given], made, [shape])
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "model.onnx")
    outputs = open_engine(name, tmp_path / "model.onnx").run({"pixels": np.float32([[-1, 2]])})
    assert {key: values.tolist() for key, values in outputs.items()} == {
        "pose": [[-1, 2, -1, 2]],
        "score": [[0, 2, 0, 2]],
    }


def test_answers_stay_when_the_engine_runs_again(graph: Path, name: str) -> None:
    engine = open_engine(name, graph, threads=1)
    first = engine.run({"pixels": np.zeros((1, 3, SIDE, SIDE), np.float32)})["heatmap"]
    engine.run({"pixels": np.ones((1, 3, SIDE, SIDE), np.float32)})
    assert first.max() == 0


def test_several_threads(graph: Path, name: str) -> None:
    engine = open_engine(name, graph, threads=1)

    def score(level: float) -> float:
        return float(engine.run({"pixels": np.full((1, 3, SIDE, SIDE), level, np.float32)})["score"][0])

    levels = np.linspace(0, 1, 40, dtype=np.float32)
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_allclose(list(pool.map(score, levels)), levels, atol=1e-6)


def test_a_file_that_is_no_graph(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match="expected an ONNX graph") as caught:
        open_engine(name, tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)


def test_unknown_name(graph: Path) -> None:
    with pytest.raises(OptionError, match='Did you mean "openvino"'):
        open_engine("openvno", graph)


def test_bf16_is_not_for_onnxruntime(graph: Path) -> None:
    with pytest.raises(OptionError, match="expected fp32"):
        open_engine("onnxruntime", graph, precision="bf16")


def test_bf16_needs_its_units(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino", reason="the extra openvino is not installed")
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32"])
    with pytest.raises(OptionError, match=r"units for \(fp32\), got bf16"):
        open_engine("openvino", graph, precision="bf16")


def test_missing_extra(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'flawscope\[openvino\]'"):
        open_engine("openvino", graph)


def test_choice_follows_the_calibration() -> None:
    manifest = make_manifest()
    assert choose(manifest) == ("onnxruntime", "fp32")
    assert choose(manifest, "openvino") == ("openvino", "fp32")


def test_auto_leaves_an_engine_that_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    manifest = make_manifest(engine="openvino", precision="bf16")
    assert choose(manifest) == ("onnxruntime", "fp32")
    alone = make_manifest(engine="openvino", precision="bf16", parity=(parity_of("openvino"),))
    assert choose(alone) == ("openvino", "bf16")


@pytest.mark.parametrize("relative", [True, False])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, name: str, relative: bool) -> None:
    """A graph may name a file for its weights; neither engine reads one that lies elsewhere."""
    import onnx

    outside = tmp_path / "outside.bin"
    outside.write_bytes(np.arange(300, dtype=np.float32).tobytes())
    (tmp_path / "model").mkdir()
    path = write_graph(tmp_path / "model" / "model.onnx")
    model = onnx.load(path)
    (divisor,) = (tensor for tensor in model.graph.initializer if tensor.name == "divisor")
    divisor.ClearField("float_data")
    divisor.dims[:] = [1]
    divisor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../outside.bin" if relative else str(outside)), ("length", "4")):
        entry = divisor.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="expected an ONNX graph"):
        open_engine(name, path)


def test_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino", reason="the extra openvino is not installed")
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32", "BF16"])
    both = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
    assert installed() == both
    assert candidates() == both
    assert candidates("openvino") == both[1:]
    assert candidates(precision="bf16") == both[2:]
    with pytest.raises(OptionError, match=r"units for \(fp32\), got fp16"):
        candidates(precision="fp16")
    with pytest.raises(OptionError, match="expected fp32 with onnxruntime, got bf16"):
        candidates("onnxruntime", "bf16")
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32"])
    assert installed() == both[:2]
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert installed() == both[:1]
    with pytest.raises(MissingExtraError, match="openvino"):
        candidates("openvino")


def test_requests_are_used_again(graph: Path) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    engine = open_engine("openvino", graph, threads=1)
    feeds = {"pixels": np.zeros((1, 3, SIDE, SIDE), np.float32)}
    made = []
    create = engine._model.create_infer_request
    engine._model.create_infer_request = lambda: made.append(1) or create()
    for _ in range(3):
        with ThreadPoolExecutor(1) as pool:  # a new thread each time
            pool.submit(engine.run, feeds).result()
    assert not made  # the first was made as the engine was opened


class Shy:
    """An engine of another package that does not stand two first calls at once."""

    name, precision, inputs, shapes = "shy", "fp32", ("pixels", "gain"), ((None, 3, 4, 4), ())
    at_work, most = 0, 0
    answered: ClassVar[list[dict[str, tuple[int, ...]]]] = []

    def __init__(self, graph: Path, *, precision: str, threads: int) -> None:
        self.threads = threads

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        Shy.at_work += 1
        Shy.most = max(Shy.most, Shy.at_work)
        time.sleep(0.01)
        Shy.at_work -= 1
        self.answered.append({name: value.shape for name, value in feeds.items() if not value.any()})
        return {}


def require(precision: str) -> None:
    """As a module of an engine has it."""


def test_an_engine_answers_zeros_alone_before_it_is_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "shy", f"{__name__}:Shy")  # type: ignore[misc]
    with ThreadPoolExecutor(4) as pool:
        engines = list(pool.map(lambda _: open_engine("shy", tmp_path / "none"), range(4)))
    assert (len(engines), Shy.most) == (4, 1)
    assert Shy.answered == [{"pixels": (1, 3, 4, 4), "gain": ()}] * 4


def test_a_graph_that_fails_is_refused_as_it_is_opened(tmp_path: Path, name: str) -> None:
    import onnx.parser

    text = """
    <ir_version: 9, opset_import: ["": 18]>
    broken (float[n, 3, 4, 4] pixels, float[3] scale) => (float[k] score)
    { wide = Shape(pixels)
      floats = Cast<to = 1>(wide)
      score = Add(floats, scale) }
    """
    model = onnx.parser.parse_model(text)  # four sides and three do not add up
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match=r"expected an? (ONNX )?graph that") as caught:
        open_engine(name, tmp_path / "model.onnx", threads=1)
    assert "\n" not in str(caught.value)


def test_a_graph_of_frames_that_no_memory_holds_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx.parser

    def none(shape: object, kind: object) -> None:
        raise MemoryError(f"no room for {shape} of {kind}")

    monkeypatch.setattr(np, "zeros", none)

    text = """
    <ir_version: 9, opset_import: ["": 18]>
    vast (float[n, 3, 1000000, 1000000] pixels) => (float[n, 3, 1000000, 1000000] score)
    { score = Neg(pixels) }
    """
    (tmp_path / "model.onnx").write_bytes(onnx.parser.parse_model(text).SerializeToString())
    with pytest.raises(BundleError, match=r"expected an? (ONNX )?graph that"):
        open_engine(name, tmp_path / "model.onnx", threads=1)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_shapes_that_engines_tell_are_those_of_the_graph(graph: Path, name: str, threads: int) -> None:
    engine = open_engine(name, graph, threads=threads)
    assert engine.shapes == ((None, 3, SIDE, SIDE),)
