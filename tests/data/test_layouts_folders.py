"""Layouts that folder names alone describe: plain, MVTec AD, MVTec LOCO, BTAD, VAD, magnetic tile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from flawscope.data.layouts import LAYOUTS, read_dataset, recognise
from flawscope.data.masks import defect_areas, union_mask
from flawscope.data.samples import Dataset
from flawscope.errors import DataError, OptionError

Grow = Callable[..., Path]
Draw = Callable[..., Path]


def counts(dataset: Dataset) -> dict[tuple[str, str], int]:
    """Samples by split and kind."""
    table: dict[tuple[str, str], int] = {}
    for sample in dataset:
        assert sample.defective == (sample.kind != "good")
        table[sample.split, sample.kind] = table.get((sample.split, sample.kind), 0) + 1
    return table


def test_plain_folder_holds_good_pictures_only(tmp_path: Path, grow: Grow) -> None:
    dataset = read_dataset(grow(tmp_path / "lid", {".": 4}))
    assert (dataset.name, dataset.layout, dataset.masked) == ("lid", "folder", False)
    assert counts(dataset) == {("train", "good"): 4}


@pytest.mark.parametrize("good", ["good", "OK", "normal"])
def test_plain_folder_names_its_defects(tmp_path: Path, grow: Grow, draw_mask: Draw, good: str) -> None:
    grow(tmp_path, {good: 3, "scratch": 2, "dent": 1, "notes": 0})
    draw_mask(tmp_path / "masks/scratch/000.png")
    draw_mask(tmp_path / "ground_truth/scratch/001_mask.png")
    dataset = read_dataset(tmp_path)
    assert counts(dataset) == {("train", "good"): 3, ("test", "scratch"): 2, ("test", "dent"): 1}
    assert dataset.masked
    assert [len(sample.masks) for sample in dataset.select(kind="scratch")] == [1, 1]
    assert union_mask(dataset.select(kind="scratch")[0], 24, 32).sum() == 20
    assert not union_mask(dataset.select(kind="dent")[0], 24, 32).any()


def test_a_grey_png_is_the_mask_of_the_colour_photograph_that_it_is_called_as(
    tmp_path: Path, grow: Grow, draw_mask: Draw
) -> None:
    grow(tmp_path, {"good": 2})
    for number, mode in ((0, "RGB"), (1, "L")):
        draw_mask(tmp_path / f"pit/{number}.png")
        Image.new(mode, (32, 24)).save(tmp_path / f"pit/{number}.jpg")
    shutil.copy(tmp_path / "good/000.png", tmp_path / "pit/2.png")
    Image.new("RGB", (32, 24)).save(tmp_path / "pit/2.jpg")
    pits = read_dataset(tmp_path).select(kind="pit")
    found = {sample.path.name: len(sample.masks) for sample in pits}
    assert found == {"0.jpg": 1, "1.jpg": 0, "1.png": 0, "2.jpg": 0, "2.png": 0}, (
        "both of 1 are grey, of 2 colour"
    )


def test_plain_folder_reads_train_good_alone(tmp_path: Path, grow: Grow) -> None:
    assert counts(read_dataset(grow(tmp_path, {"train/good": 2}))) == {("train", "good"): 2}


def test_plain_folder_cannot_tell_mixed_pictures(tmp_path: Path, grow: Grow) -> None:
    with pytest.raises(DataError, match="pictures directly in it and in scratch"):
        read_dataset(grow(tmp_path, {".": 2, "scratch": 1}))


def test_plain_folder_wants_one_good_folder(tmp_path: Path, grow: Grow) -> None:
    with pytest.raises(DataError, match="one folder of good pictures, got good and ok"):
        read_dataset(grow(tmp_path, {"good": 1, "ok": 1}))


def test_plain_folder_knows_no_validation(tmp_path: Path, grow: Grow) -> None:
    grow(tmp_path, {"train/OK": 5, "val/OK": 2, "val/NG": 2})
    with pytest.raises(DataError, match="got val/OK"):
        read_dataset(tmp_path)
    grow(tmp_path / "other", {"good": 5, "validation/good": 2})
    with pytest.raises(DataError, match="got validation/good"):
        read_dataset(tmp_path / "other")


def test_mvtec_ad(tmp_path: Path, grow: Grow, draw_mask: Draw) -> None:
    grow(tmp_path / "nut", {"train/good": 3, "test/good": 2, "test/bent": 2})
    draw_mask(tmp_path / "nut/ground_truth/bent/001_mask.png")
    dataset = read_dataset(tmp_path / "nut")
    assert (dataset.name, dataset.layout) == ("nut", "mvtec_ad")
    assert counts(dataset) == {("train", "good"): 3, ("test", "good"): 2, ("test", "bent"): 2}
    assert [len(sample.masks) for sample in dataset.select(kind="bent")] == [0, 1]


def test_mvtec_root_wants_a_product(tmp_path: Path, grow: Grow) -> None:
    grow(tmp_path, {"nut/train/good": 1, "nut/test/good": 1, "license": 0})
    assert read_dataset(tmp_path).name == "nut"
    grow(tmp_path, {"bolt/train/good": 2, "bolt/test/good": 1})
    assert read_dataset(tmp_path, product="bolt").root == tmp_path / "bolt"
    with pytest.raises(DataError, match="Known: bolt, nut"):
        read_dataset(tmp_path)
    with pytest.raises(DataError, match='Did you mean "nut"'):
        read_dataset(tmp_path, product="nuts")


def test_a_single_product_knows_no_other(tmp_path: Path, grow: Grow) -> None:
    grow(tmp_path / "nut", {"train/good": 1, "test/good": 1})
    assert read_dataset(tmp_path / "nut", product="nut").name == "nut"
    with pytest.raises(DataError, match="a single product"):
        read_dataset(tmp_path / "nut", product="bolt")


def loco(root: Path, grow: Grow, draw_mask: Draw, config: object) -> Path:
    grow(root, {"train/good": 3, "validation/good": 2, "test/good": 1})
    grow(root, {"test/logical_anomalies": 1, "test/structural_anomalies": 1})
    draw_mask(root / "ground_truth/logical_anomalies/000/000.png", value=255)
    draw_mask(root / "ground_truth/logical_anomalies/000/001.png", value=250)
    draw_mask(root / "ground_truth/structural_anomalies/000/000.png", value=0)
    (root / "defects_config.json").write_text(json.dumps(config))
    return root


def defect(value: object, threshold: object, relative: object) -> dict[str, object]:
    return {
        "defect_name": "x",
        "pixel_value": value,
        "saturation_threshold": threshold,
        "relative_saturation": relative,
    }


def test_mvtec_loco(tmp_path: Path, grow: Grow, draw_mask: Draw) -> None:
    config = [defect(255, 12, False), defect(250, 0.25, True)]
    dataset = read_dataset(loco(tmp_path / "box", grow, draw_mask, config))
    assert (dataset.name, dataset.layout) == ("box", "mvtec_loco")
    assert counts(dataset) == {
        ("train", "good"): 3,
        ("validation", "good"): 2,
        ("test", "good"): 1,
        ("test", "logical_anomalies"): 1,
        ("test", "structural_anomalies"): 1,
    }
    (logical,), (structural,) = (
        dataset.select(kind=f"{name}_anomalies") for name in ("logical", "structural")
    )
    assert (logical.category, structural.category) == ("logical", "structural")
    assert [(int(area.sum()), saturation) for area, saturation in defect_areas(logical, 24, 32)] == [
        (20, 12),
        (20, 5),
    ]
    assert list(defect_areas(structural, 24, 32)) == []


def test_mvtec_loco_saturation_never_exceeds_the_area(tmp_path: Path, grow: Grow, draw_mask: Draw) -> None:
    dataset = read_dataset(loco(tmp_path, grow, draw_mask, [defect(255, 400, False), defect(250, 1.0, True)]))
    areas = defect_areas(dataset.select(kind="logical_anomalies")[0], 24, 32)
    assert [saturation for _, saturation in areas] == [20, 20]


def test_mvtec_loco_value_without_an_entry(tmp_path: Path, grow: Grow, draw_mask: Draw) -> None:
    dataset = read_dataset(loco(tmp_path, grow, draw_mask, [defect(255, 12, False)]))
    with pytest.raises(DataError, match=r"001\.png: expected one of the grey values 255 .* got 250"):
        list(defect_areas(dataset.select(kind="logical_anomalies")[0], 24, 32))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "line 1: expected a list of defects, got dict"),
        ([3], "defect 1: expected an object with pixel_value"),
        (
            [defect(255, 1, False), defect(0, 1, False)],
            "defect 2: expected a pixel_value between 1 and 65535",
        ),
        ([defect(255, -1, False)], "a saturation_threshold above 0, got -1"),
        ([defect(255, float("nan"), False)], "a saturation_threshold above 0, got nan"),
        ([defect(255, 1, "no")], "relative_saturation true or false"),
    ],
)
def test_mvtec_loco_config_is_checked(
    tmp_path: Path, grow: Grow, draw_mask: Draw, config: object, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_dataset(loco(tmp_path, grow, draw_mask, config))


def test_btad_mixes_bmp_and_png(tmp_path: Path, grow: Grow, draw_mask: Draw) -> None:
    for product in ("01", "02"):
        grow(tmp_path / product, {"train/ok": 2, "test/ok": 1})
        grow(tmp_path / product, {"test/ko": 2}, suffix=".bmp")
    draw_mask(tmp_path / "02/ground_truth/ko/000.png")
    draw_mask(tmp_path / "02/ground_truth/ko/001.bmp")
    dataset = read_dataset(tmp_path, product="02")
    assert (dataset.name, dataset.layout) == ("02", "btad")
    assert counts(dataset) == {("train", "good"): 2, ("test", "good"): 1, ("test", "ko"): 2}
    assert [union_mask(sample, 24, 32).sum() for sample in dataset.select(defective=True)] == [20, 20]
    with pytest.raises(DataError, match="Known: 01, 02"):
        read_dataset(tmp_path)


def test_vad_withholds_unseen_kinds(tmp_path: Path, grow: Grow) -> None:
    grow(
        tmp_path,
        {"train/good": 3, "train/bad": 2, "test/good": 2, "test/bad": 2, "test/bad_unseen_defects": 1},
    )
    dataset = read_dataset(tmp_path)
    assert dataset.layout == "vad"
    assert not dataset.masked
    assert counts(dataset) == {
        ("train", "good"): 3,
        ("train", "bad"): 2,
        ("test", "good"): 2,
        ("test", "bad"): 2,
        ("test", "bad_unseen_defects"): 1,
    }
    assert {sample.kind for sample in dataset if not sample.seen} == {"bad_unseen_defects"}


def test_magnetic_tile_tests_on_every_third(tmp_path: Path, grow: Grow, draw_mask: Draw) -> None:
    grow(tmp_path, {"MT_Free/Imgs": 7, "MT_Crack/Imgs": 2, "other": 1}, suffix=".jpg")
    draw_mask(tmp_path / "MT_Free/Imgs/000.png", value=0)
    draw_mask(tmp_path / "MT_Crack/Imgs/000.png")
    draw_mask(tmp_path / "MT_Crack/Imgs/001.png", value=127)
    dataset = read_dataset(tmp_path)
    assert dataset.layout == "magnetic_tile"
    assert [sample.path.name for sample in dataset.select(split="test", defective=False)] == [
        "002.jpg",
        "005.jpg",
    ]
    assert counts(dataset) == {("train", "good"): 5, ("test", "good"): 2, ("test", "Crack"): 2}
    assert [union_mask(sample, 24, 32).sum() for sample in dataset.select(kind="Crack")] == [20, 0]


def test_unknown_layout_is_named_with_the_known_ones(tmp_path: Path, grow: Grow) -> None:
    with pytest.raises(OptionError, match='Did you mean "mvtec_ad"'):
        read_dataset(grow(tmp_path, {".": 1}), layout="mvtec")
    with pytest.raises(DataError, match=r"expected the layout visa, got no sub-folders and some pictures"):
        read_dataset(tmp_path, layout="visa")


def test_nothing_recognised_says_what_lies_there(tmp_path: Path) -> None:
    for index in range(8):
        (tmp_path / f"part{index}").mkdir()
    with pytest.raises(DataError, match=r"got sub-folders part0, .*part5, \.\.\. and no pictures") as caught:
        read_dataset(tmp_path)
    assert "\n" not in str(caught.value)
    assert all(name in str(caught.value) for name in LAYOUTS)
    assert caught.value.fix.endswith("where they lie in folders below it, call it good.")


def test_two_layouts_at_once_want_a_name(tmp_path: Path, grow: Grow) -> None:
    grow(tmp_path, {"train/good": 1, "test/good": 1, "MT_Free/Imgs": 3}, suffix=".jpg")
    with pytest.raises(DataError, match="signs of several: magnetic_tile, mvtec_ad"):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path, layout="magnetic_tile").layout == "magnetic_tile"


def test_stray_pictures_beside_a_known_layout(tmp_path: Path, grow: Grow) -> None:
    grow(tmp_path, {".": 1, "MT_Free/Imgs": 3}, suffix=".jpg")
    assert recognise(tmp_path) == "magnetic_tile"


def test_a_folder_named_by_a_dot(tmp_path: Path, grow: Grow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(grow(tmp_path / "nut", {"train/good": 1, "test/good": 1}))
    assert read_dataset(Path()).name == "nut"


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got nothing there"):
        read_dataset(tmp_path / "nowhere")


@pytest.mark.real
@pytest.mark.parametrize(
    ("place", "layout", "expected"),
    [
        ("mvtec_ad_512/screw", "mvtec_ad", (320, 41, 119, 5)),
        ("magnetic_tile", "magnetic_tile", (400, 200, 392, 5)),
        ("bsdata", "bsdata", (167, 83, 150, 1)),
    ],
)
def test_real_data_sets_have_their_published_counts(
    real_data: Path, place: str, layout: str, expected: tuple[int, ...]
) -> None:
    if not (real_data / place).is_dir():
        pytest.skip(f"no {place} in {real_data}")
    assert recognise(real_data / place) == layout
    dataset = read_dataset(real_data / place)
    goods = [len(dataset.select(split=split, defective=False)) for split in ("train", "test")]
    assert (*goods, len(dataset.select(defective=True)), len(dataset.kinds())) == expected
    assert dataset.masked
    assert all(sample.masks for sample in dataset.select(defective=True))
