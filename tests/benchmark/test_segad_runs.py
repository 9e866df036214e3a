"""A small table of SegAD from end to end: deviations over seeds, unseen kinds apart, shared detectors."""

from __future__ import annotations

import json
import shutil
import statistics
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flawscope.benchmark import run as running
from flawscope.benchmark.plan import Outcome, Wishes, plan
from flawscope.benchmark.recipe import Benchmark
from flawscope.benchmark.results import MODEL, SCORES
from flawscope.benchmark.run import run_benchmark
from flawscope.benchmark.table import caption, cells, headings, to_json, write_results
from flawscope.data.training import TrainingData
from flawscope.methods.patchcore import PatchCore
from flawscope.metrics import auroc, fpr_at_tpr
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from trained import OPTIONS, write_pictures

COMMAND = "flawscope benchmark segad.yaml"
SEGAD: dict[str, Any] = {
    "title": "SegAD with four defects",
    "source": "table 3",
    "paper": "A paper",
    "pictures": "rendered squares in VAD's layout",
    "base": {
        "method": "segad",
        "preset": None,
        "options": {"size": [64, 64], "segments": {"kind": "one"}},
        "split": {"defective": 4, "tuning": 0.4, "calibration": 0.2},
        "calibration": {"false_rejects": 0.4, "promise": "on_average"},
    },
    "methods": {"bank": {"method": "patchcore", "options": OPTIONS}},
    "rows": [
        {"label": "Bank", "method": "bank", "split": {"aside": 0.4}},
        {
            "label": "Bank + Ours",
            "options": {"detectors": ["bank"]},
            "paper": {"image_auroc": 91.7, "fpr_at_95_tpr": 48, "std": {"image_auroc": 0.3}},
        },
        {"label": "Both", "mean_of": ["Bank", "Bank + Ours"]},
    ],
    "measures": ["image_auroc", "fpr_at_95_tpr", "image_auroc_seen", "image_auroc_unseen", "aupro_30"],
    "seeds": [0, 1],
    "spread": "std",
    "keep_models": False,
    "charts": [{"kind": "histograms", "title": "Figure 6", "rows": ["Bank", "Bank + Ours"]}],
}


def write_vad(root: Path) -> Path:
    """VAD's layout; bad pictures of unseen kinds look good, so that no row finds them all."""
    write_pictures(root / "train" / "good", 24)
    write_pictures(root / "train" / "bad", 6, seed=1, spot=True)
    write_pictures(root / "test" / "good", 6, seed=2)
    write_pictures(root / "test" / "bad", 4, seed=3, spot=True)
    write_pictures(root / "test" / "bad_unseen_defects", 3, seed=4)
    return root


@dataclass(frozen=True, slots=True)
class Done:
    """A finished benchmark, its data and its folder, and how often a detector was trained."""

    outcome: Outcome
    data: Path
    out: Path
    fits: int


def planned(data: Path, out: Path) -> Outcome:
    return plan(Benchmark.parse(SEGAD), data, out, Wishes(), Run())


def run_counting(outcome: Outcome, out: Path) -> int:
    """Run the benchmark; how often PatchCore was trained meanwhile."""
    fits: list[int] = []
    fit = PatchCore.fit

    def counting(self: PatchCore, data: TrainingData, run: Run, watch: Watch) -> PatchCore:
        fits.append(len(data.normal))
        return fit(self, data, run, watch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PatchCore, "fit", counting)
        run_benchmark(outcome, Run(), after=lambda so_far: write_results(so_far, out, COMMAND))
    return len(fits)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("segad")
    data = write_vad(root / "vad")
    outcome = planned(data, root / "out")
    fits = run_counting(outcome, root / "out")
    assert not outcome.failed
    return Done(outcome, data, root / "out", fits)


def scores(done: Done, index: int) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = json.loads((done.outcome.planned[index].folder / SCORES).read_text())
    return values


def test_a_detector_is_trained_once_for_all_rows_of_a_seed(done: Done) -> None:
    assert done.fits == 2, "one a seed"
    assert len(list((done.out / "trained").glob("patchcore-*.safetensors"))) == 2
    for entry in done.outcome.planned:
        assert entry.result is not None
        assert entry.result.pictures["training"] == 9, "of 24, 5 calibrate and 10 are the forest's"


def test_every_row_of_a_seed_is_tested_on_the_same_pictures(done: Done) -> None:
    tested = [scores(done, index)["picture"] for index in range(4)]
    assert all(pictures == tested[0] for pictures in tested)
    assert len(tested[0]) == 13
    results = [entry.result for entry in done.outcome.planned]
    assert [result.pictures["known_to_model"] for result in results if result] == [0] * 4


def test_measures_are_of_all_defects_and_of_seen_and_unseen_ones_apart(done: Done) -> None:
    kept = scores(done, 2)
    result = done.outcome.planned[2].result
    assert result is not None
    labels, values = kept["defective"], kept["score"]
    assert result.measures["image_auroc"] == auroc(labels, values)
    assert result.measures["fpr_at_95_tpr"] == fpr_at_tpr(labels, values)
    for name, seen, count in (("seen", True, 4), ("unseen", False, 3)):
        rows = [row for row, bad in enumerate(labels) if not bad or kept["seen"][row] == seen]
        part = ([labels[row] for row in rows], [values[row] for row in rows])
        assert sum(part[0]) == count
        assert result.measures[f"image_auroc_{name}"] == auroc(*part)
        assert result.measures[f"fpr_at_95_tpr_{name}"] == fpr_at_tpr(*part)


def test_the_table_has_deviations_and_only_columns_with_figures(done: Done) -> None:
    columns = headings(done.outcome)
    assert "image AUROC, unseen kinds" in columns
    assert "AU-PRO 0.3" not in columns, "VAD has no masks"
    rows = {
        row.label: dict(zip(columns, cells(done.outcome, row), strict=True))
        for row in done.outcome.benchmark.rows
    }
    assert rows["Bank + Ours"]["image AUROC, paper"] == "91.70 ± 0.30"
    assert rows["Bank + Ours"]["FPR@95TPR, paper"] == "48.00"
    assert rows["Bank"]["seeds"] == rows["Both"]["seeds"] == "2 of 2"
    results = [entry.result for entry in done.outcome.planned]
    figures = [result.measures["fpr_at_95_tpr"] for result in results if result is not None]
    means = [statistics.mean(figures[seed::2]) for seed in (0, 1)]
    mean, std = statistics.mean(means), statistics.stdev(means)
    assert std > 0
    assert rows["Both"]["FPR@95TPR"] == f"{100 * mean:.2f} ± {100 * std:.2f}"
    values = to_json(done.outcome, COMMAND)["rows"][2]["ours"]["fpr_at_95_tpr"]
    assert (values["mean"], values["std"]) == pytest.approx((mean, std))
    said = caption(done.outcome)[-1]
    assert "standard deviation of the sample (n − 1)" in said
    assert "AU-PRO" not in said


def test_histograms_show_good_seen_and_unseen(done: Done) -> None:
    drawn = (done.out / "histograms-1.svg").read_text()
    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - our own file
    for text in ("Bank + Ours", "good", "defective, seen kinds", "defective, unseen kinds"):
        assert text in drawn
    assert "histograms-1.svg" in (done.out / "results.md").read_text()


def test_models_go_and_figures_stay(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any((entry.folder / MODEL).exists() for entry in done.outcome.planned)

    def never(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("trained again")

    monkeypatch.setattr(running, "train", never)
    again = planned(done.data, done.out)
    run_benchmark(again, Run())
    assert to_json(again, COMMAND) == to_json(done.outcome, COMMAND)


def test_a_lost_row_is_made_again_from_the_kept_detector(done: Done, tmp_path: Path) -> None:
    out = Path(shutil.copytree(done.out, tmp_path / "out"))
    again = planned(done.data, out)
    before = again.planned[3].result
    shutil.rmtree(again.planned[3].folder)
    assert run_counting(again, out) == 0
    after = again.planned[3].result
    assert before is not None
    assert after is not None
    assert after.measures == before.measures
