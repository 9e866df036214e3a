"""The log of a model's versions, and commands that are killed or come at once."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from brightness_model import save_model
from flawscope import folders
from flawscope.runtime import bundle, chain, versions
from killing import killed_at_each_step
from versioned import candidate, changes, entries, first, switched


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return first(tmp_path / "model")


def test_commands_at_once_wait_for_each_other(model: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: versions.logged(model, {"event": number}), range(8)))
    assert sorted(event for event, *_ in changes(model)) == list(range(8))


def test_further_events_join_the_chain(model: Path) -> None:
    switched(model, 2)
    versions.logged(model, {"event": "review", "note": "scratch is allowed"})
    assert [row.entry["event"] for row in versions.rows(model)] == ["switch", "review"]
    log = versions.folder_of(model) / "log.jsonl"
    log.write_text(log.read_text().replace("scratch", "dent"))
    assert str(chain.verify(versions.rows(model))) == "row 2 was changed"


def test_a_damaged_line_of_the_log_stays_as_it_is(model: Path) -> None:
    switched(model, 2)
    log = versions.folder_of(model) / "log.jsonl"
    log.write_text("scribbled\n")
    versions.logged(model, {"event": "review"})
    assert log.read_text().splitlines()[0] == "scribbled"
    assert str(chain.verify(versions.rows(model))) == "row 1 was changed"


@pytest.mark.parametrize(
    ("work", "at_once"),
    [
        ("switch", True),
        ("rollback", False),
        *(
            pytest.param(*other, marks=pytest.mark.slow)
            for other in (("switch", False), ("rollback", True), ("changing", True), ("changing", False))
        ),
    ],
)
def test_killed_at_any_step_the_old_or_the_new_model_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str, at_once: bool
) -> None:
    """After each kill the model loads, and the next command clears up and logs what came about, once."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # a kill is no power cut
    if not at_once:
        monkeypatch.setattr(folders, "_exchange_call", lambda: None)
    start, model = tmp_path / "start" / "model", tmp_path / "model"
    event = {"changing": "calibrate"}.get(work, work)
    save_model(start)
    one, two = switched(start, 2)
    (start / "report.html").write_text("report")
    if work == "switch":
        candidate(start, 3)

    def fresh() -> None:
        for folder in (model, versions.folder_of(model)):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, model)
        shutil.copytree(versions.folder_of(start), versions.folder_of(model))

    def working() -> None:
        if work == "switch":
            versions.switch(model, versions.candidate_place(model))
        elif work == "rollback":
            versions.rollback(model, one)
        else:
            with versions.changing(model, {"event": "calibrate"}):
                found = bundle.load(model)
                calibration = found.manifest.calibration.with_settings(alpha=0.2)
                bundle.replace_manifest(found, found.manifest.model_copy(update={"calibration": calibration}))

    outcomes = set()
    for step in killed_at_each_step(fresh, working):
        now = bundle.load(model)  # which puts a folder back that three renames took away
        outcomes.add(changed := versions.name_of(model) != two)
        versions.logged(model, {"event": "next"})
        assert [event for event, *_ in changes(model)] == ["switch", *([event] * changed), "next"]
        assert bundle.load(model).manifest == now.manifest
        assert (model / "report.html").read_text() == "report"
        assert entries(tmp_path) == ["model", "model.versions", "start"]
        left = {name for name in entries(versions.folder_of(model)) if name not in (one, two)}
        assert left <= {"log.jsonl", "candidate"}, step
        assert ("candidate" in left) == (work == "switch" and not changed)
        assert not any(path.name.startswith(".part-") for path in tmp_path.rglob("*"))
        for version in versions.history(model):
            bundle.load(version.folder)
    assert outcomes == {True, False}
