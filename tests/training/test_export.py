"""One graph that answers as the detector does, and a gate that lets no other pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import BundleError
from flawscope.methods.detector import HEATMAP, SCORE, Detector, DetectorOptions, Facts, Learnt
from flawscope.methods.running import score
from flawscope.nn.run import Run
from flawscope.runtime.engines import open_engine
from flawscope.runtime.images import list_images
from flawscope.runtime.manifest import OutputSpec
from flawscope.training import export
from flawscope.training.export import (
    check_parity,
    engine_outputs,
    export_onnx,
    parity,
    parity_of_engines,
)


class Mean(Detector):
    """Distance of each smoothed pixel to the mean of the good pictures; and the cell where it is largest."""

    name = "mean"
    Options = DetectorOptions
    outputs = (HEATMAP, SCORE, OutputSpec(name="peak", kind="vector", about="index of the peak"))
    mean: Tensor

    def __init__(self, options: DetectorOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.register_buffer("mean", torch.zeros(1, 3, *options.size))

    def learn(self, data: TrainingData, run: Run) -> Learnt:
        self.mean = torch.stack([torch.from_numpy(picture) for picture in data.normal]).mean(0, keepdim=True)
        return Learnt()

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        distances = (pixels - self.mean).square().sum(1).sqrt()  # (N, H, W)
        smooth = F.avg_pool2d(distances.unsqueeze(1), 3, 1, 1).squeeze(1)  # (N, H, W)
        score, peak = smooth.flatten(1).max(1)
        return {"score": score, "heatmap": smooth, "peak": peak.unsqueeze(1)}


@pytest.fixture(scope="module")
def make_pictures(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    from PIL import Image

    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("good")
    for index in range(6):
        Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / f"{index}.png")

    def make(detector: Detector) -> Pictures:
        return Pictures(
            [Sample(path, "train", defective=False) for path in list_images(folder)], detector.options.frame
        )

    return make


@pytest.fixture(scope="module")
def trained(make_pictures: Callable[..., Any]) -> Mean:
    detector = Mean(DetectorOptions(size=(32, 32)))
    pictures = make_pictures(detector)
    return detector.fit(TrainingData(pictures, pictures.subset([])), Run())


@pytest.fixture(scope="module")
def graph(trained: Mean, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(trained, tmp_path_factory.mktemp("graph") / "model.onnx")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_engines_answer_as_the_detector(
    trained: Mean, graph: Path, make_pictures: Callable[..., Any], name: str
) -> None:
    if name == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    engine, pictures = open_engine(name, graph, threads=1), make_pictures(trained)
    figures = parity(trained, engine, pictures, Run())
    assert (figures.engine, figures.precision, figures.pictures) == (name, "fp32", 6)
    assert figures.score_relative < 1e-4
    assert figures.heatmap_relative < 1e-4
    assert figures.rank_change == 0
    check_parity(figures)
    answers, reference = engine_outputs(engine, pictures, batch=4), score(trained, pictures, Run())
    assert answers.keys() == reference.keys()
    np.testing.assert_array_equal(answers["peak"], reference["peak"])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_batch(trained: Mean, graph: Path, make_pictures: Callable[..., Any], count: int) -> None:
    engine, pictures = open_engine("onnxruntime", graph, threads=1), make_pictures(trained)
    (pixels,) = pictures.subset(range(count)).batches(count)
    together = engine.run(pixels)["score"]
    alone = [engine.run(row[None])["score"][0] for row in pixels]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_graph_names_outputs_and_no_paths(trained: Mean, graph: Path) -> None:
    model = onnx.load(graph)
    assert [value.name for value in model.graph.input] == ["pixels"]
    assert [value.name for value in model.graph.output] == ["heatmap", "score", "peak"]
    assert [output.name for output in trained.outputs] == ["heatmap", "score", "peak"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert {prop.key: prop.value for prop in model.metadata_props} == {
        "flawscope.outputs": "heatmap, score, peak"
    }
    content = graph.read_bytes()
    assert b".py" not in content
    assert str(Path(__file__).parent).encode() not in content


def test_large_weights_lie_beside_the_graph(
    trained: Mean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "INLINE_BYTES", 1000)
    path = export_onnx(trained, tmp_path / "model.onnx")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    pixels = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    expected = trained(torch.from_numpy(pixels))["score"].numpy()
    answers = open_engine("onnxruntime", path, threads=1).run(pixels)
    np.testing.assert_allclose(answers["score"], expected, rtol=1e-5)


class Skewed:
    """An engine whose scores are off by a share of their spread; `keep` leaves the heatmap right."""

    name, precision = "onnxruntime", "fp32"

    def __init__(self, graph: Path, output: str, error: float) -> None:
        self._engine, self._output, self._error = open_engine("onnxruntime", graph, threads=1), output, error

    def run(self, pixels: np.ndarray, scalars: Mapping[str, float] | None = None) -> dict[str, np.ndarray]:
        outputs = self._engine.run(pixels, scalars)
        return {**outputs, self._output: outputs[self._output] + self._error}


@pytest.mark.parametrize(("output", "words"), [("score", "in scores"), ("heatmap", "in heatmaps")])
def test_gate_refuses_what_differs(
    trained: Mean, graph: Path, make_pictures: Callable[..., Any], output: str, words: str
) -> None:
    pictures = make_pictures(trained)
    spread = float(np.ptp(score(trained, pictures, Run())[output]))
    figures = parity(trained, Skewed(graph, output, 0.01 * spread), pictures, Run())
    measured = figures.score_relative if output == "score" else figures.heatmap_relative
    assert measured == pytest.approx(0.01, rel=1e-2)
    with pytest.raises(BundleError, match=words):
        check_parity(figures)
    nearly = parity(trained, Skewed(graph, output, 0.001 * spread), pictures, Run())
    check_parity(nearly)


def test_every_installed_engine_is_measured(
    trained: Mean, graph: Path, make_pictures: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    pictures = make_pictures(trained)
    both = parity_of_engines(trained, graph, pictures, Run())
    assert [figures.engine for figures in both] == ["onnxruntime", "openvino"]
    assert all(figures.within for figures in both)
    monkeypatch.setattr(export, "find_spec", lambda _: None)
    assert parity_of_engines(trained, graph, pictures, Run()) == both[:1]
    monkeypatch.setattr(export, "open_engine", lambda *_, **__: Skewed(graph, "score", 1.0))
    with pytest.raises(BundleError, match="parity"):
        parity_of_engines(trained, graph, pictures, Run())


def test_gate_refuses_nan(trained: Mean, graph: Path, make_pictures: Callable[..., Any]) -> None:
    figures = parity(trained, Skewed(graph, "score", float("nan")), make_pictures(trained), Run())
    with pytest.raises(BundleError, match="parity"):
        check_parity(figures)


def test_rank_change_by_hand() -> None:
    """Of the pairs of 1, 2, 3, 4 and 1, 3, 2, 4 one in six turns round; ties turn nothing."""
    assert export._rank_change(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])) == pytest.approx(1 / 6)
    assert export._rank_change(np.array([1, 2, 3]), np.array([1, 1, 1])) == 0


def test_difference_of_pictures_without_spread() -> None:
    assert export._difference(np.array([5.0]), np.array([5.01]))[1] == pytest.approx(0.2)
    assert export._difference(np.zeros(2), np.zeros(2)) == (0.0, 0.0)
