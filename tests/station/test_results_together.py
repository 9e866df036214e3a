"""Results that several processes, or threads, write at once, and processes that are killed."""

from __future__ import annotations

import contextlib
import csv
import functools
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from flawscope.station import tables
from flawscope.station.audit import audit
from flawscope.station.results import LINES, Results, read_records
from flawscope.station.store import STORE, _lay_out
from recorded import MODEL, add, inspected, picture, scored

WRITER = """
import sys
import threading
from pathlib import Path
from flawscope.runtime.in_force import InForce
from flawscope.runtime.prediction import Decision, Prediction
from flawscope.runtime.record import Record
from flawscope.station.picture import Inspected
from flawscope.station.results import Results

model = InForce(folder="m", manifest="", model="m", calibration="c", engine="none")
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with Results(folder, model=model) as results:
    for index in range(count):
        for path in (f"{name}{index}.png", f"both{index}.png"):
            record = Record.of(Path(path), Prediction(float(index), 0.5, Decision.ACCEPT), model="m")
            results.add(Inspected(record))
        print(index, flush=True)
    results.export()
"""


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-c", WRITER, str(tmp_path / "out"), name, "300"], stdout=subprocess.DEVNULL
        )
        for name in "ab"
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    paths = [record.path for record in read_records(tmp_path / "out")]
    assert sorted(paths) == sorted(
        f"{name}{index}.png" for name in ("a", "b", "both") for index in range(300)
    )
    assert len((tmp_path / "out" / LINES).read_text(encoding="utf-8").splitlines()) == 900
    assert audit(tmp_path / "out").whole


def test_who_writes_tables_later_writes_the_newer_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One inspection has read the store for its table when another one, quicker, adds a record and ends."""
    begun, ended = threading.Event(), threading.Event()
    write = tables.write_table

    def slow(path: Path, columns: Any, records: Any) -> Path:
        if threading.current_thread() is not threading.main_thread():
            return write(path, columns, records)
        found = list(records)
        begun.set()
        assert not ended.wait(0.3)  # the other one waits for its turn
        return write(path, columns, found)

    def other() -> None:
        begun.wait()
        add(tmp_path, inspected(picture(tmp_path, "b.png")))
        ended.set()

    monkeypatch.setattr(tables, "write_table", slow)
    thread = threading.Thread(target=other)
    thread.start()
    add(tmp_path, inspected(picture(tmp_path)))
    thread.join()
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as stream:
        names = [Path(row[0]).name for row in csv.reader(stream)]
    assert sorted(names[1:]) == ["a.png", "b.png"]


def test_tables_are_written_though_a_killed_process_had_its_turn(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from flawscope.station.store import turn
with turn(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        holder.kill()
    add(tmp_path, inspected(picture(tmp_path)))
    assert (tmp_path / "results.csv").exists()


def test_a_folder_that_another_lays_out_at_the_same_moment_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one writes its tables after our first look at the new file, and before our second."""

    class Slow(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if statement == "PRAGMA user_version" and not (tmp_path / "laid").exists():
                (tmp_path / "laid").touch()
                with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(plain(store)) as base:
                    _lay_out(base, tmp_path)
            return super().execute(statement, *values)

    def plain(path: Path, **settings: Any) -> sqlite3.Connection:
        return sqlite3.Connection(path, **{**settings, "timeout": 0, "isolation_level": None})

    store = tmp_path / STORE
    monkeypatch.setattr("sqlite3.connect", functools.partial(sqlite3.connect, factory=Slow))
    monkeypatch.setattr("flawscope.station.store._PATIENCE", 0.0)
    add(tmp_path, inspected(picture(tmp_path)))
    assert len(list(read_records(tmp_path))) == 1


def test_a_killed_process_loses_nothing_that_it_added(tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", WRITER, str(tmp_path / "out"), "a", "100000"],
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(50)]
        writer.kill()
    paths = {record.path for record in read_records(tmp_path / "out")}
    assert {f"a{int(index)}.png" for index in said} <= paths
    found = audit(tmp_path / "out")
    assert (found.whole, found.rows["picture"]) == (True, len(paths))


def test_a_picture_that_two_inspections_answer_at_once_counts_once(tmp_path: Path) -> None:
    out, path = tmp_path / "out", picture(tmp_path)
    with Results(out, model=MODEL) as one, Results(out, model=MODEL) as other:
        one.add(scored(path, 1.0))
        other.add(scored(path, 1.0))
        assert audit(out).rows["picture"] == 1
        path.write_bytes(b"other pixels")
        other.add(scored(path, 2.0))
    assert [record.score for record in read_records(out)] == [2.0]
    assert audit(out).rows["picture"] == 2
