"""Files, folders, patterns and a watched folder."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from flawscope.errors import DataError
from flawscope.station.sources import collect, collect_good, watch


def test_folders_are_read_with_all_below_and_each_picture_once(good_pictures: Callable[..., Path]) -> None:
    folder = good_pictures(2)
    (folder / "night").mkdir()
    shutil.copy(folder / "000.png", folder / "night" / "900.png")
    (folder / "notes.txt").write_text("no picture")
    found = collect([folder, folder / "000.png", f"{folder}/*.png"])
    assert [path.name for path in found] == ["000.png", "001.png", "900.png"]


def test_a_named_file_is_kept_even_where_it_is_missing_or_no_picture(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    assert collect([text, tmp_path / "absent.png"]) == [text, tmp_path / "absent.png"]


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one picture"):
        collect([tmp_path])
    with pytest.raises(DataError, match="at least one matching file"):
        collect([f"{tmp_path}/*.png"])


def test_a_watched_folder_yields_pictures_once_and_again_when_rewritten(
    good_pictures: Callable[..., Path],
) -> None:
    folder = good_pictures(1)
    stop = threading.Event()
    stream = watch(folder, stopped=stop.is_set, interval=0.01, settle=0.02)
    assert next(stream).name == "000.png"
    (folder / "001.png").write_bytes((folder / "000.png").read_bytes())
    assert next(stream).name == "001.png"
    (folder / "001.png").write_bytes((folder / "000.png").read_bytes() + b"\0")
    assert next(stream).name == "001.png"
    stop.set()
    assert list(stream) == []


def test_a_watched_tree_is_read_as_any_folder_is(good_pictures: Callable[..., Path], tmp_path: Path) -> None:
    folder = good_pictures(1)
    for name in ("night", ".hidden", "out"):
        (folder / name).mkdir()
        shutil.copy(folder / "000.png", folder / name / f"{name}.png")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(folder / "000.png", elsewhere / "900.png")
    (folder / "away.png").symlink_to(elsewhere / "900.png")
    (folder / "more").symlink_to(elsewhere)
    (folder / "night/up").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    looks = iter([False] * 8 + [True])
    watched = watch(folder, stopped=lambda: next(looks), besides=folder / "out", settle=0.02)
    expected = ["000.png", "900.png", "away.png", "night.png"]
    assert sorted(path.name for path in watched) == expected
    assert sorted(path.name for path in collect([folder], besides=folder / "out")) == expected
    looks = iter([False, False, False, True])
    assert list(watch(folder, stopped=lambda: next(looks), besides=folder, settle=0.01)) == []


def test_what_a_folder_leaves_out_is_told(good_pictures: Callable[..., Path]) -> None:
    folder = good_pictures(1)
    (folder / "b.heic").write_bytes(b"x")
    (folder / "out").mkdir()
    (folder / "out" / ".c.png").write_bytes(b"x")
    lines: list[str] = []
    collect([folder], besides=folder / "out", tell=lines.append)
    assert lines == ["1 left out (.heic is not read; convert it to PNG): good/b.heic."]


def test_patterns_follow_links_and_read_each_folder_once(
    good_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = good_pictures(1)
    (folder / "night").mkdir()
    shutil.copy(folder / "000.png", folder / "night" / "900.png")
    (folder / "night/up").symlink_to(folder)
    (folder / "gone.png").symlink_to(tmp_path / "absent.png")
    found = collect([f"{folder}/**/*.png"])
    assert [path.name for path in found] == ["000.png", "gone.png", "900.png"]


@pytest.mark.parametrize("name", ["NG", "scratch", "good/NG", "test/scratch"])
def test_good_pictures_are_not_taken_from_folders_with_defective_ones(
    good_pictures: Callable[..., Path], name: str
) -> None:
    root = good_pictures(1, name="nut/good").parent
    good_pictures(1, name="nut/good/day")
    good_pictures(1, name="nut/test/OK")
    assert len(collect_good([root / "good", root / "test"], tell=print)) == 3
    good_pictures(1, name=f"nut/{name}")
    with pytest.raises(DataError, match=r"expected nothing but good pictures, got a folder (NG|scratch)"):
        collect_good([root], tell=print)
