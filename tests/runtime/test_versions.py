"""Versions of a model: kept beside it, one step from one to another, and a log that tells each change."""

from __future__ import annotations

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from brightness_model import make_manifest, save_model
from flawscope import folders
from flawscope.errors import BundleError, OptionError, OutputError
from flawscope.runtime import bundle, chain, versions
from flawscope.runtime.calibration import Calibration
from killing import killed_at_each_step


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Model 1, with a report beside its files."""
    folder = save_model(tmp_path / "model").folder
    (folder / "report").mkdir()
    (folder / "report" / "report.html").write_text("report")
    return folder


def candidate(model: Path, number: float) -> Path:
    """The model `number`, which divides by it, at the place for candidates."""
    return save_model(versions.candidate_place(model), divide_by=number).folder


def switched(model: Path, *numbers: float) -> list[str]:
    """The names of the models in use, one after another."""
    names = [str(versions.name_of(model))]
    return names + [versions.switch(model, candidate(model, number)).id for number in numbers]


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".turn"))


def changes(model: Path) -> list[tuple[Any, ...]]:
    """What the log tells: event, from, to; its chain holds."""
    rows = versions.rows(model)
    assert chain.verify(rows) is None
    return [tuple(row.entry.get(key) for key in ("event", "from", "to")) for row in rows]


def test_a_switch_keeps_the_model_before_and_what_is_none_of_it(model: Path) -> None:
    before = bundle.load(model).manifest
    versions.switch(model, candidate(model, 2), {"event": "update", "pictures": 3})
    first, now = versions.history(model)
    assert (first.current, now.current) == (False, True)
    assert bundle.load(first.folder).manifest == before
    assert bundle.load(model).manifest != before
    assert (model / "report" / "report.html").read_text() == "report"
    assert entries(versions.folder_of(model)) == sorted([first.id, "log.jsonl"])
    assert changes(model) == [("update", first.id, now.id)]
    assert versions.rows(model)[0].entry["pictures"] == 3


def test_keeping_is_done_once_and_takes_no_room(model: Path) -> None:
    kept = versions.keep(model)
    assert versions.keep(model) == kept
    assert (kept.folder / bundle.GRAPH).samefile(model / bundle.GRAPH)
    assert kept.id == kept.folder.name == versions.name_of(model)
    assert entries(kept.folder) == ["manifest.json", "model.onnx"]


def test_a_candidate_shares_the_files_that_stay_the_same(model: Path) -> None:
    with bundle.writing(versions.candidate_place(model)) as draft:
        shutil.copyfile(model / bundle.GRAPH, draft.folder / bundle.GRAPH)
        draft.manifest = make_manifest(calibration=Calibration(scores=(0.1,) * 99, alpha=0.1))
    kept = versions.keep(model)
    versions.switch(model, draft.bundle.folder)
    assert (kept.folder / bundle.GRAPH).samefile(model / bundle.GRAPH)
    bundle.load(model)


def test_files_are_copied_where_the_disk_has_no_links(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    kept = versions.keep(model)
    assert not (kept.folder / bundle.GRAPH).samefile(model / bundle.GRAPH)
    assert bundle.load(kept.folder).manifest == bundle.load(model).manifest


@pytest.mark.parametrize("at_once", [True, False])
def test_each_rollback_goes_further_back(model: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    if not at_once:
        monkeypatch.setattr(folders, "_exchange_call", lambda: None)
    one, two, three = switched(model, 2, 3)
    assert [version.id for version in versions.history(model)] == [one, two, three]
    assert versions.rollback(model).id == two
    assert versions.rollback(model).id == one
    with pytest.raises(OptionError, match="expected an earlier version of it, got none"):
        versions.rollback(model)
    assert versions.rollback(model, three[:5]).id == three
    assert versions.rollback(model).id == one
    assert entries(versions.folder_of(model)) == sorted([one, two, three, "log.jsonl"])
    assert (model / "report" / "report.html").exists()
    assert changes(model)[2:4] == [("rollback", three, two), ("rollback", two, one)]


def test_a_rollback_to_the_model_in_use_changes_nothing(model: Path) -> None:
    _, two = switched(model, 2)
    assert versions.rollback(model, two).current
    assert len(changes(model)) == 1


def test_a_version_that_is_unknown_or_not_unique(model: Path) -> None:
    with pytest.raises(OptionError, match="an earlier version"):
        versions.rollback(model, "abc")
    assert not versions.folder_of(model).exists()
    one, two = switched(model, 2)
    with pytest.raises(OptionError, match=f"an unknown one. Known: {one}, {two}"):
        versions.rollback(model, "xyz")
    (versions.folder_of(model) / f"{one[0]}{'0' * 11}").mkdir()
    shutil.copytree(versions.folder_of(model) / one, versions.folder_of(model) / f"{one[0]}{'1' * 11}")
    with pytest.raises(OptionError, match="the beginning of 2"):
        versions.rollback(model, one[0])


def test_a_damaged_version_is_refused_and_the_model_stays(model: Path) -> None:
    one, two = switched(model, 2)
    graph = versions.folder_of(model) / one / bundle.GRAPH
    graph.write_bytes(b"damaged")
    with pytest.raises(
        BundleError, match=r"got \d+ bytes. Choose another: .* --list. The model in use stays"
    ):
        versions.rollback(model)
    assert versions.name_of(model) == two
    bundle.load(model)


def test_a_damaged_model_can_be_rolled_back_and_is_put_aside(model: Path) -> None:
    one, two = switched(model, 2)
    (model / bundle.GRAPH).write_bytes(b"damaged")
    assert versions.rollback(model).id == one
    bundle.load(model)
    aside = versions.folder_of(model) / "damaged-1"
    assert (aside / bundle.GRAPH).read_bytes() == b"damaged"
    assert changes(model)[-1] == ("rollback", two, one)
    assert (model / "report" / "report.html").exists()


def test_a_model_that_was_deleted_comes_back(model: Path) -> None:
    one, _ = switched(model, 2)
    shutil.rmtree(model)
    assert versions.rollback(model, one).id == one
    bundle.load(model)


def test_a_model_that_was_changed_by_other_means_is_noted(model: Path) -> None:
    _, two = switched(model, 2)
    save_model(model, divide_by=5)
    three = versions.keep(model).id
    assert changes(model)[-1] == ("found", two, three)


def test_versions_that_were_deleted(model: Path) -> None:
    switched(model, 2)
    shutil.rmtree(versions.folder_of(model))
    assert [version.current for version in versions.history(model)] == [True]
    with pytest.raises(OptionError, match="an earlier version"):
        versions.rollback(model)
    assert changes(model) == []
    two, three = switched(model, 3)
    assert changes(model) == [("switch", two, three)]


def test_versions_are_removed_but_those_that_were_in_use_last_and_the_log_tells_it(model: Path) -> None:
    one, two, three, _ = switched(model, 2, 3, 4)
    versions.rollback(model, one)
    versions.switch(model, candidate(model, 5))
    assert versions.remove_but(model, 2) == [two, three]
    kept = [version.id for version in versions.history(model)]
    assert one in kept
    assert len(kept) == 3
    assert changes(model)[-1] == ("removed", None, None)
    assert versions.rows(model)[-1].entry["versions"] == [two, three]
    assert versions.remove_but(model, 2) == []
    assert versions.rollback(model).id == one
    assert bundle.load(model).manifest == bundle.load(versions.history(model)[-1].folder).manifest
    assert len(versions.remove_but(model, 0)) == 2
    with pytest.raises(OptionError, match="an earlier version"):
        versions.rollback(model)


def test_a_version_that_a_recipe_names_is_not_removed(model: Path) -> None:
    one, two, three = switched(model, 2, 3)
    (model / bundle.RECIPE).write_text(f"model: {versions.folder_of(model) / two}\n")
    (versions.folder_of(model) / two / bundle.RECIPE).write_text(f"model: models/m.versions/{one}\n")
    assert versions.remove_but(model, 0) == []
    (versions.folder_of(model) / two / bundle.RECIPE).unlink()
    assert versions.remove_but(model, 0) == [one]
    assert [version.id for version in versions.history(model)] == [two, three]


def test_without_its_log_the_version_kept_last_comes_back(model: Path) -> None:
    _, two, _ = switched(model, 2, 3)
    (versions.folder_of(model) / "log.jsonl").unlink()
    assert versions.rollback(model).id == two


def test_a_link_stands_for_the_model_that_it_leads_to(model: Path, tmp_path: Path) -> None:
    (tmp_path / "line1").symlink_to(model)
    versions.switch(tmp_path / "line1", candidate(tmp_path / "line1", 2))
    assert (tmp_path / "line1").is_symlink()
    assert len(versions.history(model)) == 2
    assert not (tmp_path / "line1.versions").exists()


def test_a_signed_manifest_comes_back_as_it_was(model: Path) -> None:
    text = (model / bundle.MANIFEST).read_bytes()
    switched(model, 2)
    versions.rollback(model)
    assert (model / bundle.MANIFEST).read_bytes() == text


def test_no_model_no_folder_beside_it(tmp_path: Path) -> None:
    for ask in (versions.keep, versions.candidate_place, lambda model: versions.logged(model, {})):
        with pytest.raises(BundleError, match="no such folder"):
            ask(tmp_path / "typo")
    assert entries(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_place_that_takes_nothing(model: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    made = candidate(model, 2)
    before = versions.name_of(model)
    monkeypatch.setattr(folders.tempfile, "TemporaryDirectory", refused)
    with pytest.raises(OutputError, match=f"(?i){os.strerror(number)}"):
        versions.switch(model, made)
    assert versions.name_of(model) == before
    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(OutputError, match=r"(?i)model\.versions: expected a place that can be written"):
        versions.keep(model)
    bundle.load(model)


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
