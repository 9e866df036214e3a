"""`flawscope data defects` and `flawscope data convert`, as people call them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from flawscope.data.layouts import read_dataset

Run = Callable[..., Any]
Goods = Callable[..., Path]


@pytest.mark.parametrize("appearance", ["thesis", "efficientad", "none"])
def test_the_sheet_shows_originals_defects_and_outlines(
    flawscope: Run, good_pictures: Goods, tmp_path: Path, appearance: str
) -> None:
    sheet = tmp_path / "new" / "sheet.png"
    options = ("--count", 3, "--size", 64, "--seed", 5, "--appearance", appearance)
    ended = flawscope("data", "defects", good_pictures(4), "--out", sheet, *options, "--json")
    assert ended.code == 0, ended.err
    printed = json.loads(ended.out)
    assert (printed["sheet"], printed["pictures"], len(printed["defect_share"])) == (str(sheet), 3, 3)
    assert all(0 < share < 0.05 for share in printed["defect_share"])
    pixels = cv2.imread(str(sheet))
    assert pixels.shape == (30 + 3 * 94, 16 + 4 * 72, 3)
    cells = [pixels[24:88, left : left + 64].astype(int) for left in (8, 80, 152, 224)]
    apart = np.abs(cells[0] - cells[1]).max(axis=2) > 0
    outlined = (cells[2] == (32, 96, 255)).all(axis=2)
    assert outlined.any()
    assert apart[outlined].all()
    assert set(np.unique(cells[3])) == {0, 255}
    assert (cells[3][..., 0] == 255).mean() == pytest.approx(printed["defect_share"][0], abs=1e-9)
    if appearance == "none":
        assert apart.mean() == pytest.approx(printed["defect_share"][0], abs=1e-9)


def test_a_seed_draws_the_same_sheet_again(flawscope: Run, good_pictures: Goods, tmp_path: Path) -> None:
    folder = good_pictures(8)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / f"{name}.png"
        ended = flawscope("data", "defects", folder, "--out", out, "--size", 64, "--seed", seed)
        assert ended.out == f"{out}: 8 pictures, defects anywhere\n"
    sheets = [(tmp_path / f"{name}.png").read_bytes() for name in "abc"]
    assert sheets[0] == sheets[1] != sheets[2]


@pytest.mark.parametrize(
    ("option", "skips"), [(None, True), ("--skip-background", True), ("--no-skip-background", False)]
)
def test_defects_skip_plain_background(
    flawscope: Run, tmp_path: Path, option: str | None, skips: bool
) -> None:
    picture = np.full((64, 64, 3), 220, np.uint8)
    picture[20:30, 20:50] = 60
    (tmp_path / "good").mkdir()
    Image.fromarray(picture).save(tmp_path / "good" / "ünï.png")
    sheet = tmp_path / "sheet.png"
    options = ("--size", 64, "--appearance", "none", "--seed", 1, *([option] if option else []))
    ended = flawscope("data", "defects", tmp_path / "good", "--out", sheet, *options)
    assert ended.out.endswith("on the product alone\n" if skips else "anywhere\n")
    drawn = cv2.imread(str(sheet))[24:88, 80:144]
    changed = (drawn != picture).any(axis=2)
    assert changed.any()
    assert bool(changed[:16].any() or changed[34:].any()) != skips


def test_cdos_sides_are_longer(flawscope: Run, good_pictures: Goods, tmp_path: Path) -> None:
    folder, shares = good_pictures(4), []
    for sides in ("thesis", "cdo"):
        options = ("--out", tmp_path / "sheet.png", "--size", 64, "--sides", sides, "--json")
        shares.append(np.mean(json.loads(flawscope("data", "defects", folder, *options).out)["defect_share"]))
    assert shares[1] > 2 * shares[0]


@pytest.mark.parametrize("segments", [None, "one", "object", "map"])
def test_segads_defects_lie_on_one_segment(flawscope: Run, tmp_path: Path, segments: str | None) -> None:
    texture = np.random.default_rng(0).integers(0, 60, (64, 64, 3))
    texture[20:44, 20:44] += 180
    (tmp_path / "good").mkdir()
    for index in range(24):
        Image.fromarray(texture.astype(np.uint8)).save(tmp_path / "good" / f"{index:02d}.png")
    inside = np.zeros((64, 64), np.uint8)
    inside[20:44, 20:44] = 1
    Image.fromarray(inside).save(tmp_path / "map.png")
    sheet = tmp_path / "sheet.png"
    chosen = (
        () if segments is None else ("--segments", tmp_path / "map.png" if segments == "map" else segments)
    )
    options = ("--size", 64, "--count", 24, "--kind", "segments", *chosen)
    ended = flawscope("data", "defects", tmp_path / "good", "--out", sheet, *options, "--json")
    assert ended.code == 0, ended.err
    shares = json.loads(ended.out)["defect_share"]
    assert all(0 < share <= 1 for share in shares)
    assert (1.0 in shares) == (segments in (None, "one"))  # all of the one segment, blurred
    if segments in ("object", "map"):
        assert any(share == pytest.approx(24 * 24 / 64**2, rel=0.2) for share in shares)
    pixels = cv2.imread(str(sheet))
    assert np.array_equal(pixels[24:88, 8:72, ::-1], texture)


def test_mistakes_end_in_one_line(flawscope: Run, good_pictures: Goods, tmp_path: Path) -> None:
    folder = good_pictures(2)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    out = tmp_path / "sheet.png"
    for arguments, code, message in (
        ((folder, "--out", tmp_path / "sheet.jpg"), 2, "ends in .png"),
        ((folder, "--out", out, "--appearance", "thesiss"), 2, 'Did you mean "thesis"'),
        ((folder, "--out", out, "--kind", "segment"), 2, 'Did you mean "segments"'),
        ((folder, "--out", out, "--segments", "one"), 2, "add --kind segments"),
        (
            (folder, "--out", out, "--kind", "segments", "--appearance", "none"),
            2,
            "of that kind, got --appearance",
        ),
        (
            (folder, "--out", out, "--kind", "segments", "--segments", tmp_path / "map.png"),
            3,
            "nothing there",
        ),
        ((folder, "--out", out, "--sides", "cod"), 2, 'Did you mean "cdo"'),
        ((tmp_path / "absent", "--out", out), 3, "nothing there"),
        ((tmp_path / "broken", "--out", out), 3, "a.png"),
        ((folder, "--out", folder / "000.png" / "sheet.png"), 7, "a place that can be written"),
    ):
        ended = flawscope("data", "defects", *arguments)
        assert ended.code == code
        assert message in ended.err
        assert ended.err.count("\n") == 1
        assert not out.exists()


def real_iad(root: Path) -> Path:
    """Twenty good parts of one view, and one with a defect."""
    folder, tables = root / "realiad_256" / "mint", root / "realiad_jsons"
    tables.mkdir(parents=True)
    entries = [("OK", f"OK/S{part:02d}/mint_{part}_C1_1.png", None) for part in range(20)]
    entries.append(("AK", "NG/AK/S90/mint_90_C3_1.png", "NG/AK/S90/mask.png"))
    for _, image, mask in entries:
        for name in filter(None, (image, mask)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (16, 16), 255).save(folder / name)
    keys = ("anomaly_class", "image_path", "mask_path")
    listed = [dict(zip(keys, entry, strict=True)) for entry in entries]
    meta = {"prefix": "mint/", "normal_class": "OK"}
    (tables / "mint.json").write_text(json.dumps({"meta": meta, "train": listed[:12], "test": listed[12:]}))
    return root


def test_convert_writes_a_data_set_that_reads_as_mvtec_ad(flawscope: Run, tmp_path: Path) -> None:
    source, out = real_iad(tmp_path / "in"), tmp_path / "out"
    ended = flawscope("data", "convert", source, "--product", "all", "--out", out, "--link", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == {
        "product": "mint",
        "folder": str(out / "mint"),
        "train": 18,
        "test_good": 2,
        "test_defective": 1,
        "masks": 1,
    }
    dataset = read_dataset(out)
    assert (dataset.layout, len(dataset), dataset.kinds()) == ("mvtec_ad", 21, ("AK",))
    (flaw,) = dataset.select(defective=True)
    assert flaw.path.name == "mint_90_C3_1.png"
    other = flawscope("data", "convert", source, "--out", tmp_path / "listed", "--split", "published")
    assert "12 good pictures to train on; to test 8 good and 1 defective, 1 with masks." in other.out


def test_convert_refuses_in_one_line(flawscope: Run, tmp_path: Path) -> None:
    source, out = real_iad(tmp_path / "in"), tmp_path / "out"
    flawscope("data", "convert", source, "--out", out)
    for arguments, code, message in (
        ((source, "--out", out), 7, "got one with content"),
        ((source, "--out", out, "--split", "thesiss"), 2, 'Did you mean "thesis"'),
        ((source, "--out", tmp_path / "b", "--product", "nut"), 3, 'got "nut"'),
        ((tmp_path, "--out", tmp_path / "c"), 3, "expected the layout real_iad"),
    ):
        ended = flawscope("data", "convert", *arguments)
        assert ended.code == code
        assert message in ended.err
        assert ended.err.count("\n") == 1


def test_the_check_lists_each_kind_with_its_truth(
    flawscope: Run, good_pictures: Goods, tmp_path: Path
) -> None:
    good_pictures(30, name="nut/OK")
    good_pictures(2, name="nut/NG", seed=1)
    good_pictures(2, name="nut/good_old", seed=2)
    ended = flawscope("data", "check", tmp_path / "nut")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[:3] == ["OK (good): 30 train", "NG (defective): 2 test", "good_old (defective): 2 test"]
    assert any("good_old: 2 pictures count as defective." in line for line in lines)
    told = [
        json.loads(line) for line in flawscope("data", "check", tmp_path / "nut", "--json").out.splitlines()
    ]
    kinds = [line for line in told if line["rule"] == "kind"]
    assert [(kind["name"], kind["defective"], kind["doubtful"]) for kind in kinds] == [
        ("OK", False, False),
        ("NG", True, False),
        ("good_old", True, True),
    ]
    assert all({"severity", "rule", "files", "message", "fix"} <= set(line) for line in told)
