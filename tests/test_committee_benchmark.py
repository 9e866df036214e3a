"""The measurement of the committee: a whole row of small members, its tables, and that it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from flawscope.methods.detector import Detector
    from flawscope.nn.watch import Watch

Load = Callable[[str], ModuleType]
NETWORK = {"backbone": "test_resnet", "weights": "random"}
OPTIONS = {
    "size": [64, 64],
    "members": [
        {"method": "padim", "name": "joined_banks", "options": {**NETWORK, "channels": 8}},
        {"method": "patchcore", "name": "csad", "options": {**NETWORK, "coreset": 0.1}},
    ],
}


def test_a_row_is_measured_once_and_fits_are_kept(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    from flawscope.methods.running import score
    from flawscope.nn.run import Run

    benchmark, fits = load("committee"), load("_csad_fits")
    counts = {"train": 6, "validation": 4, "test_good": 2}
    monkeypatch.setattr(
        load("_committee_places"),
        "rendered",
        lambda work, product, seed, size, per_flaw: fits.rendered(
            work, product, seed, size=64, counts=counts, per_flaw=1
        ),
    )
    out, page = tmp_path / "out.json", tmp_path / "out.md"
    given = ["--data", str(tmp_path), "--work", str(tmp_path / "work"), "--json", str(out)]
    given += ["--products", "pin_tray", "--options", json.dumps(OPTIONS), "--markdown", str(page)]
    assert benchmark.main([*given, "--fit", "csad"]) == 0
    assert not out.exists()
    capsys.readouterr()
    assert benchmark.main([*given, "--plan"]) == 0
    assert "pin_tray, seed 0: joined_banks to fit, csad kept" in capsys.readouterr().out
    alone, measure = {}, benchmark.localised

    def noted(detectors: Mapping[str, Detector], place: Any, watch: Watch) -> Any:
        pictures = place.pictures("test", detectors["csad"].options.frame)
        alone["csad"] = score(detectors["csad"], pictures, Run(0), keep=("score",))["score"]
        return measure(detectors, place, watch)

    monkeypatch.setattr(benchmark, "localised", noted)
    assert benchmark.main([*given, "--pixels"]) == 0
    monkeypatch.setattr(benchmark, "measured", lambda *_: pytest.fail("it is measured again"))
    assert benchmark.main(given) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert set(row["raw"]["test"]) == {"joined_banks", "csad"}
    kept = np.array(row["raw"]["test"]["csad"].split(), float)
    assert alone["csad"] == pytest.approx(kept, rel=1e-5), "a member that is not the one fitted before"
    assert set(row["pixels"]) == {"committee", "joined_banks", "csad"}
    assert all(0 < one["pixel_auroc"] < 1 and 0 <= one["aupro_0.3"] < 1 for one in row["pixels"].values())
    assert "| mean |" in page.read_text()
    assert "| pixel AUROC, AU-PRO 0.3 | committee | joined_banks | csad |" in page.read_text()
    assert "| logical flaws | committee, largest | committee, sum |" in page.read_text()


def test_tables_are_of_the_raw_scores(load: Load) -> None:
    pytest.importorskip("torch")
    tables = load("_committee_tables")
    random = np.random.default_rng(0)
    kinds = "g" * 40 + "s" * 20 + "l" * 20
    letters = np.array(list(kinds))
    raw = {
        "tuning": {name: random.normal(size=20) for name in "abd"},
        "test": {
            "a": random.normal(size=80) + 4 * (letters == "s"),
            "b": random.normal(size=80) + 4 * (letters == "l"),
            "d": 99 * random.normal(size=80),
        },
    }
    row = {
        "product": "x",
        "members": ["a", "b", "c", "d"],
        "left_out": {"c": "it refused", "d": "it is idle"},
        "pictures": {"training": 9, "tuning": 20, "test": 80},
        "seed": 0,
        "fit_seconds": {"a": 1.0, "b": 2.0, "d": 3.0},
        "kinds": kinds,
        "raw": {part: {k: " ".join(map(str, v)) for k, v in each.items()} for part, each in raw.items()},
    }
    found = tables.figures(row)
    assert found["a"]["structural"] > 0.97
    assert found["a"]["all"] < 0.8
    for join in ("largest", "sum"):
        assert found[f"committee, {join}"]["all"] > 0.95
    assert "c" not in found
    assert found["d"]["all"] < 0.7
    text = tables.page({"rows": [row], "runs": []})
    assert "| x | 0 | 9, 20, 80 | 1 | 2 | refused | 3, left out | – |" in text
    assert "- x, seed 0: d is left out: it is idle." in text
    assert next(line for line in text.splitlines() if line.startswith("| mean")).split(" | ")[5] == "–"
