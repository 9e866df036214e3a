"""The calibration study: predicted against measured, and that it notices a wrong threshold."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from flawscope.runtime.calibration import Calibration

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "false_rejects.py"


@pytest.fixture(scope="module")
def script():
    if not SCRIPT.exists():
        pytest.skip("the benchmarks are not part of this copy")
    spec = importlib.util.spec_from_file_location("false_rejects_study", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("promise", ["with_confidence", "on_average"])
@pytest.mark.parametrize(("size", "alpha"), [(300, 0.01), (100, 0.05), (50, 0.01)])
def test_measured_agrees_with_predicted(script, promise, size, alpha):
    case = script.split_study(script.synthetic_scores(600), size, alpha, promise, rounds=300)
    assert case["agrees"]
    difference = case["mean_rate_measured"] - case["mean_rate_predicted"]
    assert abs(difference) < 4 * case["mean_rate_standard_error"]
    assert sum(case["rejected"]) == 300
    assert case["mean_rate_predicted"] <= case["alpha_kept"] + 1e-12


def test_a_threshold_that_is_too_low_is_noticed(script, monkeypatch):
    too_low = property(lambda self: self.scores[-self.rank - 2])
    monkeypatch.setattr(Calibration, "reject_threshold", too_low)
    case = script.split_study(script.synthetic_scores(600), 300, 0.01, "with_confidence", rounds=300)
    assert not case["agrees"]


def test_files_are_read(script, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([1, 2.5]))
    (tmp_path / "b.json").write_text(json.dumps({"scores": [1, 2.5]}))
    (tmp_path / "c.csv").write_text("path,score\nx.png,1\ny.png,2.5\n")
    for name in ("a.json", "b.json", "c.csv"):
        np.testing.assert_array_equal(script.read_scores(tmp_path / name), [1, 2.5])
