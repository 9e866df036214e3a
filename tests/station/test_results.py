"""Results: a record a picture, resumable after any interruption, shared, never mixed between models."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import resource
import sqlite3
from pathlib import Path

import pytest

from flawscope.errors import OutputError
from flawscope.runtime.prediction import Decision
from flawscope.runtime.record import Inset, Views
from flawscope.station import tables
from flawscope.station.overlays import overlay_path
from flawscope.station.picture import MOST
from flawscope.station.results import LINES, TABLE, Results, read_records, read_views
from flawscope.station.states import file_state
from flawscope.station.store import STORE
from in_force import in_force
from recorded import ERROR, MODEL, add, add_each, inspected, picture, scored


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
    paths[39].write_bytes(b"other pixels")
    asked = [paths[39], paths[20], paths[0], tmp_path / "z.png"]
    with Results(tmp_path / "out", model=MODEL) as again:
        assert list(again.new(asked)) == [paths[0], tmp_path / "z.png"]
        assert list(again.changed(asked)) == [paths[39]]


def test_a_picture_that_is_gone_keeps_its_verdict(tmp_path: Path) -> None:
    paths = [picture(tmp_path, name) for name in ("a.png", "b.png")]
    add(tmp_path / "out", *map(inspected, paths))
    paths[0].unlink()
    with Results(tmp_path / "out", model=MODEL) as again:
        assert not [*again.new(paths), *again.changed(paths)]


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
    assert [entry["kind"] for entry in entries] == ["model", "folder", "picture", "picture", "picture"]
    assert [entry.get("again") for entry in entries] == [None, None, None, 3, 4]
    assert [entry["record"]["score"] for entry in entries[2:]] == [1.0, 2.0, 3.0]
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


def test_fresh_takes_away_what_inspections_wrote_and_nothing_else(tmp_path: Path) -> None:
    overlay = overlay_path(tmp_path, Path("a.png"), Decision.REJECT)
    for path in (overlay, tmp_path / "overlays" / "a.psd", tmp_path / "overlays" / "reject" / "mine.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"precious")
    (tmp_path / TABLE).write_text("mine")
    with pytest.raises(OutputError, match=r"results\.csv: expected results\.sqlite beside it"):
        Results(tmp_path, model=MODEL)
    Results(tmp_path, model=MODEL, fresh=True).close()
    left = sorted(path.name for path in (tmp_path / "overlays").rglob("*.*"))
    assert left == ["a.psd", "mine.png"]


def test_a_picture_from_far_in_the_future_is_known_again(tmp_path: Path) -> None:
    path = picture(tmp_path)
    try:
        os.utime(path, (10_400_000_000,) * 2)
    except OverflowError:
        pytest.skip("this system knows no such times")
    add(tmp_path / "out", inspected(path))
    with Results(tmp_path / "out", model=MODEL) as again:
        assert not [*again.new([path]), *again.changed([path])]
