"""`flawscope weights` as a user calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flawscope.nn.backbones.weights import CACHE, FOLDERS


def test_the_table_tells_names_and_places_whole(
    flawscope: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "a_folder_with_a_name_longer_than_the_column" / "and_another_one_in_it"
    folder.mkdir(parents=True)
    (folder / "[bold]mine.safetensors").write_bytes(b"")
    monkeypatch.setenv(FOLDERS, str(folder))
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    ended = flawscope("weights")
    assert ended.code == 0
    cells = [line.split("│")[1:] for line in ended.out.splitlines() if line.startswith("│")]
    assert str(folder / "[bold]mine.safetensors") in "".join(row[3].strip() for row in cells)
    assert "[bold]mine" in "".join(row[0].strip() for row in cells)
    listed = [json.loads(line) for line in flawscope("weights", "--json").out.splitlines()]
    assert "[bold]mine" in {entry["name"] for entry in listed}
