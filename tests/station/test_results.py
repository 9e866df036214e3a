"""Results: a record a picture, resumable after any interruption, shared, never mixed between models."""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import resource
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from flawscope.errors import InputError, OutputError
from flawscope.runtime.in_force import InForce
from flawscope.runtime.prediction import Decision, Finding, Prediction
from flawscope.runtime.record import Inset, Record, Views
from flawscope.station import tables
from flawscope.station.audit import audit
from flawscope.station.picture import MOST, Inspected
from flawscope.station.results import LINES, Results, read_records, read_views
from flawscope.station.states import file_state
from flawscope.station.store import STORE, _lay_out
from in_force import in_force

MODEL = in_force()
ANSWER = Prediction(2.5, 0.01, Decision.REJECT, findings=(Finding("unusual area"),))
ERROR = InputError("picture", expected="a whole file", got="half of one", fix="Copy it again.")


def picture(folder: Path, name: str = "a.png") -> Path:
    path = folder / name
    path.write_bytes(b"pixels")
    return path


def inspected(path: Path, answer: Prediction | InputError = ANSWER, views: Views | None = None) -> Inspected:
    return Inspected(Record.of(path, answer, state=file_state(path), model=MODEL.identity), views=views)


def add_each(results: Results, found: list[Inspected]) -> None:
    for one in found:
        results.add(one)


def scored(path: Path, score: float, views: Views | None = None) -> Inspected:
    return inspected(path, Prediction(score, 0.5, Decision.ACCEPT), views)


def add(folder: Path, *found: Inspected, model: InForce = MODEL) -> None:
    with Results(folder, model=model) as results:
        results.add(*found)
        results.export()


def test_done_pictures_are_known_again_until_they_change(tmp_path: Path) -> None:
    paths = [picture(tmp_path, f"{index}.png") for index in range(1200)]
    add(tmp_path / "out", *(inspected(path) for path in paths[:1100]))
    paths[7].write_bytes(b"other pixels")
    with Results(tmp_path / "out", model=MODEL) as again:
        assert list(again.new(paths)) == paths[1100:]
        assert list(again.changed(paths)) == [paths[7]]


def test_pictures_far_apart_in_a_full_store_are_known_again(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    paths = [picture(tmp_path, f"a/{index:03d}.png") for index in range(40)]
    add(tmp_path / "out", *(inspected(path) for path in paths[1:]))
    paths[39].unlink()
    asked = [paths[39], paths[20], paths[0], tmp_path / "z.png"]
    with Results(tmp_path / "out", model=MODEL) as again:
        assert list(again.new(asked)) == [paths[0], tmp_path / "z.png"]
        assert list(again.changed(asked)) == [paths[39]]


def test_names_without_a_folder_are_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [picture(Path(), name) for name in ("a.png", "b.png")]
    add(Path("out"), *map(inspected, paths))
    paths[1].write_bytes(b"other pixels")
    with Results(Path("out"), model=MODEL) as again:
        assert list(again.changed(paths)) == [paths[1]]


def test_failed_pictures_are_tried_again_and_replaced(tmp_path: Path) -> None:
    first, second = picture(tmp_path), picture(tmp_path, "b.png")
    add(tmp_path / "out", inspected(first, ERROR), inspected(second))
    with Results(tmp_path / "out", model=MODEL) as results:
        assert list(results.new([first, second])) == [first]
        results.add(inspected(first))
    assert list(read_records(tmp_path / "out")) == [inspected(path).record for path in (first, second)]


def test_lines_hold_the_records_and_the_state_of_their_files(tmp_path: Path) -> None:
    path, odd = picture(tmp_path), picture(tmp_path, "Pr\udcfcfteil.png")
    add(tmp_path / "out", inspected(path), inspected(odd, ERROR))
    lines = [json.loads(line) for line in (tmp_path / "out" / LINES).read_text("utf-8").splitlines()]
    assert [line.pop("file") for line in lines] == [list(file_state(path) or ()), list(file_state(odd) or ())]
    assert lines == [inspected(path).record.to_json(), {"path": str(odd), "error": str(ERROR)}]


def test_the_table_is_sorted_by_score_with_errors_last(tmp_path: Path) -> None:
    names = {"low.png": 1.0, "high.png": 9.0, "=SUM(1).png": 5.0}
    found = [scored(Path(name), score) for name, score in names.items()]
    add(tmp_path / "out", inspected(Path("bad.png"), ERROR), *found)
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["path", "decision", "score", "p_value", "findings", "error", "picture"]
    assert [row["path"] for row in rows] == ["high.png", "'=SUM(1).png", "low.png", "bad.png"]
    assert (rows[3]["error"], rows[3]["score"]) == (str(ERROR), "")


@pytest.mark.parametrize(
    "name",
    ["a;b.png", "C:\\line\\1\\", 'say "no".png', "a,b.png", "two\nlines.png", "tab\tin.png", "\\udcff.png"],
)
def test_any_name_comes_back_from_the_table(name: str, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    tables.write_table(path, tables.RESULTS, [scored(Path(name), 1.5).record])
    header, row, *_ = path.read_text("utf-8").splitlines()
    assert header == '"path","decision","score","p_value","findings","error","picture"'
    assert row.startswith('"')  # whoever parts cells at semicolons leaves a text in quotes whole
    with path.open(encoding="utf-8", newline="") as stream:
        (read,) = csv.DictReader(stream)
    assert (read["path"], read["score"]) == (str(Path(name)), "1.5")
    with path.open(encoding="utf-8", newline="") as stream:
        _, cells = csv.reader(stream, delimiter=";")
    assert len(cells) == 1 or ";" not in name


def test_results_of_another_model_are_refused_unless_fresh(tmp_path: Path) -> None:
    path = picture(tmp_path)
    add(tmp_path / "out", inspected(path))
    with pytest.raises(OutputError, match="another model"):
        Results(tmp_path / "out", model=in_force("n"))
    with Results(tmp_path / "out", model=MODEL) as earlier:
        with Results(tmp_path / "out", model=in_force("n"), fresh=True) as results:
            assert list(results.new([path])) == [path]
            assert not (tmp_path / "out" / LINES).exists()
        with pytest.raises(OutputError, match="another model"):  # taken over meanwhile
            earlier.add(inspected(path))


def test_small_pictures_are_kept_of_the_highest_scores(tmp_path: Path) -> None:
    views = Views(b"small", b"", (Inset(b"pair", "a pair"),))
    with Results(tmp_path / "out", model=MODEL) as results:
        for index in range(MOST + 20):
            one = scored(Path(f"{index}.png"), float(index % 50 * 100 + index), views)
            assert results.shows(one.record) or index >= MOST
            results.add(one)
        assert not results.shows(scored(Path("x"), -1.0).record)
        results.add(scored(Path("49.png"), 1.0))  # replaced, and no longer among them
    found = read_views(tmp_path / "out")
    ranked = sorted(read_records(tmp_path / "out"), key=lambda record: -record.rank)
    assert len(found) == MOST - 1
    assert set(found) <= {record.path for record in ranked[:MOST]}
    assert found["149.png"] == views


def test_results_of_an_earlier_format_are_refused_unless_fresh(tmp_path: Path) -> None:
    add(tmp_path, inspected(picture(tmp_path)))
    with contextlib.closing(sqlite3.connect(tmp_path / STORE)) as base:
        base.execute("PRAGMA user_version = 1")
    for read in (lambda: Results(tmp_path, model=MODEL), lambda: list(read_records(tmp_path))):
        with pytest.raises(OutputError, match=r"expected results of format 2, .*, got format 1"):
            read()
    Results(tmp_path, model=MODEL, fresh=True).close()
    assert list(read_records(tmp_path)) == []


def test_a_picture_inspected_again_has_a_new_entry_that_names_the_one_before(tmp_path: Path) -> None:
    with Results(tmp_path, model=MODEL) as results:
        for score in (1.0, 2.0, 3.0):
            results.add(scored(Path("a.png"), score))
    with contextlib.closing(sqlite3.connect(tmp_path / STORE)) as base:
        entries = [json.loads(text) for (text,) in base.execute("SELECT entry FROM chain ORDER BY seq")]
    assert [entry["kind"] for entry in entries] == ["model", "picture", "picture", "picture"]
    assert [entry.get("again") for entry in entries] == [None, None, 2, 3]
    assert [entry["record"]["score"] for entry in entries[1:]] == [1.0, 2.0, 3.0]
    assert [record.score for record in read_records(tmp_path)] == [3.0]


def test_damaged_and_foreign_files_are_one_clear_line(tmp_path: Path) -> None:
    store = tmp_path / STORE
    for content in (
        b"no database, but longer than a header of SQLite would be" * 40,
        b"SQLite format 3\0" * 99,
    ):
        store.write_bytes(content)
        with pytest.raises(OutputError, match="expected results of an inspection, got a damaged or foreign"):
            Results(tmp_path, model=MODEL)
    store.unlink()
    with sqlite3.connect(store) as base:
        base.execute("CREATE TABLE orders (number INTEGER)")
    base.close()
    with pytest.raises(OutputError, match="--fresh"):
        list(read_records(tmp_path))
    Results(tmp_path, model=MODEL, fresh=True).close()
    assert list(read_records(tmp_path)) == []


def test_a_damaged_record_is_one_clear_line(tmp_path: Path) -> None:
    add(tmp_path, inspected(picture(tmp_path)))
    with sqlite3.connect(tmp_path / STORE) as base:
        base.execute("UPDATE chain SET entry = '[]'")
    base.close()
    with pytest.raises(OutputError, match="damaged"):
        list(read_records(tmp_path))


def test_lines_without_their_store_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / LINES).write_text("{}\n")
    with pytest.raises(OutputError, match=r"expected results\.sqlite beside it"):
        Results(tmp_path, model=MODEL)
    Results(tmp_path, model=MODEL, fresh=True).close()


def test_a_full_disk_is_one_clear_line_and_keeps_what_was_added(tmp_path: Path) -> None:
    found = [inspected(Path(f"{'long' * 500}{index}.png")) for index in range(200)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Results(tmp_path / "out", model=MODEL) as results:
        results.add(found[0])
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
            with pytest.raises(OutputError, match=r"results\.sqlite: expected a place that can be written"):
                add_each(results, found[1:])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = [record.path for record in read_records(tmp_path / "out")]
    assert 1 <= len(kept) < 200
    assert kept == [one.record.path for one in found[: len(kept)]]


def test_a_file_in_place_of_the_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OutputError, match="expected a place that can be written"):
        Results(tmp_path / "out", model=MODEL)


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
