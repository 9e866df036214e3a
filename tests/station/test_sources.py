"""Files, folders and patterns."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from flawscope.errors import DataError, OptionError
from flawscope.station.sources import apart, collect, collect_good


def test_folders_are_read_with_all_below_and_each_picture_once(good_pictures: Callable[..., Path]) -> None:
    folder = good_pictures(2)
    (folder / "night").mkdir()
    shutil.copy(folder / "000.png", folder / "night" / "900.png")
    (folder / "notes.txt").write_text("no picture")
    found = collect([folder, folder / "000.png", f"{folder}/*.png"])
    assert [path.name for path in found] == ["000.png", "001.png", "900.png"]


def test_a_picture_that_is_named_in_several_ways_is_one(
    good_pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = good_pictures(2)
    (tmp_path / "way").symlink_to(folder)
    (folder / "latest.png").symlink_to("001.png")  # a picture by itself: it may be another tomorrow
    monkeypatch.chdir(folder)
    found = collect(["000.png", folder, tmp_path / "way", "../good/001.png", "a\0/b.png"])
    assert found == [Path("000.png"), folder / "001.png", folder / "latest.png", Path("a\0/b.png")]


def test_a_named_file_is_kept_even_where_it_is_missing_or_no_picture(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    assert collect([text, tmp_path / "absent.png"]) == [text, tmp_path / "absent.png"]


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one picture"):
        collect([tmp_path])
    with pytest.raises(DataError, match="at least one matching file"):
        collect([f"{tmp_path}/*.png"])


def test_results_go_neither_into_the_pictures_folder_nor_above_it(
    good_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = good_pictures(1)
    for source in (folder, f"{folder}/*.png"):
        for out in (folder, folder.parent):
            with pytest.raises(OptionError, match="does not hold the pictures to inspect"):
                collect([source], besides=out)
    with pytest.raises(OptionError, match="Name a folder of its own"):
        apart(tmp_path / "still absent", tmp_path)
    apart(folder, folder / "results")
    apart(folder, None)


def test_what_a_folder_leaves_out_is_told(good_pictures: Callable[..., Path]) -> None:
    folder = good_pictures(1)
    (folder / "b.heic").write_bytes(b"x")
    (folder / "out").mkdir()
    (folder / "out" / ".c.png").write_bytes(b"x")
    lines: list[str] = []
    collect([folder], besides=folder / "out", tell=lines.append)
    assert lines == ["1 left out (.heic is not read; convert it to PNG): good/b.heic."]


def test_masks_of_pictures_are_no_pictures_unless_they_are_named(tmp_path: Path) -> None:
    """As training takes them; what only lies in a folder of that name stays a picture."""
    grey, colours = Image.new("L", (8, 8)), Image.new("RGB", (8, 8), (200, 90, 10))
    wanted = ["NG/S1/1.jpg", "NG/S2/1.jpg", "caps/7.jpg", "masks/8.jpg", "plain/1.png"]
    masks = ["NG/S1/1.png", "ground_truth/NG/7_mask.png", "caps/7-gt.png"]
    for name in (*wanted, *masks):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (grey if name in masks else colours).save(tmp_path / name)
    lines: list[str] = []
    assert collect([tmp_path], tell=lines.append) == [tmp_path / name for name in wanted]
    assert lines == [
        "3 left out (a mask of a picture, by its name; a file that is named itself is inspected): "
        "S1/1.png, caps/7-gt.png, NG/7_mask.png."
    ]
    assert len(collect([tmp_path / "masks", tmp_path / "NG/S1/1.png"])) == 2


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


def test_a_folder_of_good_pictures_that_is_itself_called_as_defective_ones_are_is_refused(
    good_pictures: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = good_pictures(1, name="NG")
    with pytest.raises(DataError, match=r"got a folder NG, which counts as defective") as told:
        collect_good([folder], tell=print)
    assert len(collect_good([str(told.value).split("'")[1]], tell=print)) == 1
    monkeypatch.chdir(folder)
    with pytest.raises(DataError, match=r"got a folder NG, which counts as defective"):
        collect_good(["."], tell=print)
    assert len(collect_good([good_pictures(1, name="rejected/good").parent], tell=print)) == 1
    (folder.parent / "chosen").symlink_to(folder)  # a link is called as somebody called it
    assert len(collect_good([folder.parent / "chosen"], tell=print)) == 1


def test_links_that_lead_round_in_a_circle_are_pictures_that_cannot_be_read(
    good_pictures: Callable[..., Path],
) -> None:
    folder = good_pictures(1)
    (folder / "round.png").symlink_to(folder / "round.png")
    assert [path.name for path in collect([folder], besides=folder / "out")] == ["000.png", "round.png"]
    assert [path.name for path in collect([f"{folder}/*.png"], besides=folder / "out")] == [
        "000.png",
        "round.png",
    ]


def test_a_link_to_where_nobody_may_look_is_a_picture_that_cannot_be_read(
    good_pictures: Callable[..., Path],
) -> None:
    folder = good_pictures(1)
    (folder / "closed.png").symlink_to(folder / ("x" * 300))
    for source in (folder, f"{folder}/*.png"):
        assert sorted(path.name for path in collect([source])) == ["000.png", "closed.png"]
