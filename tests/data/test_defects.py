"""Defective pictures to learn from: read from a folder, drawn from a data set, never a good picture."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flawscope.data.defects import draw_defects, read_defects, refuse_repeated, withhold, without
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import DataError, OptionError


def _dataset(*, training: int = 0) -> Dataset:
    samples = [Sample(Path(f"good/{index}.png"), "train", defective=False) for index in range(4)]
    samples += [
        Sample(Path(f"{kind}/{index}.png"), "test", defective=True, kind=kind)
        for kind in ("crack", "stain")
        for index in range(10)
    ]
    samples += [
        Sample(Path(f"train/{index}.png"), "train", defective=True, kind="stain") for index in range(training)
    ]
    return Dataset("product", "folder", Path(), tuple(samples))


def test_kinds_are_the_names_of_sub_folders_or_of_the_folder(good_pictures: Callable[..., Path]) -> None:
    folder = good_pictures(2, name="bad").parent / "bad"
    good_pictures(3, name="bad/crack")
    found = read_defects(folder)
    assert [(sample.kind, sample.path.name) for sample in found] == [
        ("bad", "000.png"),
        ("bad", "001.png"),
        *(("crack", f"{index:03d}.png") for index in range(3)),
    ]
    assert all(sample.defective for sample in found)


def test_missing_empty_and_good_folders_are_refused(
    good_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for folder, got in ((tmp_path / "none", "no such folder"), (tmp_path / "empty", "none")):
        with pytest.raises(DataError, match=f"got {got}"):
            read_defects(folder)
    good_pictures(1, name="mixed/good")
    good_pictures(1, name="mixed/crack")
    with pytest.raises(DataError, match="sub-folder good"):
        read_defects(tmp_path / "mixed")
    with pytest.raises(DataError, match="pictures in a folder good"):
        read_defects(tmp_path / "mixed" / "good")


def test_draws_are_seeded_nested_and_leave_the_rest_for_testing() -> None:
    dataset = _dataset()
    large, small = draw_defects(dataset, 12, 1), draw_defects(dataset, 5, 1)
    assert set(small) < set(large)
    assert draw_defects(dataset, 5, 1) == small
    assert draw_defects(dataset, 5, 2) != small
    rest = without(dataset, large)
    assert len(rest) == len(dataset) - 12
    assert not set(large) & set(rest)


def test_withheld_kinds_are_never_drawn_and_count_as_unseen() -> None:
    withheld = withhold(_dataset(), ["crack"])
    assert {sample.kind for sample in draw_defects(withheld, 10, 0)} == {"stain"}
    assert all(sample.seen == (sample.kind != "crack") for sample in withheld)
    with pytest.raises(OptionError, match="at most the 10"):
        draw_defects(withheld, 11, 0)
    with pytest.raises(OptionError, match='Did you mean "crack"'):
        withhold(_dataset(), ["crak"])


def test_defective_training_pictures_come_first_and_all_by_default() -> None:
    dataset = _dataset(training=6)
    assert len(draw_defects(dataset, None, 0)) == 6
    assert {sample.split for sample in draw_defects(dataset, 3, 0)} == {"train"}
    with pytest.raises(OptionError, match="--defects FOLDER"):
        draw_defects(_dataset(), None, 0)


def test_a_defective_picture_with_the_content_of_a_good_one_is_refused(
    good_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    good = [Sample(path, "train", defective=False) for path in sorted(good_pictures(3).iterdir())]
    shutil.copy(good[1].path, tmp_path / "other.png")
    with pytest.raises(DataError, match=r"other.png.*001.png"):
        refuse_repeated(good, [Sample(tmp_path / "other.png", "train", defective=True)])
    refuse_repeated(good[2:], [Sample(tmp_path / "other.png", "train", defective=True)])
    refuse_repeated([Sample(tmp_path / "absent.png", "train", defective=False)], [])  # nothing is read
