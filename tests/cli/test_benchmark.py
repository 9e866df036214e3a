"""`flawscope benchmark`: the list, a run with its files, and one clear line for every mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarked import BENCHMARK, write_product
from flawscope.benchmark.recipe import shipped
from flawscope.methods.registry import available

Run = Callable[..., Any]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The small benchmark as a file of the user's."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(BENCHMARK), encoding="utf-8")
    return path


def test_the_list_names_every_recipe_and_its_source(flawscope: Run) -> None:
    listed = flawscope("benchmark", "--list")
    assert listed.code == 0
    assert all(name in listed.out for name in shipped())
    entries = json.loads(flawscope("benchmark", "--list", "--json").out)
    assert [entry["name"] for entry in entries] == list(shipped())
    assert all(entry["source"] and entry["rows"] for entry in entries)


def test_one_row_runs_and_the_same_command_only_prints(flawscope: Run, small: Path, tmp_path: Path) -> None:
    write_product(tmp_path / "data" / "square")
    command = ["benchmark", small, "--data", tmp_path / "data", "--out", tmp_path / "out"]
    first = flawscope(*command, "--only", "ten pictures", "--json")
    assert first.code == 0, first.err
    values = json.loads(first.out)
    assert [len(row["runs"]) for row in values["rows"]] == [0, 1, 0]
    assert "circle" in values["rows"][2]["left_out"]
    assert f"--out {tmp_path / 'out'}" in values["command"]
    again = flawscope(*command, "--only", "ten pictures")
    assert "kept from an earlier run" in again.err
    assert "Ten pictures" in again.out
    assert "A paper, table 1" in again.out
    assert json.loads((tmp_path / "out" / "results.json").read_text())["rows"][1]["ours"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "no RECIPE and no --data and no --out"),
        (["efficientad_cdo", "--data", "."], 2, "no --out"),
        (["efficientad_cd", "--data", ".", "--out", "x"], 2, 'Did you mean "efficientad_cdo"'),
        (["small.yaml", "--data", "absent", "--out", "x"], 3, "nothing there"),
        (["small.yaml", "--data", "absent", "--out", "x", "--seeds", "a"], 2, "--seeds"),
        (["small.yaml", "--data", "absent", "--out", "x", "--only", "tenpictures"], 2, "Ten pictures"),
        (["small.yaml", "--data", "absent", "--out", "x", "--precision", "bf61"], 2, 'Did you mean "bf16"'),
        (["small.yaml", "--data", "absent", "--out", "x", "--set", "options.corset=1"], 2, "coreset"),
    ],
)
def test_every_mistake_ends_as_one_line(
    flawscope: Run,
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(small.parent)
    ended = flawscope("benchmark", *arguments)
    assert ended.code == code
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not Path("x").exists()


@pytest.mark.slow
@pytest.mark.skipif("efficientad" not in available(), reason="the method efficientad is not there yet")
def test_a_shipped_recipe_runs_from_end_to_end(flawscope: Run, tmp_path: Path) -> None:
    write_product(tmp_path / "data", good=24)
    natural = tmp_path / "data" / "train" / "good"
    settings = [
        "options.weights=random",
        "options.size=[64, 64]",
        "data.product=null",
        "split.calibration=0.3",
    ]
    ended = flawscope(
        *("benchmark", "efficientad_pdn_sizes", "--steps", 2, "--only", "small", "--json"),
        *("--data", tmp_path / "data", "--out", tmp_path / "out", "--natural", natural),
        *(part for setting in settings for part in ("--set", setting)),
    )
    assert ended.code == 0, ended.err
    values = json.loads(ended.out)
    assert any("2 steps in place of 70000" in line for line in values["caption"])
    assert set(values["rows"][0]["ours"]) == {"image_auroc", "pixel_auroc", "aupro_30"}
    assert values["rows"][0]["paper_percent"] == {"aupro_30": 84.79}
    (losses,) = (tmp_path / "out").rglob("losses.json")
    assert {"step", "total", "hard", "autoencoder", "stae"} <= set(json.loads(losses.read_text())[0])
