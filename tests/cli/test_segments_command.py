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
    ended = flawscope("segments", "check", tmp_path, data, "--out", sheet)
    assert ended.code == 3
    assert "got neither folder there. Where they mirror" in ended.err


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


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Good pictures of two red squares and a blue bar on grey, which lie elsewhere in each."""
    random = np.random.default_rng(0)
    for index in range(6):
        picture = np.full((64, 64, 3), 120, np.uint8)
        left, top = random.integers(2, 12, 2)
        picture[top : top + 10, left : left + 10] = (220, 30, 30)
        picture[top : top + 10, left + 30 : left + 40] = (220, 30, 30)
        picture[top + 25 : top + 30, left : left + 40] = (30, 60, 220)
        path = tmp_path / "data" / "good" / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return tmp_path / "data"


COMPONENTS = (
    "--set",
    "labels.features.weights=random",
    "--set",
    "labels.features.rotations=1",
    "--size",
    "64x64",
)


def test_components_are_written_corrected_and_made_again(flawscope: Run, parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    ended = flawscope("segments", "components", parts, "--out", out, *COMPONENTS, "--json")
    assert ended.code == 0, ended.err
    printed = json.loads(ended.out)
    assert (printed["pictures"], printed["labelled"], printed["by_hand"]) == (6, 6, 0)
    assert printed["names"] == ["background", "component 1", "component 2"]
    assert printed["shares"][1:] == pytest.approx([200 / 64**2] * 2, abs=0.005)
    assert Path(printed["sheet"]) == out / "contact_sheet.png"
    drawn = out / "good" / "000.png"
    labels = np.asarray(Image.open(drawn)).copy()
    labels[60:] = 1
    Image.fromarray(labels).save(drawn)
    ended = flawscope("segments", "components", parts, "--out", out, *COMPONENTS)
    assert ended.code == 0, ended.err
    assert "6 maps may be learnt from, 1 of them are by hand." in ended.out
    np.testing.assert_array_equal(np.asarray(Image.open(drawn)), labels)
    ended = flawscope(
        "segments", "components", parts, "--proposer", f"folder={out}", "--out", tmp_path / "copy"
    )
    assert ended.code == 0, ended.err
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "copy" / "good" / "000.png")), labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--proposer", "area"), 'Did you mean "areas"?'),
        (("--proposer", "folder"), "Write --proposer folder=PATH."),
        (("--proposer", "sam=x"), "Write --proposer sam and --set proposer.KEY=VALUE."),
        (("--preset", "quick"), "--preset: expected a known name"),
        (("--set", "labels.bandwith=3"), "'labels.bandwith'"),
        (("--size", "big"), "Say 256x256."),
    ],
)
def test_wrong_options_of_components_are_one_line(
    flawscope: Run, parts: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    ended = flawscope("segments", "components", parts, "--out", tmp_path / "labels", *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert not (tmp_path / "labels").exists()


def test_label_maps_do_not_lie_among_the_pictures(flawscope: Run, parts: Path) -> None:
    ended = flawscope("segments", "components", parts, "--out", parts / "labels", *COMPONENTS)
    assert ended.code == 2
    assert "expected a folder outside of the pictures" in ended.err
