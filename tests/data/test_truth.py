"""Which names mean good pictures, in every layout and case, and which are asked about."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flawscope.data.checks.check import check_data
from flawscope.data.checks.kinds import told_of
from flawscope.data.defects import read_defects
from flawscope.data.layouts import read_dataset
from flawscope.data.samples import Dataset
from flawscope.data.splits import split_dataset
from flawscope.data.truth import doubtful, says_bad, says_good
from flawscope.errors import DataError

Grow = Callable[..., Path]
ENOUGH = 0.45

GOOD = (
    "good", "Good", "GOOD", " good ", "good_", "OK", "ok", "Ok", "okay", "normal", "Normal", "NORMAL", "pass",
    "Pass", "passed", "defect_free", "DefectFree", "defect-free", "defect free", "non_defective",
    "no-defects", "NonDefective", "no_defect", "without_defects", "flawless", "undamaged", "anomaly_free",
    "good_parts", "01_OK",
    "OK-2", "ok images", "acceptable", "i.O.", "IO", "gut", "fehlerfrei", "合格", "良品", "正常",
    "정상", "합격", "годен", "Gutteile", "goodparts", "OKImages", "okbilder", "OK品", "无缺陷", "einwandfrei",
)  # fmt: skip
BAD = (
    "NG", "ng", "NOK", "nok", "KO", "ko", "not_ok", "NotOK", "not good", "no_good", "bad", "Bad", "defective",
    "defects", "abnormal", "anomaly", "non_conforming", "nonconforming", "unacceptable", "n.i.O.", "NIO",
    "不良", "不合格", "불합격", "reject", "fail", "faulty", "damaged", "NGparts", "NG品", "негодный",
)  # fmt: skip
KINDS = (
    "scratch",
    "broken",
    "Blowhole",
    "logical_anomalies",
    "AK",
    "bad_unseen_defects",
    "gold",
    "wood",
    "not OK (scratch)",
    "uneven",
    "unsoldered",
)
DOUBTFUL = (
    "goood", "good_old", "ok_with_scratch", "bottle_ok", "0", "1", "negative", "unknown", "fine", "no_crack",
    "rissfrei", "scratch-free", "not_bad", "unbroken", "golden_samples", "Review",
)  # fmt: skip


def truths(dataset: Dataset) -> dict[tuple[str, str], bool]:
    """For each name and split whether its pictures count as good."""
    return {(kind.name, split): not kind.defective for kind in dataset.truths() for split in kind.pictures}


def rules(folder: Path) -> list[str]:
    return [issue.rule for issue in check_data(folder, false_rejects=ENOUGH)]


@pytest.mark.parametrize("name", GOOD)
def test_names_of_good_pictures(name: str) -> None:
    assert says_good(name)
    assert not says_bad(name)


@pytest.mark.parametrize("name", BAD)
def test_names_of_defective_pictures(name: str) -> None:
    assert says_bad(name)
    assert not says_good(name)
    assert not doubtful(name)


@pytest.mark.parametrize("name", KINDS)
def test_names_of_kinds(name: str) -> None:
    assert not says_good(name)
    assert not doubtful(name)


@pytest.mark.parametrize("name", ["NG_{}", "cam1-{}-NOK", "{}_defect", "part{}_fail"])
def test_good_pictures_that_are_called_defective_are_asked_about(
    tmp_path: Path, grow: Grow, name: str
) -> None:
    folder = grow(tmp_path, {"good": 6}) / "good"
    (folder / "005.png").rename(folder / f"{name.format(7)}.png")
    (folder / "004.png").rename(folder / "no_defect_9.png")
    told = "1 picture counts as good, but called otherwise"
    assert any(told in line for line in told_of(read_dataset(tmp_path)))
    assert "doubtful-kind" in rules(tmp_path)


def test_defective_pictures_that_are_called_good_are_asked_about(tmp_path: Path, grow: Grow) -> None:
    folder = grow(tmp_path, {"good": 4, "scratch": 2}) / "scratch"
    (folder / "001.png").rename(folder / "OK_2.png")
    assert any("called otherwise: OK_2.png" in line for line in told_of(read_dataset(tmp_path)))
    (folder / "000.png").rename(folder / "OK_1.png")
    assert any("called otherwise, such as OK_1.png" in line for line in told_of(read_dataset(tmp_path)))


@pytest.mark.parametrize("name", DOUBTFUL)
def test_names_that_are_asked_about(name: str) -> None:
    assert not says_good(name)
    assert doubtful(name)


@pytest.mark.parametrize(
    ("good", "bad"),
    [("OK", "NG"), ("Good", "bent"), ("pass", "fail"), ("normal", "abnormal"), ("defect_free", "defective")],
)
def test_good_has_many_names_in_the_layout_of_mvtec_ad(
    tmp_path: Path, grow: Grow, good: str, bad: str
) -> None:
    dataset = read_dataset(grow(tmp_path, {"train/good": 3, f"test/{good}": 2, f"test/{bad}": 2}))
    assert dataset.layout == "mvtec_ad"
    assert truths(dataset) == {("good", "train"): True, (good, "test"): True, (bad, "test"): False}
    assert dataset.kinds() == (bad,)
    assert {sample.kind for sample in dataset.select(defective=False)} == {"good"}


@pytest.mark.parametrize(
    ("counts", "layout", "expected"),
    [
        (
            {"Train/OK": 2, "Test/OK": 1, "Test/NG": 1},
            "mvtec_ad",
            {("OK", "train"): True, ("OK", "test"): True, ("NG", "test"): False},
        ),
        (
            {"train/ok": 2, "test/ok": 1, "test/ng": 1},  # nearly BTAD
            "mvtec_ad",
            {("ok", "train"): True, ("ok", "test"): True, ("ng", "test"): False},
        ),
        (
            {"train/ok": 2, "test/ok": 1, "test/ko": 1},
            "btad",
            {("ok", "train"): True, ("ok", "test"): True, ("ko", "test"): False},
        ),
        (
            {
                "train/pass": 2, "validation/Pass": 1,
                "test/pass": 1, "test/logical_anomalies": 1, "test/NG": 1,
            },
            "mvtec_loco",
            {
                ("pass", "train"): True, ("Pass", "validation"): True, ("pass", "test"): True,
                ("logical_anomalies", "test"): False, ("NG", "test"): False,
            },
        ),
        (
            {"train/Normal": 2, "train/NG": 1, "test/Normal": 1, "test/NG": 1},
            "vad",
            {
                ("Normal", "train"): True, ("Normal", "test"): True,
                ("NG", "train"): False, ("NG", "test"): False,
            },
        ),
        ({"non_defective": 2, "NG": 1}, "folder", {("non_defective", "train"): True, ("NG", "test"): False}),
        ({"OK": 2, "not_ok": 1}, "folder", {("OK", "train"): True, ("not_ok", "test"): False}),
        (
            {"good": 2, "test/Good": 1, "test/bad": 1},
            "folder",
            {("good", "train"): True, ("Good", "test"): True, ("bad", "test"): False},
        ),
    ],
)  # fmt: skip
def test_good_has_many_names_in_every_layout(
    tmp_path: Path, grow: Grow, counts: dict[str, int], layout: str, expected: dict[tuple[str, str], bool]
) -> None:
    dataset = read_dataset(grow(tmp_path / "nut", counts))
    assert dataset.layout == layout
    assert truths(dataset) == expected
    assert dataset.left_out == ()
    assert len(dataset) == sum(counts.values())


@pytest.mark.parametrize(("good", "bad"), [("normal", "anomaly"), ("Normal", "Anomaly"), ("OK", "NG")])
def test_good_has_many_names_in_visas_table(tmp_path: Path, good: str, bad: str) -> None:
    (tmp_path / "split_csv").mkdir()
    rows = f"a,train,{good},a/0.png,\na,test,{good},a/1.png,\na,Test,{bad},a/2.png,\n"
    (tmp_path / "split_csv/1cls.csv").write_text(f"object,split,label,image,mask\n{rows}")
    assert truths(read_dataset(tmp_path)) == {
        (good, "train"): True,
        (good, "test"): True,
        (bad, "test"): False,
    }


def test_good_has_many_names_in_real_iads_json(tmp_path: Path) -> None:
    (tmp_path / "realiad_jsons").mkdir()
    (tmp_path / "realiad_1024").mkdir()
    content = {
        "meta": {"prefix": "nut/", "normal_class": "OK"},
        "train": [{"anomaly_class": "OK", "image_path": "OK/S1/a.jpg"}],
        "test": [
            {"anomaly_class": "ok", "image_path": "OK/S2/a.jpg"},
            {"anomaly_class": "AK", "image_path": "NG/S3/a.jpg"},
        ],
    }
    (tmp_path / "realiad_jsons/nut.json").write_text(json.dumps(content))
    assert truths(read_dataset(tmp_path)) == {
        ("OK", "train"): True,
        ("ok", "test"): True,
        ("AK", "test"): False,
    }


def test_defective_pictures_hold_no_good_ones_by_any_name(tmp_path: Path, grow: Grow) -> None:
    with pytest.raises(DataError, match="got a sub-folder Defect_Free"):
        read_defects(grow(tmp_path, {"scratch": 2, "Defect_Free": 1}))


@pytest.mark.parametrize("name", ["goood", "good_old", "1"])
def test_a_kind_with_a_doubtful_name_is_asked_about(tmp_path: Path, grow: Grow, name: str) -> None:
    folder = grow(tmp_path, {"train/good": 84, "test/good": 2, f"test/{name}": 2})
    assert rules(folder) == ["doubtful-kind"]
    (line,) = [line for line in told_of(read_dataset(folder)) if "Is that right?" in line]
    assert f"{name}: 2 pictures count as defective." in line


def test_good_pictures_in_a_folder_that_says_bad_are_asked_about(tmp_path: Path, grow: Grow) -> None:
    folder = grow(tmp_path / "a", {"good": 80, "good/NG": 4})
    assert rules(folder) == ["doubtful-kind"]
    (line,) = [line for line in told_of(read_dataset(folder)) if "Is that right?" in line]
    assert "4 pictures count as good, in a folder NG." in line
    assert rules(grow(tmp_path / "b", {"train/good": 84, "test/good": 1, "test/dent/OK": 1})) == [
        "doubtful-kind"
    ]


@pytest.mark.parametrize(
    ("name", "counts", "kinds"),
    [
        ("NG", {".": 2}, ("NG",)),
        ("nut", {"NG": 2}, ("NG",)),
        ("nut", {"defects": 2, "scratch": 1}, ("defects", "scratch")),
        ("defective", {"scratch": 1, "dent": 2}, ("dent", "scratch")),
    ],
)
def test_defective_pictures_alone_count_as_such(
    tmp_path: Path, grow: Grow, name: str, counts: dict[str, int], kinds: tuple[str, ...]
) -> None:
    dataset = read_dataset(grow(tmp_path / name, counts))
    assert dataset.kinds() == kinds
    assert len(dataset.select(defective=True)) == sum(counts.values())
    with pytest.raises(DataError, match=f"good pictures to learn from, got none; {', '.join(kinds)} count"):
        split_dataset(dataset, seed=0)
    assert "no-good" in rules(dataset.root)


def test_a_table_that_contradicts_its_folders_is_asked_about(tmp_path: Path, grow: Grow) -> None:
    grow(tmp_path, {"a/Normal": 84, "a/Anomaly": 2})
    rows = "".join(f"a,train,normal,a/Normal/{index:03d}.png,\n" for index in range(84))
    rows += "".join(f"a,test,normal,a/Anomaly/{index:03d}.png,\n" for index in range(2))
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_text(f"object,split,label,image,mask\n{rows}")
    (issue,) = [issue for issue in check_data(tmp_path, false_rejects=ENOUGH) if issue.severity == "warning"]
    assert issue.message == "2 pictures count as good, in a folder Anomaly."


def test_a_test_of_good_pictures_alone_keeps_them_good(tmp_path: Path, grow: Grow) -> None:
    dataset = read_dataset(grow(tmp_path, {"train/good": 3, "test/OK": 2, "test/pass": 1}))
    assert dataset.kinds() == ()
    assert len(dataset.select(split="test", defective=False)) == 3


def test_an_empty_folder_of_good_pictures_is_told(tmp_path: Path, grow: Grow) -> None:
    folder = grow(tmp_path, {"train/good": 84, "test/good": 0, "test/bent": 2})
    assert rules(folder) == ["few-normals", "left-out"]
    assert "1 left out (a folder without pictures): test/good." in told_of(read_dataset(folder))


def test_each_kind_is_told_with_its_truth(tmp_path: Path, grow: Grow) -> None:
    dataset = read_dataset(grow(tmp_path / "nut", {"train/good": 3, "test/OK": 2, "test/NG": 1}))
    assert told_of(dataset) == [
        "nut, read as mvtec_ad: OK (good): 2 test; good (good): 3 train; NG (defective): 1 test."
    ]
