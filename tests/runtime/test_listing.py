"""Which files of a folder are pictures, and what is said of the rest."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flawscope.errors import InputError
from flawscope.runtime.listing import LeftOut, Listing, list_images, list_pictures, told


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def names(listing: Listing, root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in listing.pictures]


def reasons(listing: Listing, root: Path) -> dict[str, str]:
    return {one.path.relative_to(root).as_posix(): one.reason for one in listing.left_out}


def test_pictures_are_sorted_naturally_whatever_the_case_of_their_ending(tmp_path: Path) -> None:
    fill(tmp_path, "p10.png", "p2.PNG", "notes.txt", "deeper/p1.jpg", "q.tif", "r.JFIF", "Thumbs.db")
    assert [path.name for path in list_images(tmp_path)] == ["p2.PNG", "p10.png", "q.tif", "r.JFIF"]
    assert list_images(tmp_path, recursive=True)[0] == tmp_path / "deeper/p1.jpg"
    assert list_pictures(tmp_path).left_out == []


def test_links_are_followed_out_of_the_folder(tmp_path: Path) -> None:
    fill(tmp_path / "disk", "a.png", "night/b.png")
    good = fill(tmp_path / "good", "c.png")
    (good / "a.png").symlink_to(tmp_path / "disk/a.png")
    (good / "more").symlink_to(tmp_path / "disk/night")
    listing = list_pictures(good)
    assert names(listing, good) == ["a.png", "c.png", "more/b.png"]
    assert listing.left_out == []


def test_folders_that_links_reach_again_are_read_once(tmp_path: Path) -> None:
    fill(tmp_path / "all", "other.png")
    good = fill(tmp_path / "all/good", "day/a.png")
    (good / "again").symlink_to(good / "day")
    (good / "day/up").symlink_to(good)
    (good / "higher").symlink_to(tmp_path)
    (good / "round.png").symlink_to(good / "round.png")
    listing = list_pictures(good)
    assert names(listing, good) == ["day/a.png", "round.png"]
    assert reasons(listing, good) == {
        "again": "a folder that is read already by another way",
        "day/up": "a link back to a folder that holds it",
        "higher": "a link back to a folder that holds it",
    }


def test_a_link_that_leads_nowhere_is_a_picture_that_cannot_be_read_or_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "absent.png")
    (tmp_path / "share").symlink_to(tmp_path / "unmounted")
    listing = list_pictures(tmp_path)
    assert names(listing, tmp_path) == ["gone.png"]
    assert reasons(listing, tmp_path) == {"share": "a link that leads nowhere"}


def test_a_link_to_where_nobody_may_look_costs_no_other_picture(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    beyond = tmp_path / ("x" * 300)  # the system refuses to look, as where a folder on the way is closed
    (tmp_path / "closed.png").symlink_to(beyond)
    (tmp_path / "closed").symlink_to(beyond)
    listing = list_pictures(tmp_path)
    assert names(listing, tmp_path) == ["a.png", "closed.png"]
    assert reasons(listing, tmp_path) == {"closed": "a link that leads nowhere"}


def test_hidden_odd_and_unread_files_are_named(tmp_path: Path) -> None:
    fill(tmp_path, ".a.png", "._b.jpg", ".cache/c.png", ".git/HEAD", "d.HEIC", "e.gif", "f.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    listing = list_pictures(tmp_path)
    assert names(listing, tmp_path) == ["f.png"]
    assert reasons(listing, tmp_path) == {
        "._b.jpg": "hidden, its name begins with a dot",
        ".a.png": "hidden, its name begins with a dot",
        ".cache": "hidden, its name begins with a dot",
        "d.HEIC": ".heic is not read; convert it to PNG",
        "e.gif": ".gif is not read; convert it to PNG",
        "pipe.png": "not a regular file",
    }


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, refuse_listing: Callable[[str], None]
) -> None:
    fill(tmp_path, "a.png", "locked/b.png")
    refuse_listing("locked")
    listing = list_pictures(tmp_path)
    assert names(listing, tmp_path) == ["a.png"]
    assert reasons(listing, tmp_path) == {"locked": "cannot be listed: permission denied"}
    with pytest.raises(InputError, match="a folder that can be listed"):
        list_pictures(tmp_path / "locked")


def test_only_folders_are_listed(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    for wrong in ("a.png", "absent"):
        with pytest.raises(InputError, match="a folder of pictures"):
            list_images(tmp_path / wrong)


def test_what_was_left_out_is_told_by_reason() -> None:
    found = [LeftOut(Path(f"in/{index}.gif"), "no GIF") for index in range(5)]
    found.append(LeftOut(Path("in/.a.png"), "hidden"))
    assert told(found) == [
        "5 left out (no GIF): in/0.gif, in/1.gif, in/2.gif and 2 more.",
        "1 left out (hidden): in/.a.png.",
    ]
