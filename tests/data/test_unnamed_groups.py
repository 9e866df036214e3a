"""Groups that nobody named: suggested by names or by pictures, with a pattern, and not by chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.checks.check import check_data
from flawscope.data.checks.issues import Issue
from flawscope.data.checks.unnamed import Suggestion, about_groups, suggested
from flawscope.data.groups import GroupChoice, group
from flawscope.data.samples import Sample


def samples(names: list[str]) -> list[Sample]:
    return [Sample(Path("/good") / name, "train", defective=False) for name in names]


def thumbnails(owners: list[int], *, alike: float = 0.9, seed: int = 0) -> NDArray[np.float16]:
    """Of pictures that share so much of their part's look."""
    random = np.random.default_rng(seed)
    parts = random.normal(size=(max(owners) + 1, 1024))
    own = random.normal(size=(len(owners), 1024))
    rows = alike * parts[owners] + (1 - alike) * own
    return ((rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)).astype(np.float16)


def grouped(found: Suggestion | None, names: list[str]) -> list[str | None]:
    assert found is not None
    return [one.group for one in group(samples(names), GroupChoice.parse(found.pattern)).samples]


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("part_{part:03d}_{letter}.png", r"part_(\d+)_"),
        ("{part}_{view}.png", r"^(\d+)_"),
        ("lot7-p{part}-{view}.bmp", r"lot(\d+-p\d+)-"),
        ("A{part:02d}{side}.png", r"A(\d+)"),
        ("p.{part}+{view}.png", r"p\.(\d+)\+"),
    ],
)
def test_names_that_share_a_stem_with_a_counter_suffice(form: str, pattern: str) -> None:
    names = [
        form.format(part=part, view=view, letter="abc"[view], side=("top", "left", "back")[view])
        for part in range(8)
        for view in range(3)
    ]
    found = suggested(samples(names), None)
    assert found is not None
    assert found.pattern == pattern
    assert len(set(grouped(found, names))) == 8
    assert found.message.startswith("24 good pictures, which count each by itself, seem to come in 8 groups")
    assert f"--groups '{pattern}'" in found.fix


@pytest.mark.parametrize(
    "names",
    [
        [f"{index:03d}.png" for index in range(60)],
        [f"IMG_{index:04d}.png" for index in range(60)],
        [f"IMG_202601{day:02d}_{day * 7919 % 86400:06d}.png" for day in range(1, 29)],
        [f"cam{cam}_{index:03d}.png" for cam in (1, 2) for index in range(30)],
        [f"day{day}_{index:03d}.png" for day in range(6) for index in range(10)],
        ["a.png", "b.png"],
        [],
    ],
)
def test_plain_counters_times_and_what_only_pictures_can_tell_suggest_nothing(names: list[str]) -> None:
    assert suggested(samples(names), None) is None
    assert suggested(samples(names), thumbnails(list(range(len(names) or 1)))[: len(names)]) is None


def test_pictures_tell_two_cameras_of_one_part_from_two_days() -> None:
    names = [f"cam{cam}_{part:03d}.png" for cam in (1, 2) for part in range(30)]
    alike = suggested(samples(names), thumbnails(list(range(30)) * 2))
    assert alike is not None
    assert alike.pattern == r"cam\d+_(\d+)"
    assert "60 of 60 are most like one of the same name, by chance 1 would be" in alike.message
    assert len(set(grouped(alike, names))) == 30
    names = [f"lot{lot}_{index:03d}.png" for lot in range(6) for index in range(20)]
    lots = suggested(samples(names), thumbnails([lot for lot in range(6) for _ in range(20)]))
    assert lots is not None
    assert lots.pattern == r"lot(\d+)_"


def test_names_that_recur_in_folders_take_the_folder_in(tmp_path: Path) -> None:
    paths = [
        Path(f"/good/day{day}/part{part}_{view}.png") for day in (1, 2) for part in range(6) for view in "ab"
    ]
    recurring = [Sample(path, "train", defective=False) for path in paths]
    found = suggested(recurring, None)
    assert found is not None
    assert found.pattern == r"([^/]+/part\d+)_"
    again = group(recurring, GroupChoice.parse(found.pattern), Path("/good"))
    assert len({one.group for one in again.samples}) == 12


def test_named_groups_are_not_suggested_again() -> None:
    names = [f"{part}_{view}.png" for part in range(8) for view in range(3)]
    named = group(samples(names), GroupChoice.parse(r"^(\d+)_")).samples
    assert suggested(named, None) is None
    assert about_groups(named) is None


def write(folder: Path, names: list[str], owners: list[int]) -> Path:
    """Blurred noise, alike where the owner is."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    parts = random.uniform(40, 210, (max(owners) + 1, 8, 8))
    for name, owner in zip(names, owners, strict=True):
        cells = np.clip(parts[owner] + random.normal(0, 8, (8, 8)), 0, 255).astype(np.uint8)
        Image.fromarray(cells).resize((64, 64), Image.Resampling.BILINEAR).save(folder / name)
    return folder


def rules(issues: list[Issue]) -> dict[str, Issue]:
    return {issue.rule: issue for issue in issues}


def test_the_check_warns_once_and_training_says_it_in_a_line(tmp_path: Path) -> None:
    names = [f"cam{cam}_{part:02d}.png" for cam in (1, 2) for part in range(12)]
    folder = write(tmp_path / "good", names, list(range(12)) * 2)
    found = rules(check_data(folder))
    assert found["unnamed-groups"].severity == "warning"
    assert found["unnamed-groups"].fix.startswith(r"Name them with --groups 'cam\d+_(\d+)'; or say")
    assert len(found["unnamed-groups"].files) == 24
    line = about_groups([Sample(folder / name, "train", defective=False) for name in names])
    assert line is not None
    assert line.startswith("24 good pictures, which count each by itself, seem to come in 12 groups")
    assert "unnamed-groups" not in rules(check_data(folder, near=False))
    assert "unnamed-groups" not in rules(check_data(folder, groups=GroupChoice.parse("none")))
    counted = rules(check_data(folder, groups=GroupChoice.parse(r"cam\d+_(\d+)")))
    assert "unnamed-groups" not in counted
    assert "needs 299 calibration parts; 12 can be held out in turn" in counted["few-normals"].message


def test_training_counts_the_groups_of_the_pattern_that_it_names(tmp_path: Path) -> None:
    names = [f"lot1_s{part:02d}_c{camera}_2023.png" for part in range(22) for camera in range(5)]
    folder = write(tmp_path / "good", names, list(range(5)) * 22)
    line = about_groups([Sample(folder / name, "train", defective=False) for name in names])
    assert line is not None
    assert r"Name them with --groups 'lot\d+_s\d+_c(\d+)_'" in line
    assert line.startswith("110 good pictures, which count each by itself, seem to come in 5 groups")


def test_parts_on_both_sides_are_found(tmp_path: Path) -> None:
    write(tmp_path / "train/good", [f"p{part}_a.png" for part in range(8)], list(range(8)))
    write(tmp_path / "test/good", [f"p{part}_b.png" for part in range(6, 10)], list(range(4)))
    write(tmp_path / "test/hole", ["p90_a.png"], [0])
    issues = check_data(tmp_path, groups=GroupChoice.parse(r"p(\d+)_"))
    leaks = [issue for issue in issues if issue.rule == "group-leak"]
    assert [issue.message for issue in leaks] == [
        f"Part {part} is in training and in test: good/p{part}_a.png, good/p{part}_b.png." for part in (6, 7)
    ]
