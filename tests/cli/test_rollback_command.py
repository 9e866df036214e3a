"""`flawscope rollback`: back to an earlier version, and a list of them."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brightness_model import save_model
from flawscope.runtime import bundle, versions


@pytest.fixture
def switched(tmp_path: Path) -> tuple[Path, str, str]:
    """A model that has followed another, and both names."""
    model = save_model(tmp_path / "model").folder
    before = versions.name_of(model)
    made = save_model(versions.candidate_place(model), divide_by=2).folder
    return model, str(before), versions.switch(model, made, {"event": "update"}).id


def test_back_and_forth(flawscope: Callable[..., Any], switched: tuple[Path, str, str]) -> None:
    model, one, two = switched
    back = flawscope("rollback", model)
    assert back.code == 0
    assert f"version {one}, in place of {two}" in back.out
    assert f"Back again: flawscope rollback {model} --to {two}" in back.out
    forth = flawscope("rollback", model, "--to", two[:6], "--json")
    assert json.loads(forth.out)["now"] == two
    again = flawscope("rollback", model, "--to", two)
    assert (again.code, "was this version already" in again.err) == (0, True)


def test_listing_writes_nothing(flawscope: Callable[..., Any], switched: tuple[Path, str, str]) -> None:
    model, one, two = switched
    lines = flawscope("rollback", model, "--list").out.splitlines()
    assert [line.split()[0] for line in lines] == [one, two]
    assert lines[1].endswith("by update  in use")
    (first, second) = json.loads(flawscope("rollback", model, "--list", "--json").out)["versions"]
    assert (first["id"], first["current"], second["by"]) == (one, False, "update")


def test_the_list_tells_what_made_a_version_that_somebody_returned_to(
    flawscope: Callable[..., Any], switched: tuple[Path, str, str]
) -> None:
    model, one, two = switched
    assert flawscope("rollback", model).code == flawscope("rollback", model, "--to", two).code == 0
    listed = json.loads(flawscope("rollback", model, "--list", "--json").out)["versions"]
    assert {version["id"]: version["by"] for version in listed} == {one: None, two: "update"}


def test_the_list_dates_a_model_by_when_it_was_made(flawscope: Callable[..., Any], tmp_path: Path) -> None:
    model = save_model(tmp_path / "model").folder
    os.utime(model / bundle.MANIFEST, (1e9, 1e9))
    made = save_model(versions.candidate_place(model), divide_by=2).folder
    versions.switch(model, made)
    (first, _) = flawscope("rollback", model, "--list").out.splitlines()
    assert first.split()[1] == "2001-09-09"
    versions.rollback(model)
    assert flawscope("rollback", model, "--list").out.splitlines()[-1] == f"{first}  in use"


@pytest.mark.parametrize("arguments", [[], ["--list"], ["--keep", "0"]])
def test_a_version_has_no_versions(
    flawscope: Callable[..., Any], switched: tuple[Path, str, str], arguments: list[str]
) -> None:
    model, one, _ = switched
    ended = flawscope("rollback", versions.folder_of(model) / one, *arguments)
    assert (ended.code, "got a version of model, which stays as it is" in ended.err) == (2, True)


def test_a_command_to_copy_has_paths_with_blanks_in_quotes(
    flawscope: Callable[..., Any], switched: tuple[Path, str, str], tmp_path: Path
) -> None:
    model = (tmp_path / "model").rename(tmp_path / "left bracket")
    versions.folder_of(tmp_path / "model").rename(versions.folder_of(model))
    told = flawscope("rollback", model).out
    (command,) = re.findall("Back again: flawscope (.*)", told)
    assert flawscope(*shlex.split(command)).code == 0
    assert versions.name_of(model) == switched[2]


def test_old_versions_are_removed_when_asked(
    flawscope: Callable[..., Any], switched: tuple[Path, str, str]
) -> None:
    model, one, two = switched
    stays = flawscope("rollback", model, "--keep", "1")
    assert stays.out.strip() == f"No version was removed. Kept: {one}."
    both = flawscope("rollback", model, "--keep", "1", "--list")
    assert (both.code, "neither --to nor --list" in both.err) == (2, True)
    gone = flawscope("rollback", model, "--keep", "0")
    assert gone.out.strip() == f"Removed: {one}. Kept: none but the model in use."
    assert json.loads(flawscope("rollback", model, "--keep", "0", "--json").out) == {
        "removed": [],
        "kept": [],
    }
    assert versions.name_of(model) == two


def test_nothing_to_return_to(flawscope: Callable[..., Any], tmp_path: Path) -> None:
    model = save_model(tmp_path / "model").folder
    for arguments in ([], ["--to", "abc"]):
        ended = flawscope("rollback", model, *arguments)
        assert (ended.code, len(ended.err.splitlines())) == (2, 1)
        assert "expected an earlier version of it, got none" in ended.err
    assert flawscope("rollback", model, "--list").code == 0
    for arguments in ([], ["--list"], ["--to", "abc"]):
        ended = flawscope("rollback", tmp_path / "typo", *arguments)
        assert (ended.code, "got no such folder. Check the path" in ended.err) == (5, True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
