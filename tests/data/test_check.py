"""Every finding of `check_data`: provoked, named with its files, and absent where nothing is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from flawscope.data.checks.check import check_data
from flawscope.data.checks.issues import RULES, SEVERITIES, Issue
from flawscope.errors import OptionError
from flawscope.progress import Silent

Grow = Callable[..., Path]
Draw = Callable[..., Path]
ENOUGH = 0.45


def rules(issues: list[Issue]) -> list[str]:
    return [issue.rule for issue in issues]


def only(issues: list[Issue], rule: str) -> Issue:
    (issue,) = [issue for issue in issues if issue.rule == rule]
    assert issue.severity == RULES[rule][0]
    assert issue.files
    assert issue.fix
    assert "\n" not in issue.message
    return issue


@pytest.fixture
def product(tmp_path: Path, grow: Grow, draw_mask: Draw) -> Path:
    """A product in the MVTec AD layout with nothing wrong in it."""
    root = grow(tmp_path / "nut", {"train/good": 84, "test/good": 2, "test/bent": 2})
    for index in range(2):
        draw_mask(root / f"ground_truth/bent/{index:03d}_mask.png")
    return root


def test_nothing_wrong(product: Path) -> None:
    assert check_data(product, false_rejects=ENOUGH) == []


def test_unreadable_files(product: Path) -> None:
    good = product / "train/good"
    (good / "000.png").write_bytes(b"")
    (good / "001.png").write_text("no picture")
    whole = (good / "002.png").read_bytes()
    (good / "002.png").write_bytes(whole[: len(whole) // 2])
    issues = check_data(product, false_rejects=ENOUGH)
    assert rules(issues) == ["unreadable"] * 3
    assert [issue.files for issue in issues] == [(good / f"00{index}.png",) for index in range(3)]
    assert "an empty file" in issues[0].message


def test_copies_in_one_split(product: Path) -> None:
    shutil.copy(product / "train/good/003.png", product / "train/good/copy.png")
    issue = only(check_data(product, false_rejects=ENOUGH), "duplicate")
    assert {path.name for path in issue.files} == {"003.png", "copy.png"}


def test_copies_in_training_and_test(product: Path) -> None:
    shutil.copy(product / "train/good/003.png", product / "test/good/zzz.png")
    issues = check_data(product, false_rejects=ENOUGH)
    assert rules(issues) == ["leak"]
    assert "good/003.png, good/zzz.png" in only(issues, "leak").message


def test_a_picture_that_is_good_and_defective(product: Path) -> None:
    shutil.copy(product / "train/good/003.png", product / "test/bent/000.png")
    assert rules(check_data(product, false_rejects=ENOUGH)) == ["contradiction"]


def test_near_copies(product: Path) -> None:
    picture = Image.open(product / "train/good/003.png")
    picture.resize((320, 240), Image.Resampling.NEAREST).save(product / "train/good/004.png")
    Image.open(product / "train/good/005.png").point(lambda value: value // 2).save(
        product / "test/good/000.png"
    )
    issues = check_data(product, false_rejects=ENOUGH)
    assert rules(issues) == ["near-leak", "odd-sizes", "near-duplicate"]
    assert {path.name for path in only(issues, "near-duplicate").files} == {"003.png", "004.png"}
    assert {path.parts[-3] for path in only(issues, "near-leak").files} == {"train", "test"}
    assert rules(check_data(product, false_rejects=ENOUGH, near=False)) == ["odd-sizes"]


def test_a_few_odd_sizes_are_named(product: Path, draw: Draw) -> None:
    odd = draw(product / "train/good/odd.png", seed=999, height=40, width=20)
    issue = only(check_data(product, false_rejects=ENOUGH), "odd-sizes")
    assert issue.files == (odd,)
    assert "1 of 89 pictures are not 32x24" in issue.message


def test_many_sizes_are_a_note(product: Path, draw: Draw) -> None:
    for index in range(12):
        draw(product / f"train/good/odd{index}.png", seed=999 + index, height=40, width=20 + index)
    issue = only(check_data(product, false_rejects=ENOUGH), "mixed-sizes")
    assert issue.severity == "note"
    assert "13 sizes, 32x24 to 31x40" in issue.message


def test_mixed_modes_name_the_rarer(product: Path, draw: Draw) -> None:
    grey = draw(product / "train/good/grey.png", seed=999, mode="L")
    issue = only(check_data(product, false_rejects=ENOUGH), "mixed-modes")
    assert issue.files == (grey,)
    assert "88 are RGB, 8 bit; 1 are L, 8 bit" in issue.message


def test_masks_that_do_not_fit(product: Path, draw_mask: Draw) -> None:
    truth = product / "ground_truth"
    draw_mask(truth / "bent/000_mask.png", height=30)
    draw_mask(truth / "bent/001_mask.png", value=0)
    draw_mask(truth / "good/000_mask.png")
    draw_mask(truth / "good/001_mask.png", value=0)
    issues = check_data(product, false_rejects=ENOUGH)
    assert rules(issues) == ["mask-misfit", "mask-on-good", "mask-empty"]
    assert [issue.files[0].relative_to(product).as_posix() for issue in issues] == [
        "test/bent/000.png", "test/good/000.png", "test/bent/001.png",
    ]  # fmt: skip
    assert "expected the picture's size, 32x24, got 32x30" in issues[0].message


def test_masks_drawn_the_other_way_round(product: Path) -> None:
    path = product / "ground_truth/bent/000_mask.png"
    Image.open(path).point(lambda value: 255 - value).save(path)
    issue = only(check_data(product, false_rejects=ENOUGH), "mask-inverted")
    assert issue.message == "The mask of 000.png marks 97% of the picture, its border included."


def test_masks_that_are_missing_or_damaged(product: Path) -> None:
    (product / "ground_truth/bent/000_mask.png").unlink()
    (product / "ground_truth/bent/001_mask.png").write_bytes(b"")
    assert rules(check_data(product, false_rejects=ENOUGH)) == ["mask-misfit", "mask-missing"]
    shutil.rmtree(product / "ground_truth")
    assert check_data(product, false_rejects=ENOUGH) == []


def test_too_few_good_pictures_for_the_wish(product: Path) -> None:
    issue = only(check_data(product), "few-normals")
    assert "needs 299 calibration pictures; 21 can be held out from training" in issue.message
    assert issue.fix == "Have 1196 good pictures in all, or ask for a false-reject rate of 0.14."


def test_a_plain_folder_of_thirty(tmp_path: Path, grow: Grow) -> None:
    issue = only(check_data(grow(tmp_path, {".": 30})), "few-normals")
    assert "30 can be held out in turn, which keeps the weaker promise" in issue.message


def test_what_the_advice_says_keeps_the_promise(tmp_path: Path, grow: Grow) -> None:
    """Folds keep no confidence at any rate; good pictures that go into a test set are asked for as well."""
    folder = grow(tmp_path / "few", {"good": 20, "bent": 1})
    for rate, wanted in ((0.45, 95), (0.1, 145)):
        issue = only(check_data(folder, false_rejects=rate, near=False), "few-normals")
        assert issue.fix == f"Have {wanted} good pictures in all."
        enough = grow(tmp_path / f"{wanted}", {"good": wanted, "bent": 1})
        assert "few-normals" not in rules(check_data(enough, false_rejects=rate, near=False))
    folder = grow(tmp_path / "some", {".": 84})
    issue = only(check_data(folder, near=False), "few-normals")
    rate = float(issue.fix.removesuffix(".").split()[-1])
    assert "few-normals" not in rules(check_data(folder, false_rejects=rate, near=False))


def test_few_validation_pictures(product: Path, grow: Grow) -> None:
    grow(product, {"validation/good": 8}, seed=1000)
    shutil.rmtree(product / "test/bent")
    issue = only(check_data(product, near=False), "few-normals")
    assert "6 can be held out from training" in issue.message
    assert issue.fix == "Have 399 good validation pictures, or ask for a false-reject rate of 0.4."


@pytest.mark.parametrize("count", [1, 4])
def test_a_folder_of_one_or_four(tmp_path: Path, grow: Grow, count: int) -> None:
    issue = only(check_data(grow(tmp_path, {".": count})), "too-few-normals")
    assert f"can be read: {count}, fewer than 5" in issue.message


def test_folders_without_pictures(tmp_path: Path) -> None:
    assert rules(check_data(tmp_path)) == ["layout"]
    assert rules(check_data(tmp_path / "nowhere")) == ["layout"]
    (tmp_path / "good").mkdir()
    assert rules(check_data(tmp_path)) == ["no-pictures"]


def test_options_are_checked_before_work(product: Path) -> None:
    with pytest.raises(OptionError):
        check_data(product, false_rejects=2.0)
    with pytest.raises(OptionError):
        check_data(product, layout="unknown")


def test_progress_counts_every_picture(product: Path) -> None:
    class Count(Silent):
        steps = 0

        def advance(self, steps: int = 1) -> None:
            self.steps += steps

    progress = Count()
    check_data(product, progress=progress)
    assert progress.steps == 88


def test_findings_come_worst_first(product: Path, draw: Draw) -> None:
    draw(product / "train/good/grey.png", seed=999, mode="L")
    (product / "train/good/000.png").write_bytes(b"")
    severities = [issue.severity for issue in check_data(product)]
    assert severities == sorted(severities, key=SEVERITIES.index)
    assert severities[0] == "error"


@pytest.mark.real
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("mvtec_ad_512/screw", ["few-normals", "near-duplicate"]),
        ("magnetic_tile", ["few-normals", *["mask-empty"] * 4, "mixed-sizes", *["near-duplicate"] * 5]),
        ("bsdata", ["few-normals", "mixed-sizes"]),
    ],
)
def test_real_data_sets(real_data: Path, place: str, expected: list[str]) -> None:
    if not (real_data / place).is_dir():
        pytest.skip(f"no {place} in {real_data}")
    assert rules(check_data(real_data / place)) == expected
