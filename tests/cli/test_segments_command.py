"""`flawscope segments draft` and `flawscope segments check`, as people call them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flawscope.data.segment_maps import read_segment_map, write_segment_map

Run = Callable[..., Any]
Goods = Callable[..., Path]


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draft from small pictures, where only speed counts."""
    monkeypatch.setattr("flawscope.segmenters.drafting._SIDE", 128)


def test_draft_then_check(flawscope: Run, good_pictures: Goods, tmp_path: Path) -> None:
    folder, out, sheet = good_pictures(3), tmp_path / "new" / "map.png", tmp_path / "sheet.png"
    options = ("--segments", 3, "--seed", 4, "--weights", "random")
    ended = flawscope("segments", "draft", folder, "--out", out, *options, "--json")
    assert ended.code == 0, ended.err
    printed = json.loads(ended.out)
    assert (printed["map"], printed["width"], printed["height"], printed["pictures"]) == (str(out), 48, 48, 3)
    assert printed["preview"] == str(out.parent / "map_preview.png")
    assert sum(printed["shares"]) == pytest.approx(1, abs=1e-5)
    assert read_segment_map(out).shape == (48, 48)
    ended = flawscope("segments", "check", out, folder, "--out", sheet)
    assert ended.code == 0, ended.err
    assert f"{out}: {len(printed['shares'])} segments, 48x48, for 3 pictures." in ended.out
    assert f"Sheet: {sheet}" in ended.out
    assert sheet.is_file()
    again = json.loads(flawscope("segments", "check", out, folder, "--out", sheet, "--json").out)
    assert (again["sheet"], again["shares"]) == (str(sheet), printed["shares"])


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_folder_of_maps_is_checked_with_every_picture(
    flawscope: Run, good_pictures: Goods, tmp_path: Path, mirrored: bool
) -> None:
    data, maps, sheet = tmp_path / "data", tmp_path / "maps", tmp_path / "sheet.png"
    good_pictures(3, name="data/good")
    good_pictures(2, name="data/bent")
    labels = np.zeros((48, 48), np.uint8)
    places = [f"good/00{index}" for index in range(3)]
    places += [f"{'bent' if mirrored else 'bad'}/00{index}" for index in range(2)]
    for number, place in enumerate(places):
        labels[:24] = (0, 0, 2, 2, 3)[number]
        (maps / place).parent.mkdir(parents=True, exist_ok=True)
        np.save(maps / f"{place}.npy", labels)
    options = ("--out", sheet, *(("--mirrors", data) if mirrored else ()))
    ended = flawscope("segments", "check", maps, data, *options)
    assert ended.code == 0, ended.err
    assert f"{maps}: 4 segments, 48x48, for 5 pictures." in ended.out
    assert "No map shows segment 1." in ended.err
    told = json.loads(flawscope("segments", "check", maps, data, *options, "--json").out)
    assert told["shares"] == pytest.approx([0.7, 0, 0.2, 0.1])
    assert sheet.is_file()
    (maps / f"{places[4]}.npy").unlink()
    ended = flawscope("segments", "check", maps, data, *options)
    assert ended.code == 3
    assert f"{Path(places[4]).name}.png" in ended.err
    assert "nothing there" in ended.err


def test_people_read_shares_and_what_to_do_next(flawscope: Run, good_pictures: Goods, tmp_path: Path) -> None:
    out = tmp_path / "map.png"
    given = ("--segments", 2, "--size", "64x32", "--picture-of-first", "--weights", "random")
    ended = flawscope("segments", "draft", good_pictures(2), "--out", out, *given)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == f"{out}: 2 segments, 64x32, for 2 pictures."
    assert lines[1].split()[0] == "0"
    assert lines[1].endswith("%")
    assert lines[-1] == f"Next: flawscope segments check {out} PICTURES --out sheet.png"
    assert read_segment_map(out).shape == (32, 64)


def test_mistakes_end_in_one_line(flawscope: Run, good_pictures: Goods, tmp_path: Path) -> None:
    folder, out = good_pictures(2), tmp_path / "out.png"
    labels = np.zeros((48, 48), np.uint8)
    labels[20:] = 1
    write_segment_map(tmp_path / "map.png", labels)
    write_segment_map(tmp_path / "wide.png", np.repeat(labels, 2, axis=1))
    labels[30:] = 5
    Image.fromarray(labels).save(tmp_path / "gap.png")
    Image.fromarray(labels * 51).save(tmp_path / "unknown.png")
    Image.new("RGB", (48, 48)).save(tmp_path / "rgb.png")
    for arguments, code, message in (
        (("check", tmp_path / "absent.png", folder), 3, "nothing there"),
        (("check", tmp_path / "wide.png", folder), 3, "got 96x48"),
        (("check", tmp_path / "gap.png", folder), 3, "no pixel of index 2, 3, 4"),
        (("check", tmp_path / "unknown.png", folder), 3, "index 255 in 864 pixels"),
        (("check", tmp_path / "rgb.png", folder), 3, "pixel type RGB"),
        (("check", tmp_path / "map.png", tmp_path / "absent"), 3, "absent"),
        (("check", tmp_path / "map.png", folder, "--size", "64"), 2, "WIDTHxHEIGHT"),
        (("check", tmp_path / "map.png", folder, "--size", "1x64"), 2, "32 to 8192"),
        (("draft", folder, "--by", "hand"), 2, "features or sam"),
        (("draft", folder, "--segments", "99"), 2, "2 to 64"),
        (("draft", tmp_path / "absent"), 3, "absent"),
        (("draft", folder, "--device", "abacus"), 2, "device"),
    ):
        ended = flawscope("segments", *arguments, "--out", out)
        assert ended.code == code, ended.err
        assert message in ended.err
        assert ended.err.count("\n") == 1
        assert not out.exists()


def test_sam_without_its_package_names_the_extra(
    flawscope: Run, good_pictures: Goods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    ended = flawscope("segments", "draft", good_pictures(1), "--out", tmp_path / "map.png", "--by", "sam")
    assert ended.code == 8
    assert "flawscope[foundation]" in ended.err
