"""Versions of a model: kept beside it, one step from one to another, and a log that tells each change."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from brightness_model import make_manifest, save_model
from flawscope import folders
from flawscope.errors import BundleError, OptionError, OutputError
from flawscope.runtime import bundle, versions
from flawscope.runtime.calibration import Calibration
from versioned import candidate, changes, entries, first, switched


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return first(tmp_path / "model")


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


def test_a_model_comes_back_from_its_own_kept_copy(model: Path) -> None:
    one, two = switched(model, 2)
    assert versions.rollback(model).id == one
    for to in (one, None):
        (model / bundle.GRAPH).unlink()
        assert versions.rollback(model, to).id == one
        bundle.load(model)
        assert changes(model)[-1] == ("mended", one, one)
    shutil.rmtree(model)
    assert versions.rollback(model).id == one
    bundle.load(model)
    kept = [one, two, "damaged-1", "damaged-2", "log.jsonl"]
    assert entries(versions.folder_of(model)) == sorted(kept)


def test_a_model_comes_back_from_the_only_kept_copy(model: Path) -> None:
    own = versions.keep(model).id
    with pytest.raises(OptionError, match="got none"):
        versions.rollback(model)
    (model / bundle.GRAPH).unlink()
    assert versions.rollback(model).id == own
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
