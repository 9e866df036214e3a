"""Standard output that is closed or full, and an inspection that is stopped: what is told, what is left."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flawscope.cli import inspect_command
from flawscope.cli.console import table_of
from trained import Trained

COMMAND = [sys.executable, "-m", "flawscope", "methods"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("further", [[], ["--json"]])
def test_full_standard_output_is_named(further: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(  # noqa: S603 - our own command
            [*COMMAND, *further], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 7
    assert "output standard output: expected a place that can be written" in ended.stderr


@pytest.mark.skipif(os.name == "nt", reason="standard output is closed by a shell here")
def test_closed_standard_output_ends_without_a_word() -> None:
    script = 'exec "$@" >&-'
    ended = subprocess.run(  # noqa: S603 - our own command
        ["/bin/sh", "-c", script, "sh", *COMMAND, "--json"], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_stopped_inspection_leaves_its_report(
    flawscope: Callable[..., Any], trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def asked_to_stop() -> Iterator[threading.Event]:
        event = threading.Event()
        event.set()
        yield event

    monkeypatch.setattr(inspect_command, "stop_on_interrupt", asked_to_stop)
    ended = flawscope("inspect", trained.folder, trained.pictures / "spot", "--out", tmp_path / "out")
    assert ended.code == 130
    assert (tmp_path / "out" / "report.html").is_file()


def test_tables_cut_no_names_and_numbers_in_narrow_terminals() -> None:
    table, stream = table_of("score", "picture", title="Most anomalous"), io.StringIO()
    name = "line/camera_number_two/2026-11-30/000123.png"
    table.add_row("0.5725", name)
    Console(file=stream, width=26, soft_wrap=True).print(table)
    lines = [line.split("│")[1:3] for line in stream.getvalue().splitlines() if line.count("│") == 3]
    assert ["".join(cell.strip() for cell in column) for column in zip(*lines, strict=True)] == [
        "0.5725",
        name,
    ]
