"""A watched folder: pictures as they arrive, whatever happens to files and folders meanwhile."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from pathlib import Path

import pytest
from PIL import Image

from flawscope.station import arrivals as module
from flawscope.station import tree
from watcher import CLOCK, Watcher, older, write


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", CLOCK)


def test_pictures_arrive_once_oldest_first_and_again_when_rewritten(tmp_path: Path) -> None:
    for index, name in enumerate(("b.png", "c.PNG", "a.jpg")):
        older(write(tmp_path / name), 100 - index)
    write(tmp_path / "notes.txt")
    watch = Watcher(tmp_path)
    assert watch.names() == ["b.png", "c.PNG", "a.jpg"]
    assert watch.names() == []
    write(tmp_path / "c.PNG", b"other pixels")
    write(tmp_path / "deep" / "er" / "d.png")
    assert sorted(watch.names()) == ["c.PNG", "d.png"]


def test_a_format_that_is_not_read_is_told_once(tmp_path: Path) -> None:
    for name in ("a.heic", "b.HEIC", "c.png", "notes.txt", ".d.gif"):
        write(tmp_path / name)
    watch = Watcher(tmp_path)
    assert watch.names() == ["c.png"]
    [told] = watch.told
    assert ".heic is not read; convert it to PNG" in told


def test_what_stays_unseen_is_hidden_or_a_result(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/.hidden/b.png", "in/.c.png", "in/out/d.png", "e/f.png"):
        write(tmp_path / name)
    (tmp_path / "in" / "more").symlink_to(tmp_path / "e")
    (tmp_path / "in" / "g.png").symlink_to(tmp_path / "e" / "f.png")
    assert sorted(Watcher(tmp_path / "in", besides=tmp_path / "in/out").names()) == [
        "a.png",
        "f.png",
        "g.png",
    ]
    assert Watcher(tmp_path / "in", besides=tmp_path / "in").names() == []


def test_masks_of_pictures_are_passed_over_and_told_once(tmp_path: Path) -> None:
    """Of one in a folder of masks, or beside its picture by its name or by having no colours."""
    grey, colours = Image.new("L", (8, 8)), Image.new("RGB", (8, 8), (200, 90, 10))
    wanted = ["NG/1.jpg", "caps/7.jpg", "masks/8.jpg", "plain/1.png", "both/9.png", "both/9.jpg"]
    masks = ["NG/1.png", "ground_truth/NG/7_mask.png", "caps/7-gt.png"]
    for name in (*wanted, *masks):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (grey if name in masks else colours).save(tmp_path / name)
    watch = Watcher(tmp_path)
    assert sorted(watch.names()) == sorted(Path(name).name for name in wanted)
    (told,) = watch.told
    assert told.endswith(" is passed over: a mask of a picture, by its name. So are all others.")
    (tmp_path / "caps/7.jpg").unlink()
    grey.save(tmp_path / "caps/7-gt.png", compress_level=0)
    assert watch.names() == ["7-gt.png"]  # of no picture now


def test_links_in_loops_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.png")
    write(tmp_path / "in" / "deep" / "b.png")
    write(tmp_path / "beside.png")
    for link, target in (("deep/up", "in"), ("itself", "in/itself"), ("out", "."), ("twice", "in/deep")):
        (tmp_path / "in" / link).symlink_to(tmp_path / target)
    assert sorted(Watcher(tmp_path / "in").names()) == ["a.png", "b.png"]


def test_what_is_no_regular_file_is_passed_over_and_named_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "null.png").symlink_to("/dev/null")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "later")
    write(tmp_path / "folder.png" / "a.png")
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(tmp_path / "socket.png"))
        watch = Watcher(tmp_path)
        assert watch.names() == ["a.png"]
        assert watch.names() == []
    passed = "is no regular file, and is passed over."
    assert sorted(watch.told) == [
        f"{tmp_path}/nowhere.png leads nowhere yet.",
        *(f"{tmp_path}/{name}.png {passed}" for name in ("null", "pipe", "socket")),
    ]
    write(tmp_path / "later")
    assert watch.names() == ["nowhere.png"]


def test_a_share_that_blinks_is_waited_for_and_nothing_comes_twice(tmp_path: Path) -> None:
    folder, away = tmp_path / "in", tmp_path / "away"
    write(folder / "a.png")
    write(folder / "deep" / "b.png")
    watch = Watcher(folder)
    assert sorted(watch.names()) == ["a.png", "b.png"]
    folder.rename(away)
    assert watch.names() == []
    assert watch.told == [f"{folder} cannot be read (no such file or directory); waiting until it can."]
    write(away / "deep" / "c.png")
    away.rename(folder)
    assert watch.names() == ["c.png"]
    assert watch.told[1:] == [f"{folder} can be read again."]


def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    watch = Watcher(tmp_path / "share" / "in")
    assert watch.names() == []
    write(tmp_path / "share" / "in" / "a.png")
    assert watch.names() == ["a.png"]
    assert len(watch.told) == 2


def test_a_folder_that_is_removed_and_made_again_is_watched_again(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    older(write(folder / "a.png"), 100)
    watch = Watcher(folder)
    assert watch.names() == ["a.png"]
    shutil.rmtree(folder)
    write(folder / "a.png", b"another one of this name")
    write(folder / "b.png")
    assert sorted(watch.names()) == ["a.png", "b.png"]
    shutil.rmtree(folder)
    folder.write_text("a file in its place")
    assert watch.names() == []
    folder.unlink()
    write(folder / "c.png")
    assert watch.names() == ["c.png"]


def test_a_folder_whose_listing_fails_for_a_while_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.png")
    write(tmp_path / "shut" / "b.png")
    listed = os.listdir

    def refused(path: str) -> list[str]:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr("os.listdir", refused)
    watch = Watcher(tmp_path)
    assert watch.names() == ["a.png"]
    monkeypatch.setattr("os.listdir", listed)
    assert watch.names() == ["b.png"]
    assert watch.told == [
        f"{tmp_path}/shut cannot be read (permission denied); waiting until it can.",
        f"{tmp_path}/shut can be read again.",
    ]


def test_a_picture_that_could_not_be_read_comes_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    watch = Watcher(tmp_path, patience=1.2)
    seen = 0
    for arrived in watch():
        assert arrived == path
        seen += 1
        if seen == 1:
            start = CLOCK.monotonic()
            watch.arrivals.again(arrived)
        else:
            assert CLOCK.monotonic() - start >= 0.9
    assert seen == 2
    watch.arrivals.again(path)
    write(path, b"written again meanwhile")  # which is waited for no longer
    assert Watcher.names(watch) == ["a.png"]


def test_a_file_that_grows_is_waited_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    watch = Watcher(tmp_path, settle=0.2)
    end = CLOCK.monotonic() + 0.4

    def growing() -> bool:
        if CLOCK.monotonic() < end:
            with path.open("ab") as stream:
                stream.write(b"more")
        return watch._quiet()

    watch.arrivals._stopped = growing
    watch._patience = 1.0
    seen = [(arrived, CLOCK.monotonic()) for arrived in watch()]
    assert len(seen) == 1
    assert seen[0][1] >= end + 0.15


def test_a_file_that_is_renamed_into_place_arrives_at_first_sight(tmp_path: Path) -> None:
    watch = Watcher(tmp_path, settle=0)
    assert watch.names() == []
    part = write(tmp_path / "a.png.part")
    assert watch.names() == []
    part.rename(tmp_path / "a.png")
    assert watch.names() == ["a.png"]
    write(tmp_path / "b.tmp", b"the next one").replace(tmp_path / "a.png")
    assert watch.names() == ["a.png"]


@pytest.mark.parametrize("lock", ["a.png.lock", "a.lck"])
def test_a_file_beside_its_lock_file_is_waited_for(tmp_path: Path, lock: str) -> None:
    write(tmp_path / lock)
    write(tmp_path / "a.png")
    watch = Watcher(tmp_path)
    assert watch.names() == []
    (tmp_path / lock).unlink()
    assert watch.names() == ["a.png"]


def test_a_file_that_its_writer_has_locked_is_waited_for(tmp_path: Path) -> None:
    with write(tmp_path / "a.png").open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        watch = Watcher(tmp_path)
        assert watch.names() == []
    assert watch.names() == ["a.png"]


def test_only_what_changed_is_listed_and_only_some_files_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty folders of twenty pictures stand for a hundred thousand: the costs of a look are counted."""
    monkeypatch.setattr(module, "_LATEST", 10)
    monkeypatch.setattr(module, "_OTHERS", 5)
    monkeypatch.setattr(tree, "_ANEW", 1e9)
    for folder in range(20):
        for name in range(20):
            older(write(tmp_path / f"f{folder}" / f"{name}.png"), 1000 - folder)
        older(tmp_path / f"f{folder}", 500)
    older(tmp_path, 500)
    watch = Watcher(tmp_path)
    assert len(watch.names()) == 400
    listed: list[str] = []
    asked: list[str] = []
    listdir, stat = os.listdir, os.stat
    monkeypatch.setattr("os.listdir", lambda path: listed.append(path) or listdir(path))
    monkeypatch.setattr("os.stat", lambda path, **how: asked.append(str(path)) or stat(path, **how))
    looks = 0
    look = watch.arrivals._look

    def counted(*values: object) -> None:
        nonlocal looks
        looks += 1
        look(*values)  # type: ignore[arg-type]

    watch.arrivals._look = counted  # type: ignore[method-assign]
    assert watch.names() == []
    assert listed == []
    assert len([path for path in asked if path.endswith(".png")]) <= 15 * looks
    write(tmp_path / "f7" / "new.png")
    assert watch.names() == ["new.png"]
    assert set(listed) == {f"{tmp_path}/f7"}
    write(tmp_path / "f0" / "0.png", b"an old one, written again")  # its folder's time stands still
    watch._patience = 1.0
    assert watch.names() == ["0.png"]


def test_files_and_folders_that_go_meanwhile_are_forgotten(tmp_path: Path) -> None:
    for index in range(30):
        write(tmp_path / f"f{index % 3}" / f"{index}.png")
    watch = Watcher(tmp_path)
    seen = []
    for path in watch():
        seen.append(path)
        if len(seen) == 3:
            shutil.rmtree(tmp_path / "f1")
    assert len(seen) == 30  # already arrived: whoever reads them is told that they are gone
    assert watch.names() == []
    assert len(watch.arrivals._known) == 20
    write(tmp_path / "f1" / "1.png", b"another")
    assert watch.names() == ["1.png"]
