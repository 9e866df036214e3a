"""Graphs that answer as the detector does, and a gate that lets no others pass."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import BundleError
from flawscope.methods.detector import HEATMAP, SCORE, Detector, DetectorOptions, Facts, Learnt, Stage
from flawscope.methods.running import answers, score, with_tensors
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime import pipeline as pipeline_module
from flawscope.runtime.engines import open_engine
from flawscope.runtime.listing import list_images
from flawscope.runtime.manifest import OutputSpec, ScalarSpec
from flawscope.runtime.parity import check_parity, difference, difference_of_columns, rank_change
from flawscope.runtime.pipeline import Graphs, Pipeline
from flawscope.training import export
from flawscope.training.parity import choose_engine, parity


class Mean(Detector):
    """Distance of each smoothed pixel to the mean of the good pictures; and the cell where it is largest."""

    name = "mean"
    Options = DetectorOptions
    outputs = (HEATMAP, SCORE, OutputSpec(name="peak", kind="vector", about="index of the peak"))
    mean: Tensor

    def __init__(self, options: DetectorOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.register_buffer("mean", torch.zeros(1, 3, *options.size))

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
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
        return PictureFiles(
            [Sample(path, "train", defective=False) for path in list_images(folder)], detector.options.frame
        )

    return make


@pytest.fixture(scope="module")
def trained(make_pictures: Callable[..., Any]) -> Mean:
    detector = Mean(DetectorOptions(size=(32, 32)))
    pictures = make_pictures(detector)
    return detector.fit(TrainingData(pictures, pictures.subset([])), Run())


@pytest.fixture(scope="module")
def graphs(trained: Mean, tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    with pytest.MonkeyPatch.context() as patch:  # notes of lines of code, which other tests leave out
        patch.setattr(torch.fx.config, "do_not_emit_stack_traces", False, raising=False)
        return export.export(trained, tmp_path_factory.mktemp("graph"))


def opened(graphs: Graphs, name: str = "onnxruntime") -> Pipeline:
    return Pipeline.in_engine(graphs, name, threads=1)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_engines_answer_as_the_detector(
    trained: Mean, graphs: Graphs, make_pictures: Callable[..., Any], name: str
) -> None:
    if name == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    pipeline, pictures = opened(graphs, name), make_pictures(trained)
    (figures,) = parity(trained, [pipeline], pictures, Run())
    assert (figures.engine, figures.precision, figures.pictures) == (name, "fp32", 6)
    assert figures.score_relative < 1e-4
    assert figures.heatmap_relative < 1e-4
    assert figures.rank_change == 0
    check_parity(figures)
    found, reference = list(pipeline.score(pictures)), score(trained, pictures, Run())
    assert found[0].keys() == reference.keys()
    np.testing.assert_array_equal([answer["peak"] for answer in found], reference["peak"])


def test_figures_of_a_stream_are_those_of_the_whole(
    trained: Mean, graphs: Graphs, make_pictures: Callable[..., Any]
) -> None:
    """Maps are compared one by one: the largest difference, by the spread over all of them."""
    pictures = make_pictures(trained)
    (figures,) = parity(trained, [skewed(graphs, "heatmap", 0.25)], pictures, Run())
    reference = score(trained, pictures, Run())["heatmap"]
    got = np.stack([answer["heatmap"] for answer in skewed(graphs, "heatmap", 0.25).score(pictures)])
    expected = float(np.abs(reference.astype(np.float64) - got).max())
    assert figures.heatmap_absolute == expected
    assert figures.heatmap_relative == expected / float(np.ptp(reference))


def test_the_detector_streams_only_what_is_kept(trained: Mean, make_pictures: Callable[..., Any]) -> None:
    pictures = make_pictures(trained)
    whole = score(trained, pictures, Run())
    kept = list(answers(trained, pictures, Run(), keep=("score",), batch=4))
    assert [set(answer) for answer in kept] == [{"score"}] * 6
    np.testing.assert_array_equal([answer["score"] for answer in kept], whole["score"])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_batch(trained: Mean, graphs: Graphs, make_pictures: Callable[..., Any], count: int) -> None:
    pipeline, pictures = opened(graphs), make_pictures(trained)
    (pixels,) = pictures.subset(range(count)).batches(count)
    together = pipeline.run(pixels)["score"]
    alone = [pipeline.run(row[None])["score"][0] for row in pixels]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_graph_names_outputs_and_no_paths(graphs: Graphs) -> None:
    path = graphs.folder / "model.onnx"
    model = onnx.load(path)
    assert [value.name for value in model.graph.input] == ["pixels"]
    assert [value.name for value in model.graph.output] == ["heatmap", "score", "peak"]
    assert [output.name for output in graphs.outputs] == ["heatmap", "score", "peak"]
    (stage,) = graphs.stages
    assert (stage.file, stage.inputs, stage.outputs) == (
        "model.onnx",
        ("pixels",),
        ("heatmap", "score", "peak"),
    )
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert {prop.key: prop.value for prop in model.metadata_props} == {
        "flawscope.outputs": "heatmap, score, peak"
    }
    content = path.read_bytes()
    assert b".py" not in content
    assert str(Path(__file__).parent).encode() not in content


class GainOptions(DetectorOptions):
    knobs: ClassVar = (ScalarSpec(name="gain", value=1.0, low=0.5, high=2.0, about="factor"),)


class TwoStages(Mean):
    """The same in two graphs: distances first, then a map and a score scaled by a knob."""

    Options = GainOptions

    def stages(self) -> tuple[Stage, ...]:
        return (
            Stage("distances.onnx", ("pixels",), ("distances",), self.distances),
            Stage("maps.onnx", ("distances", "gain"), ("heatmap", "score", "peak"), self.maps),
        )

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        gain = scalars.get("gain", torch.tensor(1.0))
        return self.maps(**self.distances(pixels), gain=gain)

    def distances(self, pixels: Tensor) -> dict[str, Tensor]:
        return {"distances": (pixels - self.mean).square().sum(1).sqrt()}  # (N, H, W)

    def maps(self, distances: Tensor, gain: Tensor) -> dict[str, Tensor]:
        smooth = gain * F.avg_pool2d(distances.unsqueeze(1), 3, 1, 1).squeeze(1)  # (N, H, W)
        score, peak = smooth.flatten(1).max(1)
        return {"score": score, "heatmap": smooth, "peak": peak.unsqueeze(1)}


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_stages_are_chained(
    trained: Mean, make_pictures: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    if name == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    detector = with_tensors(TwoStages(GainOptions(size=(32, 32))), trained.state_dict())
    graphs = export.export(detector, tmp_path)
    assert [(stage.file, stage.inputs) for stage in graphs.stages] == [
        ("distances.onnx", ("pixels",)),
        ("maps.onnx", ("distances", "gain")),
    ]
    pipeline, pictures = opened(graphs, name), make_pictures(trained)
    (figures,) = parity(detector, [pipeline.turned({"gain": 2.0})], pictures, Run())
    assert max(figures.score_relative, figures.heatmap_relative) < 1e-4
    (answer,) = pipeline.score([pictures[0]])
    assert answer.keys() == {"heatmap", "score", "peak"}
    np.testing.assert_allclose(answer["score"], score(trained, pictures, Run())["score"][0], rtol=1e-5)


def test_large_weights_lie_beside_the_graph(
    trained: Mean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "INLINE_BYTES", 1000)
    graphs = export.export(trained, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    pixels = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    expected = trained(torch.from_numpy(pixels))["score"].numpy()
    np.testing.assert_allclose(opened(graphs).run(pixels)["score"], expected, rtol=1e-5)


class Skewed:
    """An engine one of whose outputs is off by `error`."""

    name, precision, threads = "onnxruntime", "fp32", 1

    def __init__(self, graph: Path, output: str, error: float) -> None:
        self._engine, self._output, self._error = open_engine("onnxruntime", graph, threads=1), output, error
        self.inputs = self._engine.inputs

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = self._engine.run(feeds)
        return {**outputs, self._output: outputs[self._output] + np.float32(self._error)}


def skewed(graphs: Graphs, output: str, error: float) -> Pipeline:
    return Pipeline(graphs, [Skewed(graphs.folder / "model.onnx", output, error)])


@pytest.mark.parametrize(("output", "words"), [("score", "in scores"), ("heatmap", "in heatmaps")])
def test_gate_refuses_what_differs(
    trained: Mean, graphs: Graphs, make_pictures: Callable[..., Any], output: str, words: str
) -> None:
    pictures = make_pictures(trained)
    spread = float(np.ptp(score(trained, pictures, Run())[output]))
    far, near = (skewed(graphs, output, share * spread) for share in (0.01, 0.001))
    figures, nearly = parity(trained, [far, near], pictures, Run())
    measured = figures.score_relative if output == "score" else figures.heatmap_relative
    assert measured == pytest.approx(0.01, rel=1e-2)
    with pytest.raises(BundleError, match=words):
        check_parity(figures)
    check_parity(nearly)


def test_every_installed_engine_is_measured(
    trained: Mean, graphs: Graphs, make_pictures: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    pictures = make_pictures(trained)
    both = choose_engine(trained, graphs, pictures, Run()).parity
    assert [figures.engine for figures in both] == ["onnxruntime", "openvino"]
    assert all(figures.within for figures in both)
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert choose_engine(trained, graphs, pictures, Run()).parity == both[:1]
    monkeypatch.setattr(pipeline_module, "open_engine", lambda _, graph, **__: Skewed(graph, "score", 1.0))
    with pytest.raises(BundleError, match="parity"):
        choose_engine(trained, graphs, pictures, Run())


@pytest.mark.parametrize("output", ["score", "heatmap"])
def test_gate_refuses_nan(
    trained: Mean, graphs: Graphs, make_pictures: Callable[..., Any], output: str
) -> None:
    broken = skewed(graphs, output, float("nan"))
    (figures,) = parity(trained, [broken], make_pictures(trained), Run())
    with pytest.raises(BundleError, match="parity"):
        check_parity(figures)


def test_rank_change_by_hand() -> None:
    """Of the pairs of 1, 2, 3, 4 and 1, 3, 2, 4 one in six turns round; ties turn nothing."""
    assert rank_change(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])) == pytest.approx(1 / 6)
    assert rank_change(np.array([1, 2, 3]), np.array([1, 1, 1])) == 0


def test_difference_of_pictures_without_spread() -> None:
    assert difference(np.array([5.0]), np.array([5.01]))[1] == pytest.approx(0.2)
    assert difference(np.zeros(2), np.zeros(2)) == (0.0, 0.0)


def test_columns_that_hardly_vary_are_measured_by_the_others() -> None:
    """One of which only the last bits move, 2 of 350, beside one that moves by 7."""
    bit = np.spacing(np.float32(0.005))
    expected = np.array([[0, 1], [350 * bit, 8]], np.float32)
    near = expected + np.array([[2 * bit, 0]], np.float32)
    assert difference(expected[:, 0], near[:, 0])[1] > 0.005
    assert difference_of_columns(expected, near) < 1e-6
    far = expected + np.array([[0.0007, 0.007]], np.float32)
    assert difference_of_columns(expected, far) == pytest.approx(0.1, rel=1e-3)
    broken = np.where(expected > 7, np.float32("nan"), expected)
    assert difference_of_columns(expected, broken) > 1
