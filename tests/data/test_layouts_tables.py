"""Layouts that a CSV or JSON describes: VisA, Real-IAD, BSData."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flawscope.data.layouts import read_dataset
from flawscope.data.masks import union_mask
from flawscope.errors import DataError

Grow = Callable[..., Path]
Draw = Callable[..., Path]

VISA_HEAD = "object,split,label,image,mask\n"


def visa(root: Path, rows: str, head: str = VISA_HEAD) -> Path:
    (root / "split_csv").mkdir(parents=True)
    (root / "split_csv/1cls.csv").write_text(head + rows)
    return root


def test_visa(tmp_path: Path, draw_mask: Draw) -> None:
    rows = (
        "candle,train,normal,candle/Data/Images/Normal/0.JPG,\n"
        "candle,test,normal,candle/Data/Images/Normal/1.JPG,\n"
        "candle,test,anomaly,candle/Data/Images/Anomaly/0.JPG,candle/Data/Masks/Anomaly/0.png\n"
        "pcb1,train,normal,pcb1/Data/Images/Normal/0.JPG,\n"
    )
    visa(tmp_path, rows)
    draw_mask(tmp_path / "candle/Data/Masks/Anomaly/0.png", value=1)
    dataset = read_dataset(tmp_path, product="candle")
    assert (dataset.name, dataset.layout, dataset.masked, len(dataset)) == ("candle", "visa", True, 3)
    assert [(sample.split, sample.kind) for sample in dataset] == [
        ("train", "good"), ("test", "good"), ("test", "anomaly"),
    ]  # fmt: skip
    assert dataset.samples[0].path == tmp_path / "candle/Data/Images/Normal/0.JPG"
    assert union_mask(dataset.samples[2], 24, 32).sum() == 20
    with pytest.raises(DataError, match="Known: candle, pcb1"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,train,normal,../../etc/passwd,\n", r"1cls\.csv, line 2: expected a path inside"),
        ("a,train,normal,a/0.png,\na,train,normal,/etc/passwd,\n", r"line 3: expected a path inside"),
        ("a,test,anomaly,a/0.png,../m.png\n", r"line 2: expected a path inside"),
        ("a,test,anomaly,a/0\0.png,\n", r"line 2: expected"),
        ("a,train,normal,,\n", r"line 2: expected a relative file path"),
        ("a,dev,normal,a/0.png,\n", r"line 2: expected split train or test, got 'dev'"),
        ("a,train,fine,a/0.png,\n", r"line 2: expected label normal or anomaly, got 'fine'"),
        ("a,train\n", r"line 2: expected as many cells as the header has"),
        ("a,train,normal,a/0.png,,,more\n", r"line 2: expected as many cells as the header has"),
        ('a,train,normal,"a/0.png\n', r"line 2: expected CSV"),
    ],
)
def test_visa_names_the_line_that_is_wrong(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_dataset(visa(tmp_path, rows))
    assert "\n" not in str(caught.value)


def test_visa_wants_its_columns_and_text(tmp_path: Path) -> None:
    visa(tmp_path, "", head="object,split,image\n")
    with pytest.raises(DataError, match=r"line 1: .* none named label, mask"):
        read_dataset(tmp_path)
    (tmp_path / "split_csv/1cls.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="expected UTF-8 text"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_visa_from_a_spreadsheet_on_windows(separator: str, tmp_path: Path, draw_mask: Draw) -> None:
    """Semicolons or tabs between cells, backslashes between folders, and a name that holds a separator."""
    rows = (
        VISA_HEAD
        + "candle,train,normal,candle\\Data\\Images\\Normal\\0.JPG,\n"
        + "candle,test,anomaly,'candle\\Images\\a;b\t1.JPG',candle\\Masks\\0.png\n"
    )
    visa(tmp_path, rows.replace(",", separator).replace("'", '"'), head="")
    draw_mask(tmp_path / "candle/Masks/0.png", value=1)
    good, bad = read_dataset(tmp_path)
    assert good.path == tmp_path / "candle/Data/Images/Normal/0.JPG"
    assert bad.path == tmp_path / "candle/Images/a;b\t1.JPG"
    assert union_mask(bad, 24, 32).sum() == 20


def test_a_backslash_that_a_name_really_has(tmp_path: Path, draw: Draw) -> None:
    visa(tmp_path, "candle,train,normal,candle/odd\\name.png,\n")
    draw(tmp_path / "candle" / "odd\\name.png")
    assert [sample.path.name for sample in read_dataset(tmp_path)] == ["odd\\name.png"]


def test_backslashes_lead_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: expected a path inside"):
        read_dataset(visa(tmp_path, "a,train,normal,..\\..\\etc\\passwd,\n"))


def test_a_table_has_a_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flawscope.data.tables.MAX_BYTES", 10)
    with pytest.raises(DataError, match="expected at most 10 bytes, got 30 bytes"):
        read_dataset(visa(tmp_path, ""))


def real_iad(root: Path, content: object, product: str = "mint") -> Path:
    tables = root / "realiad_jsons/realiad_jsons"
    tables.mkdir(parents=True, exist_ok=True)
    (tables / f"{product}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    (root / "realiad_1024" / product).mkdir(parents=True, exist_ok=True)
    return root


def entry(anomaly: str, image: str, mask: str | None = None) -> dict[str, object]:
    return {"category": "mint", "anomaly_class": anomaly, "image_path": image, "mask_path": mask}


META = {"prefix": "mint/", "normal_class": "OK", "pre_transform": 1}


def test_real_iad_groups_the_views_of_a_part(tmp_path: Path, draw_mask: Draw) -> None:
    content = {
        "meta": META,
        "train": [entry("OK", f"OK/S0001/mint_0001_OK_C{view}_2023.jpg") for view in range(1, 6)],
        "test": [
            entry("AK", "NG/AK/S0009/mint_0009_NG_C1_2023.jpg", "NG/AK/S0009/mint_0009_NG_C1_2023.png"),
            entry("OK", "NG/AK/S0009/mint_0009_NG_C2_2023.jpg"),
        ],
    }
    dataset = read_dataset(real_iad(tmp_path, content))
    draw_mask(tmp_path / "realiad_1024/mint/NG/AK/S0009/mint_0009_NG_C1_2023.png")
    assert (dataset.name, dataset.layout, dataset.masked) == ("mint", "real_iad", True)
    train = dataset.select(split="train")
    assert len(train) == 5
    assert {sample.group for sample in train} == {"OK/S0001"}
    pit, hidden = dataset.select(split="test")
    assert (pit.kind, pit.defective, hidden.kind, hidden.defective) == ("AK", True, "good", False)
    assert pit.group == hidden.group == "NG/AK/S0009"
    assert pit.path == tmp_path / "realiad_1024/mint/NG/AK/S0009/mint_0009_NG_C1_2023.jpg"
    assert union_mask(pit, 24, 32).sum() == 20


def test_real_iad_groups_by_folders_that_backslashes_part(tmp_path: Path) -> None:
    train = [entry("OK", f"OK\\S000{part}\\mint_C{view}.jpg") for part in (1, 2) for view in (1, 2)]
    dataset = read_dataset(real_iad(tmp_path, {"meta": META, "train": train, "test": []}))
    assert [sample.group for sample in dataset] == ["OK/S0001", "OK/S0001", "OK/S0002", "OK/S0002"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{,", r"mint\.json, line 1: expected JSON"),
        ('{\n"meta": nul}', r"mint\.json, line 2: expected JSON"),
        ("[" * 100_000, r"line 1: expected JSON"),
        ("[]", "an object with meta, train and test"),
        ({"meta": META, "train": []}, "an object with meta, train and test"),
        ({"meta": META, "train": [], "test": [{"image_path": "x"}]}, "test entry 1: expected an object with"),
        (
            {"meta": META, "train": [entry("OK", "../../x.jpg")], "test": []},
            "train entry 1: expected a path inside",
        ),
        (
            {"meta": META, "train": [], "test": [entry("AK", "a.jpg", "/m.png")]},
            "test entry 1: expected a path",
        ),
        ({"meta": {"prefix": "../../"}, "train": [], "test": []}, "meta.prefix: expected a path inside"),
        ({"meta": {"prefix": 3}, "train": [], "test": []}, "meta.prefix: expected a relative file path"),
    ],
)
def test_real_iad_names_what_is_wrong(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_dataset(real_iad(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_real_iad_wants_its_pictures(tmp_path: Path) -> None:
    real_iad(tmp_path, {"meta": META, "train": [], "test": []})
    (tmp_path / "realiad_1024/mint").rmdir()
    (tmp_path / "realiad_1024").rmdir()
    with pytest.raises(DataError, match="got none of these folders"):
        read_dataset(tmp_path)
