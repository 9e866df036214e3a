"""What is made never takes the place of what is read, nor lies among pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flawscope.data.groups import GroupChoice
from flawscope.data.groups_as_before import tables_of
from flawscope.data.outputs import refuse_in, refuse_over
from flawscope.data.segment_maps import write_segment_map
from flawscope.errors import OptionError

Run = Callable[..., Any]


def test_a_file_that_is_read_or_lies_among_pictures(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    picture, other = tmp_path / "good" / "0.png", tmp_path / "map.png"
    for path in (picture, other):
        path.write_bytes(b"pixels")
    (tmp_path / "link").symlink_to(tmp_path / "good")
    for out in (picture, tmp_path / "good" / "new.png", tmp_path / "link" / "new.png", other):
        with pytest.raises(OptionError, match="--out"):
            refuse_over(out, [picture], other)
    refuse_over(tmp_path / "new.png", [picture, tmp_path / "absent.png"], other)
    with pytest.raises(OptionError, match="what is read from"):
        refuse_in(tmp_path / "good" / "deep" / "new.png", tmp_path / "good")
    refuse_in(tmp_path / "new.png", tmp_path / "good")


def test_sheets_and_drafts_spare_what_is_there(
    flawscope: Run, good_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, painted = good_pictures(3), tmp_path / "map.png"
    labels = np.zeros((48, 48), np.uint8)
    labels[20:] = 1
    write_segment_map(painted, labels)
    painted.rename(tmp_path / "other_preview.png")
    write_segment_map(painted, labels)
    read = (painted, tmp_path / "other_preview.png", *folder.iterdir())
    before = {path: path.read_bytes() for path in read}
    inside = folder / "sheet.png"
    for arguments in (
        ("segments", "check", painted, folder, "--out", painted),
        ("segments", "check", painted, folder, "--out", inside),
        ("segments", "draft", folder, "--out", painted, "--weights", "random"),
        ("data", "defects", folder, "--out", inside),
        ("data", "defects", folder, "--out", folder / "000.png"),
        ("data", "defects", folder, "--kind", "segments", "--segments", painted, "--out", painted),
        ("segments", "draft", folder, "--out", tmp_path / "other.png", "--weights", "random"),
    ):
        ended = flawscope(*arguments)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert {path: path.read_bytes() for path in read} == before
    assert len(list(folder.iterdir())) == 3


def test_drawings_of_annotations_spare_these(
    flawscope: Run, good_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, maps = good_pictures(2, name="bags/good"), tmp_path / "maps" / "good"
    maps.mkdir(parents=True)
    labels = np.zeros((48, 48), np.uint8)
    labels[20:] = 1
    for path in folder.iterdir():
        write_segment_map(maps / path.name, labels)
    (maps / "names.json").write_text('["background", "part"]')
    read = [*folder.iterdir(), *maps.iterdir()]
    before = {path: path.read_bytes() for path in read}
    for out in (folder.parent, folder, maps, tmp_path / "maps"):
        ended = flawscope("annotate", "check", maps, "--pictures", folder.parent, "--out", out)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert {path: path.read_bytes() for path in read} == before


def test_an_evaluation_spares_the_table_of_groups_and_the_annotations(flawscope: Run, tmp_path: Path) -> None:
    table, drawn = tmp_path / "pictures.csv", tmp_path / "evaluation.json"
    table.write_text("picture,part\n0.png,a\n", encoding="utf-8")
    drawn.write_text("{}", encoding="utf-8")
    command = ("evaluate", tmp_path / "model", tmp_path / "data", "--out", tmp_path)
    for reading in (("--groups", f"{table}:part"), ("--annotations", drawn)):
        ended = flawscope(*command, *reading)
        assert (ended.code, "a folder in which no file is read" in ended.err) == (2, True)


def test_the_table_that_a_model_counts_parts_by_is_among_what_is_read(tmp_path: Path) -> None:
    table = tmp_path / "pictures.csv"
    assert tables_of(None, f"{table}:part") == [table]
    assert tables_of(GroupChoice.parse(f"{table}:part"), "") == [table]
    assert tables_of(GroupChoice.parse("none"), f"{table}:part") == []
    assert tables_of(None, "") == tables_of(None, "part([0-9]+)_") == []
