"""A candidate takes the place of a model if the gate passes; a kill leaves the old or the new one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model
from flawscope.errors import BundleError, OptionError
from flawscope.runtime import bundle, chain, versions
from flawscope.station import calibrate as calibrating
from flawscope.station.gate import Gate
from killing import killed_at_each_step

Run = Callable[..., Any]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """It rejects from 0.6 on; at a rate of 20 % from less."""
    return save_model(tmp_path / "model").folder


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """No good part may be rejected newly; of the gate's pictures one lies between both thresholds."""
    for kind, levels in (("good", (40, 60, 146)), ("bent", (220, 230))):
        (tmp_path / "gate" / "test" / kind).mkdir(parents=True)
        for level in levels:
            pixels = np.full((24, 24), level, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "gate" / "test" / kind / f"{level}.png")
    (tmp_path / "gate" / "train" / "good").mkdir(parents=True)
    path = tmp_path / "GATE.yaml"
    path.write_text("data: gate\nmost_new_misses: 0\nmost_new_false_rejects: 0\n")
    return path


def events(model: Path) -> list[Any]:
    rows = versions.rows(model)
    assert chain.verify(rows) is None
    return [row.entry["event"] for row in rows]


def test_calibrate_keeps_the_model_before(flawscope: Run, model: Path) -> None:
    before = bundle.load(model).manifest
    assert flawscope("calibrate", model, "--false-rejects", "20%").code == 0
    assert bundle.load(model).manifest.calibration.alpha == 0.2
    (row,) = versions.rows(model)
    assert "20 %" in row.entry["promise"]
    assert flawscope("rollback", model).code == 0
    assert bundle.load(model).manifest == before
    assert events(model) == ["calibrate", "rollback"]


def test_calibrate_that_changes_nothing_keeps_nothing(flawscope: Run, model: Path) -> None:
    assert flawscope("calibrate", model, "--json").code == 0
    assert not versions.folder_of(model).exists()


def test_calibrate_works_where_no_version_can_be_kept(flawscope: Run, model: Path) -> None:
    versions.folder_of(model).write_text("in the way")
    ended = flawscope("calibrate", model, "--false-rejects", "20%")
    assert (ended.code, "was not kept" in ended.err) == (0, True)
    assert bundle.load(model).manifest.calibration.alpha == 0.2


@pytest.mark.parametrize("gated", [True, False])
def test_a_model_that_changes_meanwhile_is_not_calibrated(
    gated: bool, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = calibrating.recalibrated

    def slow(*given: Any, **wishes: Any) -> Any:
        monkeypatch.setattr(calibrating, "recalibrated", found)
        calibrating.calibrate(model, alpha=0.3)  # as another command does
        return found(*given, **wishes)

    monkeypatch.setattr(calibrating, "recalibrated", slow)
    with pytest.raises(BundleError, match="the model as it was when work began, got one that changed"):
        calibrating.calibrate(model, alpha=0.2, gate=Gate(most_new_misses=0) if gated else None)
    assert bundle.load(model).manifest.calibration.alpha == 0.3


def test_a_gate_that_does_not_hold_leaves_the_model(flawscope: Run, model: Path, gate: Path) -> None:
    before = versions.name_of(model)
    ended = flawscope("calibrate", model, "--false-rejects", "20%", "--gate", gate)
    assert ended.code == 9
    assert "FAILS  most_new_false_rejects: 1 of 3 good pictures, 0 allowed" in ended.out
    candidate = versions.folder_of(model) / "candidate"
    assert f"The candidate is at {candidate}." in ended.out
    assert versions.name_of(model) == before
    assert bundle.load(candidate).manifest.calibration.alpha == 0.2
    (row,) = versions.rows(model)
    assert (row.entry["event"], row.entry["by"]) == ("refused", "calibrate")
    assert row.entry["failed"] == ["most_new_false_rejects"]


def test_a_gate_that_holds_switches(flawscope: Run, model: Path, gate: Path) -> None:
    before = versions.name_of(model)
    ended = flawscope("calibrate", model, "--false-rejects", "6%", "--gate", gate, "--json")
    told = json.loads(ended.out)
    assert (ended.code, told["in_use"], told["before"]) == (0, True, before)
    assert bundle.load(model).manifest.calibration.alpha == 0.06
    assert (model / bundle.GRAPH).samefile(versions.folder_of(model) / str(before) / bundle.GRAPH)
    assert not (versions.folder_of(model) / "candidate").exists()
    assert flawscope("rollback", model).code == 0
    assert events(model) == ["calibrate", "rollback"]


def test_a_gate_without_pictures_changes_nothing(flawscope: Run, model: Path, gate: Path) -> None:
    shutil.rmtree(gate.parent / "gate")
    before = versions.name_of(model)
    assert flawscope("calibrate", model, "--false-rejects", "20%", "--gate", gate).code == 3
    assert versions.name_of(model) == before


def test_a_kept_version_is_not_changed(flawscope: Run, model: Path) -> None:
    kept = versions.keep(model)
    ended = flawscope("calibrate", kept.folder, "--false-rejects", "20%")
    assert (ended.code, "a version of model, which stays as it is" in ended.err) == (2, True)
    with pytest.raises(OptionError, match="a model in use"):
        versions.candidate_place(kept.folder)


def test_calibrate_with_a_gate_killed_at_any_step(
    model: Path, gate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # a kill is no power cut
    monkeypatch.setattr(calibrating, "switch_if_it_passes", switch_at_once)  # engines know no fork
    work = tmp_path / "work" / "model"
    before, outcomes = versions.name_of(model), set()

    def fresh() -> None:
        shutil.rmtree(work.parent, ignore_errors=True)
        shutil.copytree(model, work)

    def calibrate() -> None:
        calibrating.calibrate(work, alpha=0.06, gate=Gate(most_new_misses=0))

    for _ in killed_at_each_step(fresh, calibrate):
        now = bundle.load(work).manifest.calibration.alpha
        outcomes.add(changed := versions.name_of(work) != before)
        assert now == (0.06 if changed else 0.05)
        versions.keep(work)
        assert events(work) == ["calibrate"] * changed
        left = {path.name for path in work.parent.iterdir()}
        assert left == {"model", "model.versions"}
    assert outcomes == {True, False}


def switch_at_once(model: Path, candidate: Path, gate: Gate, event: Any, **_: Any) -> Any:
    versions.switch(model, candidate, event)
    return type("Passed", (), {"folder": model})()
