"""Which engine and precision a model is calibrated on: asked for in the recipe, checked before fitting."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.splits import NormalSplit
from flawscope.data.training import TrainingData
from flawscope.errors import BundleError, FlawscopeError, MissingExtraError, OptionError
from flawscope.methods.running import score, with_tensors
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import Watch
from flawscope.runtime import engines, pipeline
from flawscope.runtime.engine_table import Speed, Speeds
from flawscope.runtime.engines import open_engine
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.listing import list_images
from flawscope.runtime.pipeline import Graphs, Pipeline, choose
from flawscope.training import fold_scores, parity
from flawscope.training.fold_scores import HeldOut, score_by_itself, score_in_folds
from flawscope.training.parity import choose_engine
from flawscope.training.recipe import EngineChoice, Recipe
from flawscope.training.selection import Selection
from flawscope.training.train import _with_checkpoints, train
from trained import Trained, write_pictures
from two_filters import TwoFilters, TwoFiltersOptions, recipe_of, register


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "good", 100, side=32)


@pytest.fixture
def fitted(knobbed: Trained) -> tuple[TwoFilters, Pictures]:
    weights = knobbed.result.bundle.weights
    assert weights is not None
    detector = with_tensors(TwoFilters(TwoFiltersOptions()), load_file(weights))
    paths = list_images(knobbed.pictures / "good")[:6]
    return detector, PictureFiles(
        [Sample(path, "train", defective=False) for path in paths], detector.options.frame
    )


def test_the_choice_is_open_by_default_and_folds_are_scored_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
    monkeypatch.setattr(engines, "installed", lambda: every)
    wish = Recipe.parse({"data": {"folder": "x"}}).engine
    assert wish.candidates() == every
    assert wish.candidates(in_folds=True) == every[:2]
    assert EngineChoice(precision="bf16").candidates(in_folds=True) == every[2:]
    with pytest.raises(OptionError, match=r"'engine\.name': expected 'auto', 'onnxruntime' or 'openvino'"):
        Recipe.parse({"data": {"folder": "x"}, "engine": {"name": "openvno"}})


def test_the_asked_engine_makes_the_scores(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    register(monkeypatch)
    result = train(
        recipe_of(pictures, engine={"name": "openvino", "precision": "fp32"}), tmp_path / "model", Run()
    )
    manifest = result.bundle.manifest
    assert (manifest.engine, manifest.precision) == ("openvino", "fp32")
    assert [(part.engine, part.precision) for part in manifest.parity] == [
        ("onnxruntime", "fp32"),
        ("openvino", "fp32"),
    ]
    assert choose(manifest) == ("openvino", "fp32")
    names = {picture.name for picture in manifest.provenance.pictures if picture.role == "calibration"}
    inspector = Inspector.load(result.bundle)
    scores = sorted(inspector.inspect(path).score for path in pictures.iterdir() if path.name in names)
    assert inspector.pipeline.engine == "openvino"
    np.testing.assert_allclose(scores, manifest.calibration.scores, rtol=1e-6)


@pytest.mark.parametrize(
    ("engine", "error"),
    [
        ({"name": "openvino"}, MissingExtraError),
        ({"name": "onnxruntime", "precision": "bf16"}, OptionError),
    ],
)
def test_what_is_missing_is_said_before_fitting(
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: dict[str, str],
    error: type[FlawscopeError],
) -> None:
    register(monkeypatch)
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(TwoFilters, "fit", lambda *_: pytest.fail("fitting started"))
    with pytest.raises(error):
        train(recipe_of(pictures, engine=engine), tmp_path / "model", Run())
    assert not (tmp_path / "model").exists()


def test_missing_units_are_said_before_fitting(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = pytest.importorskip("openvino", reason="the extra openvino is not installed")
    register(monkeypatch)
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32"])
    monkeypatch.setattr(TwoFilters, "fit", lambda *_: pytest.fail("fitting started"))
    with pytest.raises(OptionError, match=r"units for \(fp32\), got bf16\. Use precision fp32"):
        train(recipe_of(pictures, engine={"name": "openvino", "precision": "bf16"}), tmp_path / "m", Run())


def test_another_engine_takes_up_what_was_learned(pictures: Path, tmp_path: Path) -> None:
    dataset = read_dataset(pictures)

    def kept(recipe: Recipe) -> Path:
        run = _with_checkpoints(Run(), recipe, dataset, Selection(NormalSplit((), (), (), ())), tmp_path)
        assert run.checkpoints is not None
        return run.checkpoints.folder

    half = {"name": "openvino", "precision": "bf16"}
    assert kept(recipe_of(pictures, engine=half)) == kept(recipe_of(pictures))
    assert kept(recipe_of(pictures, seed=1)) != kept(recipe_of(pictures))


def test_what_was_learned_of_other_groups_is_not_taken_up(pictures: Path, tmp_path: Path) -> None:
    dataset, recipe = read_dataset(pictures), recipe_of(pictures)

    def kept(parts: int, *natural: Path) -> Path:
        samples = (
            [replace(one, group=str(at % parts)) for at, one in enumerate(dataset)] if parts else dataset
        )
        grouped = replace(dataset, samples=tuple(samples))
        beside = tuple(Sample(path, "train", defective=False) for path in natural)
        chosen = Selection(NormalSplit((), (), (), ()), natural=beside)
        run = _with_checkpoints(Run(), recipe, grouped, chosen, tmp_path)
        assert run.checkpoints is not None
        return run.checkpoints.folder

    some = next(iter(dataset)).path
    assert kept(3) == kept(3)
    assert len({kept(0), kept(2), kept(3), kept(3, some)}) == 4


class Coarse:
    """An engine that says it computes in half precision; `error` is added to one output."""

    def __init__(self, graph: Path, precision: str, output: str, error: float) -> None:
        self._engine = open_engine("onnxruntime", graph, threads=1)
        self.name, self.precision, self.threads = "openvino", precision, 1
        self.inputs = self._engine.inputs
        self._output, self._error = output, error

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = self._engine.run(feeds)
        return {**outputs, self._output: outputs[self._output] + self._error}


@pytest.mark.parametrize(("output", "words"), [("score", "in scores"), ("heatmap", "in heatmaps")])
def test_half_precision_is_gated_and_the_failing_figure_is_named(
    knobbed: Trained,
    fitted: tuple[TwoFilters, Pictures],
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    words: str,
) -> None:
    detector, some = fitted
    graphs = Graphs.of(knobbed.result.bundle)
    spread = float(np.ptp(score(detector, some, Run())[output]))

    def opened(name: str, graph: Path, *, precision: str, threads: int | None) -> object:
        if precision == "fp32":
            return open_engine("onnxruntime", graph, threads=1)
        return Coarse(graph, precision, output, error * spread)

    monkeypatch.setattr(pipeline, "open_engine", opened)
    error = 0.01
    figures = choose_engine(detector, graphs, some, Run(), wanted=[("openvino", "bf16")]).parity
    assert [(part.precision, part.bound) for part in figures][-1] == ("bf16", 0.02)
    error = 0.05
    with pytest.raises(BundleError, match=rf"openvino bf16 .*got 0\.05 {words}\. Use precision fp32"):
        choose_engine(detector, graphs, some, Run(), wanted=[("openvino", "bf16")])


@pytest.mark.parametrize(
    ("error", "times", "chosen"),
    [
        (0.0, (30, 28, 17), "openvino bf16"),
        (0.05, (30, 28, 17), "openvino fp32"),  # half precision is fastest and beyond its bound
        (0.05, (30, 29, 17), "onnxruntime fp32"),  # a tie goes to the plainer engine
        (0.0, (16.5, 28, 17), "onnxruntime fp32"),
    ],
)
def test_the_fastest_whose_parity_holds_is_chosen(
    knobbed: Trained,
    fitted: tuple[TwoFilters, Pictures],
    monkeypatch: pytest.MonkeyPatch,
    error: float,
    times: tuple[float, ...],
    chosen: str,
) -> None:
    detector, some = fitted
    spread = float(np.ptp(score(detector, some, Run())["score"]))
    every = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))

    def opened(name: str, graph: Path, *, precision: str, threads: int | None) -> object:
        if name == "onnxruntime":
            return open_engine(name, graph, threads=1)
        return Coarse(graph, precision, "score", error * spread if precision == "bf16" else 0.0)

    def timed(pipelines: list[Pipeline], pictures: list[np.ndarray]) -> Speeds:
        pairs = [one.pair for one in pipelines]
        assert pairs == list(every)
        rows = [
            Speed(engine=e, precision=p, milliseconds=ms) for (e, p), ms in zip(pairs, times, strict=True)
        ]
        return Speeds(machine="test", threads=1, rows=tuple(rows))

    monkeypatch.setattr(pipeline, "open_engine", opened)
    monkeypatch.setattr(parity, "installed", lambda: every)
    monkeypatch.setattr(parity, "measured_speeds", timed)
    found = choose_engine(detector, Graphs.of(knobbed.result.bundle), some, Run(), wanted=every)
    assert " ".join(found.pipeline.pair) == chosen
    assert [part.within for part in found.parity] == [True, True, error == 0]


def test_an_engine_that_cannot_open_the_graph_is_left_out_unless_it_alone_is_wanted(
    knobbed: Trained, fitted: tuple[TwoFilters, Pictures], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, some = fitted
    every = (("onnxruntime", "fp32"), ("openvino", "bf16"))

    def opened(name: str, graph: Path, *, precision: str, threads: int | None) -> object:
        if name == "openvino":
            raise BundleError("graph", expected="a graph that openvino can load", got="another", fix="Use x.")
        return open_engine(name, graph, threads=1)

    monkeypatch.setattr(pipeline, "open_engine", opened)
    monkeypatch.setattr(parity, "installed", lambda: every)
    told: list[str] = []
    watch = Watch(say=told.append)
    graphs = Graphs.of(knobbed.result.bundle)
    found = choose_engine(detector, graphs, some, Run(), watch, wanted=every)
    assert found.pipeline.pair == ("onnxruntime", "fp32")
    assert told == [
        "openvino bf16 is left out. graph: expected a graph that openvino can load, got another. Use x."
    ]
    with pytest.raises(BundleError, match="that openvino can load"):
        choose_engine(detector, graphs, some, Run(), watch, wanted=every[1:])


def test_folds_of_half_precision_are_scored_by_the_engine(
    fitted: tuple[TwoFilters, Pictures], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, some = fitted
    data = TrainingData(some.subset(range(4)), some.subset([]))
    parts = [(data, some.subset([4])), (data, some.subset([5]))]
    run = Run(checkpoints=Checkpoints(tmp_path))
    precise = score_in_folds(parts, lambda: TwoFilters(TwoFiltersOptions()), run)
    assert [len(scores) for scores in precise.scores] == [1, 1]
    asked = []

    def scored(fold: TwoFilters, held: Pictures, engine: tuple[str, str]) -> HeldOut:
        asked.append(engine)
        precise = score_by_itself(fold, held, Run())
        return replace(precise, scores=(2 * precise.scores[0],))

    monkeypatch.setattr(fold_scores, "_exported", scored)
    coarse = score_in_folds(parts, lambda: TwoFilters(TwoFiltersOptions()), run, engine=("openvino", "bf16"))
    assert asked == [("openvino", "bf16")] * 2
    np.testing.assert_allclose(np.array(coarse.scores), 2 * np.array(precise.scores))


def test_a_fold_is_exported_and_scored_as_the_graph_does(fitted: tuple[TwoFilters, Pictures]) -> None:
    detector, some = fitted
    found = fold_scores._exported(detector, some, ("onnxruntime", "fp32"))
    expected = score_by_itself(detector, some, Run())
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4)
    assert found.levels is not None
    assert expected.levels is not None
    assert found.levels.shape == (6, 2)
    np.testing.assert_allclose(found.levels, expected.levels, atol=1e-5)
