"""No picture is left out in silence: followed into links and sub-folders, or told with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flawscope.data.checks.check import check_data
from flawscope.data.defects import read_defects
from flawscope.data.layouts import read_dataset
from flawscope.data.samples import Dataset
from flawscope.errors import DataError
from flawscope.station.sources import collect

Grow = Callable[..., Path]


def reasons(dataset: Dataset) -> dict[str, str]:
    return {one.path.relative_to(dataset.root).as_posix(): one.reason for one in dataset.left_out}


@pytest.mark.parametrize("where", ["good", "train/good"])
def test_training_reads_what_inspection_reads(tmp_path: Path, grow: Grow, where: str) -> None:
    grow(tmp_path / "disk", {".": 20, "night": 5})
    root = grow(tmp_path / "nut", {where: 30, f"{where}/day 1/line 2": 25, "test/bent": 1})
    good = root / where
    for index in range(20):
        (good / f"link{index}.png").symlink_to(tmp_path / f"disk/{index:03d}.png")
    (good / "night").symlink_to(tmp_path / "disk/night")
    dataset = read_dataset(root)
    found = [sample.path for sample in dataset.select(defective=False)]
    assert len(found) == 80
    assert sorted(found) == sorted(collect([good]))
    assert dataset.left_out == ()
    assert len(read_dataset(good)) == 80


def test_defective_kinds_are_read_below_too(tmp_path: Path, grow: Grow) -> None:
    folder = grow(tmp_path, {"good": 2, "dent/line 1": 2, "dent/line 2/night": 1})
    dataset = read_dataset(folder)
    assert len(dataset.select(kind="dent")) == 3
    assert {sample.kind for sample in read_defects(folder / "dent")} == {"line 1", "line 2"}
    assert len(read_defects(folder / "dent")) == 3


def test_a_link_that_leads_nowhere_is_found_by_the_check(tmp_path: Path, grow: Grow) -> None:
    folder = grow(tmp_path, {"good": 30})
    (folder / "good/gone.png").symlink_to(tmp_path / "absent.png")
    (folder / "good/share").symlink_to(tmp_path / "unmounted")
    (folder / "good/round.png").symlink_to(folder / "good/round.png")
    grow(folder, {"test": 1})
    issues = check_data(folder)
    unreadable = [issue.files for issue in issues if issue.rule == "unreadable"]
    assert unreadable == [(folder / "good/gone.png",), (folder / "good/round.png",)]
    assert [issue.message for issue in issues if issue.rule == "left-out"] == [
        "1 left out (a link that leads nowhere): good/share.",
        "1 left out (where this layout has no pictures): test/000.png.",
    ]


def test_loops_end_and_are_told(tmp_path: Path, grow: Grow) -> None:
    folder = grow(tmp_path / "nut", {"train/good": 3, "train/good/day": 2, "test/good": 1, "test/bent": 1})
    (folder / "train/good/day/up").symlink_to(folder / "train")
    (folder / "train/good/twice").symlink_to(folder / "train/good/day")
    dataset = read_dataset(folder)
    assert len(dataset) == 7
    assert reasons(dataset) == {
        "train/good/day/up": "a folder that is read already by another way",
        "train/good/twice": "a folder that is read already by another way",
    }


@pytest.mark.parametrize(
    ("counts", "stray"),
    [
        ({"train/good": 2, "test/good": 1}, {"old": 2, ".": 1, "test": 1, "train": 1}),
        ({"train/ok": 2, "test/ok": 1}, {"more": 1}),
        ({"good": 2, "bent": 1}, {"train/good": 1}),
        ({"train/good": 2, "validation/good": 1, "test/good": 1}, {"validation/bent": 1}),
    ],
)
def test_pictures_where_a_layout_has_none_are_told(
    tmp_path: Path, grow: Grow, counts: dict[str, int], stray: dict[str, int]
) -> None:
    grow(tmp_path, counts)
    grow(tmp_path, stray, suffix=".jpg")
    dataset = read_dataset(tmp_path)
    assert len(dataset) == sum(counts.values())
    assert len(dataset.left_out) == sum(stray.values())
    assert set(reasons(dataset).values()) == {"where this layout has no pictures"}
    assert "left-out" in [issue.rule for issue in check_data(dataset)]


def test_hidden_files_and_other_formats_are_told(tmp_path: Path, grow: Grow) -> None:
    good = grow(tmp_path, {"good": 30}) / "good"
    shutil.copy(good / "000.png", good / "._000.png")
    (good / "a.HEIC").write_bytes(b"x")
    issues = {issue.rule: issue for issue in check_data(tmp_path)}
    assert issues["hidden"].severity == "note"
    assert issues["left-out"].files == (good / "a.HEIC",)


def test_endings_are_read_in_any_case(tmp_path: Path, grow: Grow) -> None:
    for suffix in (".PNG", ".Jpg", ".TIFF", ".jfif", ".BMP"):
        grow(tmp_path, {f"good/{suffix[1:]}": 1}, suffix=suffix)
    assert len(read_dataset(tmp_path)) == 5


def test_pictures_directly_in_a_folder_do_not_draw_in_what_lies_below(tmp_path: Path, grow: Grow) -> None:
    dataset = read_dataset(grow(tmp_path / "lid", {".": 3, "test/bad": 2}))
    assert len(dataset.select(split="train")) == 3
    assert all(sample.defective for sample in dataset.select(split="test"))


def test_a_kind_that_cannot_be_listed_is_told(
    tmp_path: Path, grow: Grow, refuse_listing: Callable[[str], None]
) -> None:
    folder = grow(tmp_path, {"good": 2, "dent": 1, "lost+found": 1})
    refuse_listing("lost+found")
    dataset = read_dataset(folder)
    assert len(dataset) == 3
    assert reasons(dataset) == {"lost+found": "cannot be listed: permission denied"}


def test_tables_follow_links_too(tmp_path: Path, grow: Grow) -> None:
    grow(tmp_path / "disk", {"Data": 2})
    root = tmp_path / "visa"
    (root / "split_csv").mkdir(parents=True)
    (root / "a").symlink_to(tmp_path / "disk")
    rows = "a,train,normal,a/Data/000.png,\na,test,anomaly,a\\Data\\001.png,\n"
    (root / "split_csv/1cls.csv").write_text(f"object,split,label,image,mask\n{rows}")
    dataset = read_dataset(root)
    assert [sample.path.is_file() for sample in dataset] == [True, True]


@pytest.mark.parametrize("name", ["../b.png", "..\\\\b.png", "a/../../b.png", "/etc/b.png"])
def test_tables_name_nothing_outside_even_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_text(f"object,split,label,image,mask\na,train,normal,{name},\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="line 2: expected a path inside"):
        read_dataset(Path())
