"""Every name of a file is printable on every stream, and in every file of results."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flawscope.cli.console import forget_no_width, printable
from flawscope.station.results import read_records
from trained import Trained, write_pictures

NAMES = {
    "Chinese": "\u96f6\u4ef6\u4e00\u53f7.png",
    "Latin-1 bytes": "Pr\udcfcfteil.png",
    "emoji, joined": "\U0001f469\u200d\U0001f527 part.png",
    "escapes": "\x1b[31mred\x1b]0;title\x07.png",
    "line ends": "two\nlines\r.png",
    "right to left": "\u202egnp.trap.png",
    "Arabic": "\u0642\u0637\u0639\u0629.png",
    "markup": "[bold]:warning: {x} %s.png",
    "formula": "=1+1.png",
    "HTML": "<script>alert(1)<.png",
}
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of these names, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("names")
    source = write_pictures(folder / "good", 1, spot=True) / "000.png"
    for name in NAMES.values():
        (folder / "good" / name).write_bytes(source.read_bytes())
    source.unlink()
    (folder / "good" / "bro\udcffken \x1b[2J\u96f6.png").write_bytes(b"no picture")
    return folder


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8:strict", "ascii:strict"])
def test_an_inspection_goes_through_on_any_stream(
    trained: Trained, folder: Path, tmp_path: Path, encoding: str
) -> None:
    command = [
        sys.executable,
        "-m",
        "flawscope",
        "inspect",
        trained.folder,
        folder,
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run(  # noqa: S603 - our own command
        command,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr  # one picture is none
    told = (done.stdout + done.stderr).decode(encoding.split(":", maxsplit=1)[0])
    assert "Traceback" not in told
    steering = {character for character in told if unicodedata.category(character) in ("Cc", "Cf")}
    assert steering <= {"\n", "\u200d"}  # the end of a line, and the joiner of an emoji
    assert {Path(record.path).name for record in read_records(tmp_path / "out")} >= {*NAMES.values()}


def test_results_hold_every_name(flawscope: Run, trained: Trained, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = flawscope("inspect", trained.folder, folder, "--out", out, "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    printed = [line["path"] for line in lines if line.keys() != {"drift"}]  # ten flawed ones may be an alarm
    kept = [json.loads(line)["path"] for line in (out / "results.jsonl").read_text("utf-8").splitlines()]
    assert sorted(printed) == sorted(kept) == sorted(str(path) for path in (folder / "good").iterdir())
    with (out / "results.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = [row["path"] for row in csv.DictReader(stream)]
    assert len(rows) == len(kept)
    page = (out / "report.html").read_text("utf-8")
    assert "<script>alert" not in page
    for name in (NAMES["Chinese"], NAMES["Arabic"]):
        assert name in page
        assert any(name in row for row in rows)
    assert "Pr\ufffdfteil" in page
    assert any("Pr\\udcfcfteil" in row for row in rows)


def test_an_evaluation_and_a_check_tell_every_name(flawscope: Run, trained: Trained, tmp_path: Path) -> None:
    for kind in ("good", "Kr\udce4tzer", "\u5212\u75d5", "\x1b[31m"):
        write_pictures(tmp_path / "in" / kind, 2, seed=len(kind), spot=kind != "good")
    done = flawscope("evaluate", trained.folder, tmp_path / "in", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "Kr\\udce4tzer" in done.out
    assert "\x1b" not in done.out
    kinds = json.loads(flawscope("evaluate", trained.folder, tmp_path / "in", "--json").out)["kinds"]
    assert "Kr\udce4tzer" in kinds
    assert "\u5212\u75d5" in (tmp_path / "out" / "report.html").read_text("utf-8")
    for how in ((), ("--json",)):
        assert "\x1b[31m" not in flawscope("data", "check", tmp_path / "in", *how).out


def test_errors_tell_every_name(flawscope: Run, trained: Trained, tmp_path: Path) -> None:
    for name in NAMES.values():
        done = flawscope("inspect", trained.folder, f"{tmp_path}/{name}/*.png")
        assert done.code == 3
        assert done.err.count("\n") == 1
        assert "\x1b" not in done.err


def test_what_is_printable_stays() -> None:
    for kind in ("Chinese", "emoji, joined", "Arabic", "markup", "formula"):
        assert printable(NAMES[kind]) == NAMES[kind]
    assert printable(NAMES["escapes"]) == r"\x1b[31mred\x1b]0;title\x07.png"
    assert printable(NAMES["line ends"]) == r"two\nlines\r.png"
    assert printable(NAMES["right to left"]) == r"\u202egnp.trap.png"
    assert printable(NAMES["Latin-1 bytes"]) == r"Pr\udcfcfteil.png"


@pytest.mark.parametrize(("said", "kept"), [("0", False), ("", False), ("70", True)])
def test_a_width_of_nothing_is_no_width(monkeypatch: pytest.MonkeyPatch, said: str, kept: bool) -> None:
    monkeypatch.setenv("COLUMNS", said)
    forget_no_width()
    assert ("COLUMNS" in os.environ) is kept
