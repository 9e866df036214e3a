"""Running a benchmark: figures beside the paper's, finished rows kept, everything said that differs."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarked import BENCHMARK, write_product
from flawscope.benchmark import run as running
from flawscope.benchmark.charts import Line, draw, line_chart, lines_of
from flawscope.benchmark.measures import Spread
from flawscope.benchmark.plan import Outcome, Wishes, parse_seeds, plan
from flawscope.benchmark.recipe import Benchmark
from flawscope.benchmark.results import MODEL, RESULT, RunResult
from flawscope.benchmark.run import run_benchmark
from flawscope.benchmark.table import caption, cells, headings, to_json, write_results
from flawscope.data.layouts import read_dataset
from flawscope.errors import CalibrationError, DataError, OptionError, Stopped
from flawscope.methods.registry import available
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.inspector import Inspector
from flawscope.station.evaluate import evaluate
from flawscope.training.pack import LOSSES
from flawscope.training.recipe import Recipe

COMMAND = "flawscope benchmark small.yaml"


@dataclass(frozen=True, slots=True)
class Done:
    """A finished benchmark, its data and its folder."""

    outcome: Outcome
    data: Path
    out: Path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("benchmark")
    write_product(root / "data" / "square")
    outcome = plan(Benchmark.parse(BENCHMARK), root / "data", root / "out", Wishes(), Run())
    run_benchmark(outcome, Run(), after=lambda so_far: write_results(so_far, root / "out", COMMAND))
    return Done(outcome, root / "data", root / "out")


@pytest.fixture
def copied(done: Done, tmp_path: Path) -> Done:
    """The finished benchmark once more, to change; the data stays where it is."""
    out = Path(shutil.copytree(done.out, tmp_path / "out"))
    return Done(plan(done.outcome.benchmark, done.data, out, Wishes(), Run()), done.data, out)


def no_training(*arguments: Any, **named: Any) -> Any:
    """In the place of `train` where nothing may be trained."""
    raise AssertionError("trained again")


def test_figures_are_those_of_evaluating_the_model(done: Done) -> None:
    planned = done.outcome.planned[0]
    result = planned.result
    assert result is not None
    dataset = read_dataset(done.data, product="square")
    again = evaluate(Inspector.load(planned.folder / MODEL), dataset)
    assert result.measures == {
        "image_auroc": again.detection["auroc"].value,
        "fpr_at_95_tpr": again.detection["fpr_at_95_tpr"].value,
        "pixel_auroc": again.localisation["pixel_auroc"],
        "aupro_30": again.localisation["aupro_30"],
    }


def test_a_row_learns_from_as_many_pictures_as_it_says(done: Done) -> None:
    everything, ten = (planned.result for planned in done.outcome.planned)
    assert everything is not None
    assert ten is not None
    assert everything.pictures["training"] == 24
    assert ten.pictures["training"] == 10
    assert everything.pictures["calibration"] == ten.pictures["calibration"] == 8
    assert ten.pictures["test"] == 9
    assert ten.options["coreset"] == 0.5


def test_ours_stands_beside_the_papers(done: Done) -> None:
    columns = headings(done.outcome)
    first = dict(zip(columns, cells(done.outcome, done.outcome.benchmark.rows[0]), strict=True))
    result = done.outcome.planned[0].result
    assert result is not None
    assert first["image AUROC"] == f"{100 * result.measures['image_auroc']:.2f}"
    assert first["image AUROC, paper"] == "99.50"
    assert first["AU-PRO 0.3, paper"] == "90.00"
    assert "pixel AUROC, paper" not in columns


def test_a_row_without_pictures_is_left_out_and_says_so(done: Done) -> None:
    assert list(done.outcome.left_out) == ["Another product"]
    assert any("circle" in line for line in caption(done.outcome))
    circle = Benchmark.parse(BENCHMARK | {"rows": [BENCHMARK["rows"][2]]})
    with pytest.raises(DataError, match="circle"):
        plan(circle, done.data, done.out, Wishes(), Run())


def test_results_hold_command_versions_and_hardware(done: Done) -> None:
    values = json.loads((done.out / "results.json").read_text())
    page = (done.out / "results.md").read_text()
    assert values == to_json(done.outcome, COMMAND)
    (first,) = values["rows"][0]["runs"]
    assert first["versions"]["torch"]
    assert first["hardware"] in page
    for text in (COMMAND, "A paper, table 1", "which ten", "contradict each other", "99.50"):
        assert text in page


def test_a_finished_row_is_not_repeated(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "train", no_training)
    monkeypatch.setattr(running, "evaluate", no_training)
    again = plan(done.outcome.benchmark, done.data, done.out, Wishes(), Run())
    said: list[str] = []
    run_benchmark(again, Run(), Watch(say=said.append))
    assert to_json(again, COMMAND) == to_json(done.outcome, COMMAND)
    assert all("kept" in line for line in said)


def test_a_trained_row_is_only_evaluated_again(copied: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    before = copied.outcome.planned[0].result
    (copied.outcome.planned[0].folder / RESULT).write_text("torn")
    assert copied.outcome.planned[0].result is None
    monkeypatch.setattr(running, "train", no_training)
    run_benchmark(copied.outcome, Run())
    after = copied.outcome.planned[0].result
    assert before is not None
    assert after is not None
    assert after.measures == before.measures
    assert after.seconds["fit"] == before.seconds["fit"]


def test_other_options_pictures_or_seeds_are_other_runs(done: Done, tmp_path: Path) -> None:
    data = Path(shutil.copytree(done.data, tmp_path / "data"))

    def folders(**wishes: Any) -> set[str]:
        outcome = plan(done.outcome.benchmark, data, done.out, Wishes(**wishes), Run())
        return {planned.folder.name for planned in outcome.planned}

    same = {planned.folder.name for planned in done.outcome.planned}
    assert folders() == same, "a copy of the data is the same data"
    assert not folders(settings=("options.neighbourhood=5",)) & same
    assert len(folders(seeds=(0, 1)) - same) == 2
    os.utime(data / "square" / "ground_truth" / "spot" / "000_mask.png", (1, 1))
    masked = folders()
    assert not masked & same
    os.utime(data / "square" / "test" / "good" / "000.png", (1, 1))
    assert not folders() & (same | masked)


def test_a_row_that_is_to_be_tested_on_other_pictures_is_evaluated_again(done: Done) -> None:
    planned = done.outcome.planned[0]
    assert planned.result is not None
    fewer = dataclasses.replace(planned.dataset, samples=planned.dataset.samples[:-1])
    assert dataclasses.replace(planned, dataset=fewer).result is None


def test_a_request_to_stop_ends_between_rows_and_keeps_the_rest(copied: Done) -> None:
    other = plan(copied.outcome.benchmark, copied.data, copied.out, Wishes(seeds=(0, 7)), Run())
    watch = Watch()
    watch.stop.set()
    written: list[int] = []
    with pytest.raises(Stopped):
        run_benchmark(other, Run(), watch, after=lambda so_far: written.append(len(so_far.planned)))
    assert written == [4]
    assert cells(other, other.benchmark.rows[0])[1] == "1 of 2"


def test_a_run_that_fails_is_named_and_the_next_one_begins(
    copied: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = Wishes(settings=("calibration.false_rejects=0.3",))
    outcome = plan(copied.outcome.benchmark, copied.data, copied.out, wishes, Run())
    tried: list[int | None] = []

    def fail(recipe: Recipe, *arguments: Any, **named: Any) -> Any:
        tried.append(recipe.split.training)
        raise CalibrationError("calibration", expected="more", got="less", fix="Add pictures.")

    monkeypatch.setattr(running, "train", fail)
    run_benchmark(outcome, Run())
    assert tried == [None, 10]
    assert list(outcome.failed) == ["All pictures, seed 0", "Ten pictures, seed 0"]
    assert "Failed: Ten pictures, seed 0: calibration" in " ".join(caption(outcome))


def test_a_row_with_more_pictures_than_there_are_is_left_out(done: Done) -> None:
    rows = [{"label": "few"}, {"label": "many", "training_pictures": 500}]
    outcome = plan(Benchmark.parse(BENCHMARK | {"rows": rows}), done.data, done.out, Wishes(), Run())
    assert "expected 500 good training pictures, got 32" in outcome.left_out["many"]


def test_rows_that_need_natural_pictures_say_so(done: Done) -> None:
    values = BENCHMARK | {"rows": [{"label": "plain"}, {"label": "penalty", "natural": True}]}
    outcome = plan(Benchmark.parse(values), done.data, done.out, Wishes(), Run())
    assert "--natural" in outcome.left_out["penalty"]
    named = plan(Benchmark.parse(values), done.data, done.out, Wishes(natural=done.data), Run())
    assert [planned.recipe.data.natural for planned in named.planned] == [None, done.data]


def test_several_seeds_give_mean_and_range() -> None:
    found = Spread.of((0.9, 0.93, 0.96))
    assert found is not None
    assert found.text("range") == "93.00 (90.00–96.00)"
    assert found.text("std") == "93.00 ± 3.00", "of a sample: n − 1"
    assert Spread.of(()) is None
    assert parse_seeds("3") == (3,)
    for wrong in ("", "1,1", "-1", "1,x", "²"):
        with pytest.raises(OptionError, match="--seeds"):
            parse_seeds(wrong)


def test_everything_that_differs_from_the_recipe_is_in_the_caption(done: Done) -> None:
    wishes = Wishes(settings=("data.product=null", "options.neighbourhood=5"))
    rows = BENCHMARK["rows"][:2]
    outcome = plan(Benchmark.parse(BENCHMARK | {"rows": rows}), done.data / "square", done.out, wishes, Run())
    said = " ".join(caption(outcome))
    assert "options.neighbourhood=5" in said
    assert "Not the paper's product" not in said, "the folder has the product's name"
    other = Benchmark.parse(BENCHMARK | {"base": BENCHMARK["base"] | {"data": {"product": "round"}}})
    changed = plan(other, done.data, done.out, Wishes(settings=("data.product=square",)), Run())
    assert "ours is square, the paper's round" in " ".join(caption(changed))


@pytest.mark.skipif("efficientad" not in available(), reason="the method efficientad is not there yet")
def test_shortened_training_is_named(done: Done) -> None:
    base = {"method": "efficientad", "preset": None, "options": {"weights": "random"}}
    values = BENCHMARK | {"base": base, "rows": [{"label": "one"}]}
    full = plan(Benchmark.parse(values), done.data, done.out, Wishes(), Run())
    short = plan(Benchmark.parse(values), done.data, done.out, Wishes(steps=20), Run())
    assert "Shortened" not in " ".join(caption(full))
    assert "20 steps in place of 70000" in " ".join(caption(short))
    assert full.planned[0].folder != short.planned[0].folder


def test_steps_of_a_method_without_steps_are_an_error(done: Done) -> None:
    with pytest.raises(OptionError, match="'steps' of patchcore"):
        plan(done.outcome.benchmark, done.data, done.out, Wishes(steps=20), Run())


def test_losses_and_sweeps_become_charts(copied: Done) -> None:
    assert list(draw(copied.outcome)) == ["sweep-2.svg"], "PatchCore has no losses"
    for planned in copied.outcome.planned:
        records = [{"step": float(step), "total": 100.0 / (1 + step)} for step in range(1000)]
        (planned.folder / MODEL / LOSSES).write_text(json.dumps(records))
    charts = draw(copied.outcome)
    drawn = ET.fromstring(charts["losses-1.svg"])  # noqa: S314 - our own file
    lines = [path for path in drawn.iter() if path.get("class") == "line" and "L" in (path.get("d") or "")]
    assert len(lines) == 2
    assert (lines[0].get("d") or "").count("L") == 333, "1000 steps, averaged three by three"
    assert "Ten pictures" in charts["losses-1.svg"]
    for planned in copied.outcome.planned:
        running.let_go(planned.folder)  # keep_models: false
        assert not (planned.folder / MODEL).exists()
    assert draw(copied.outcome) == charts


def test_a_losss_share_of_the_total_counts_its_coefficient(copied: Done) -> None:
    chart = {"kind": "shares", "loss": "penalty", "key": "options.coreset", "title": "Share"}
    benchmark = Benchmark.parse(BENCHMARK | {"charts": [chart]})
    outcome = plan(benchmark, copied.data, copied.out, Wishes(), Run())
    records = [{"step": float(step), "total": 8.0, "penalty": 4.0 * step} for step in range(2)]
    (outcome.planned[1].folder / MODEL / LOSSES).write_text(json.dumps(records))
    (line,) = lines_of(outcome, benchmark.charts[0])
    assert line.points == ((0.0, 0.0), (1.0, 25.0)), "0.5 · 4 of 8"


def test_a_chart_holds_hostile_names_and_flat_lines() -> None:
    drawn = line_chart("<b>", "x", "y", [Line('"><script>', ((0.0, 1.0), (1.0, 1.0)))])
    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - our own file
    assert "<script>" not in drawn


def test_a_damaged_or_foreign_result_counts_as_none(tmp_path: Path) -> None:
    for text in ("", "{}", '{"label": 1}', "[1]"):
        (tmp_path / RESULT).write_text(text)
        assert RunResult.read(tmp_path / RESULT) is None
