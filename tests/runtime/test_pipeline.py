"""One way from pixels to outputs: what it checks, keeps and never holds."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from brightness_model import SIDE, make_manifest, save_model
from flawscope.errors import BundleError, OptionError
from flawscope.runtime import bundle
from flawscope.runtime.manifest import ScalarSpec, StageSpec
from flawscope.runtime.pipeline import Graphs, Pipeline, scores_and_levels


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline.open(save_model(tmp_path / "model"), threads=1)


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 3, SIDE, SIDE), np.float32)


def test_run_answers_for_a_batch_and_score_for_each_picture(pipeline: Pipeline) -> None:
    pixels = pictures(3)
    together = pipeline.run(pixels)
    assert {name: len(values) for name, values in together.items()} == dict.fromkeys(
        ("score", "heatmap", "colour"), 3
    )
    for index, answer in enumerate(pipeline.score(pixels)):
        assert answer.keys() == together.keys()
        np.testing.assert_allclose(answer["heatmap"], together["heatmap"][index], rtol=1e-6)
    assert pipeline.judged == ("score", "heatmap")
    assert (pipeline.engine, pipeline.precision) == ("onnxruntime", "fp32")


def test_score_keeps_what_is_asked_for_and_holds_no_picture(pipeline: Pipeline) -> None:
    made: list[weakref.ref[np.ndarray]] = []

    def stream() -> Iterator[np.ndarray]:
        for pixels in pictures(4):
            own = pixels.copy()
            made.append(weakref.ref(own))
            yield own
            del own

    for count, answer in enumerate(pipeline.score(stream(), ("score",)), 1):
        assert set(answer) == {"score"}
        assert len(made) == count  # nothing is read ahead of its turn
    gc.collect()
    assert [reference() for reference in made] == [None] * 4


def test_scores_and_levels_by_hand(pipeline: Pipeline) -> None:
    pixels = pictures(3)
    scores, levels = scores_and_levels(pipeline.score(pixels, pipeline.judged), pipeline.judged)
    maps = pixels.mean(1)
    np.testing.assert_allclose(scores, maps.max((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(levels, np.stack([np.median(maps, (1, 2)), maps.max((1, 2))], 1), rtol=1e-6)
    assert scores_and_levels([{"score": np.float32(2)}], ("score",)) == ([2.0], [])


def test_values_that_are_not_finite_pass_only_where_asked(tmp_path: Path) -> None:
    broken = Pipeline.open(save_model(tmp_path / "model", divide_by=0.0))
    black = np.zeros((1, 3, SIDE, SIDE), np.float32)
    with pytest.raises(BundleError, match="finite scores and heatmaps"):
        broken.run(black)
    with pytest.raises(BundleError, match="finite scores and heatmaps"):
        list(broken.score(black))
    (answer,) = broken.score(black, finite=False)
    assert np.isnan(answer["score"])


def test_graphs_with_other_inputs_than_promised(tmp_path: Path) -> None:
    knob = ScalarSpec(name="gain", value=1.0, low=0.0, high=2.0)
    with pytest.raises(BundleError, match=r"expected its inputs \(pixels\), got pixels, gain"):
        Pipeline.open(save_model(tmp_path / "model", scalars=(knob,)))


def test_bad_calls(tmp_path: Path) -> None:
    graphs = Graphs.of(save_model(tmp_path / "model"))
    with pytest.raises(OptionError, match="threads"):
        Pipeline.in_engine(graphs, threads=0)
    with pytest.raises(OptionError, match='Did you mean "openvino"'):
        Pipeline.in_engine(graphs, "openvno")
    with pytest.raises(BundleError, match="expected an ONNX graph"):
        Pipeline.in_engine(replace(graphs, folder=tmp_path))


def stage(file: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> StageSpec:
    return StageSpec(file=file, inputs=inputs, outputs=outputs)


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ((stage("a", ("pixels",), ("score", "heatmap")),), "no stage gives the output colour"),
        ((stage("a", ("pixels", "taps"), ("score",)),), "stage a needs taps, which nothing before it gives"),
        (
            (stage("b", ("taps",), ("score",)), stage("a", ("pixels",), ("taps",))),
            "stage b needs taps, which nothing before it gives",
        ),
        (
            (stage("a", ("pixels",), ("score",)), stage("b", ("score",), ("score",))),
            "stage b gives score, which is there already",
        ),
        ((stage("a", ("score",), ("heatmap",)),), "no stage takes the input pixels"),
        ((), "at least 1 item"),
    ],
)
def test_stages_that_do_not_lead_to_the_outputs(stages: tuple[StageSpec, ...], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        make_manifest(stages=stages)


def test_a_model_folder_without_one_of_its_graphs(tmp_path: Path) -> None:
    first = stage("first.onnx", ("pixels",), ("taps",))
    second = stage(bundle.GRAPH, ("taps",), ("score", "heatmap", "colour"))
    with pytest.raises(BundleError, match=r"a model folder with first\.onnx"):
        save_model(tmp_path / "model", stages=(first, second))
