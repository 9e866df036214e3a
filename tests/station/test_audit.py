"""An audit of results names the first row that was changed, removed or put in, whatever was."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flawscope.errors import InputError, OptionError
from flawscope.files import sha256
from flawscope.runtime.chain import Row, following
from flawscope.runtime.prediction import Decision, Prediction
from flawscope.runtime.record import Record, Views
from flawscope.station.audit import audit, audit_log, is_closed
from flawscope.station.picture import Inspected
from flawscope.station.results import Results, read_records, read_views
from flawscope.station.reviews import reviews
from flawscope.station.states import file_state
from flawscope.station.store import STORE
from in_force import in_force

MODEL = in_force()
COUNT = 7  # rows of `filled`


def inspected(path: Path, score: float = 1.0, views: Views | None = None) -> Inspected:
    digest = sha256(path) if path.exists() else None
    answer = Prediction(score, 0.5, Decision.ACCEPT)
    record = Record.of(path, answer, state=file_state(path), model=MODEL.identity, picture=digest)
    return Inspected(record, views=views)


def filled(folder: Path) -> Path:
    """A model and six pictures, of which the second is inspected again at the end; the first is shown."""
    with Results(folder, model=MODEL) as results:
        results.add(inspected(Path("/a.png"), 9.0, Views(b"small", b"overlaid")))
        results.add(*(inspected(Path(f"/{name}.png"), place) for place, name in enumerate("bcde")))
        results.add(inspected(Path("/b.png"), 5.0))
    return folder


@contextlib.contextmanager
def base_of(folder: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(folder / STORE, isolation_level=None)) as base:
        yield base


def rows_of(folder: Path) -> list[tuple[Any, ...]]:
    with base_of(folder) as base:
        return base.execute("SELECT * FROM chain ORDER BY seq").fetchall()


def rewrite(folder: Path, rows: list[tuple[Any, ...]]) -> None:
    with base_of(folder) as base:
        base.execute("DELETE FROM chain")
        base.executemany("INSERT INTO chain VALUES (?, ?, ?, ?, ?)", rows)


def numbered(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(place, *row[1:]) for place, row in enumerate(rows, 1)]


def forged(rows: list[tuple[Any, ...]], place: int, entry: dict[str, Any]) -> tuple[Any, ...]:
    """A row at `place`, from 0, that follows properly on the one before."""
    before = Row("", json.loads(rows[place - 1][2]), rows[place - 1][4].hex()) if place else None
    row = following(before, entry)
    cells = json.dumps(row.entry), bytes.fromhex(row.previous), bytes.fromhex(row.hash)
    return place + 1, entry["kind"], *cells


def test_results_as_they_were_written_are_whole(tmp_path: Path) -> None:
    found = audit(filled(tmp_path))
    assert found.whole
    assert found.rows == {"model": 1, "picture": COUNT - 1}
    assert found.head == rows_of(tmp_path)[-1][4].hex()
    assert found.to_json()["problem"] is None


def changed(rows: list[tuple[Any, ...]], place: int) -> tuple[list[tuple[Any, ...]], str]:
    number, kind, entry, *hashes = rows[place]
    rows[place] = (number, kind, json.dumps({**json.loads(entry), "at": "yesterday"}), *hashes)
    return rows, "changed"


def changed_with_its_hash(rows: list[tuple[Any, ...]], place: int) -> tuple[list[tuple[Any, ...]], str]:
    rows[place] = forged(rows, place, {**json.loads(rows[place][2]), "at": "yesterday"})
    return rows, "changed"


def rubbish(rows: list[tuple[Any, ...]], place: int) -> tuple[list[tuple[Any, ...]], str]:
    rows[place] = (*rows[place][:2], "{", "no", "bytes")
    return rows, "changed"


def removed(rows: list[tuple[Any, ...]], place: int) -> tuple[list[tuple[Any, ...]], str]:
    del rows[place]
    return rows, "removed"


def removed_and_closed_up(rows: list[tuple[Any, ...]], place: int) -> tuple[list[tuple[Any, ...]], str]:
    del rows[place]
    return numbered(rows), "removed"


def put_in(rows: list[tuple[Any, ...]], place: int) -> tuple[list[tuple[Any, ...]], str]:
    rows.insert(place, forged(rows, place, {**json.loads(rows[place][2]), "at": "yesterday"}))
    return numbered(rows), "put in"


def swapped(rows: list[tuple[Any, ...]], place: int) -> tuple[list[tuple[Any, ...]], str]:
    rows[place], rows[place + 1] = rows[place + 1], rows[place]
    return numbered(rows), "removed"  # from its place


Change = Callable[[list[tuple[Any, ...]], int], tuple[list[tuple[Any, ...]], str]]
CHANGES: list[Change] = [
    changed,
    changed_with_its_hash,
    rubbish,
    removed,
    removed_and_closed_up,
    put_in,
    swapped,
]


@pytest.fixture(scope="module")
def before() -> Iterator[tuple[Path, list[tuple[Any, ...]]]]:
    with tempfile.TemporaryDirectory() as name:
        yield filled(Path(name)), rows_of(Path(name))


@settings(max_examples=50)
@given(change=st.sampled_from(CHANGES), place=st.integers(0, COUNT - 2))
def test_the_first_row_that_was_tampered_with_is_named(
    before: tuple[Path, list[tuple[Any, ...]]], change: Change, place: int
) -> None:
    folder, rows = before
    after, how = change(list(rows), place)
    rewrite(folder, after)
    problem = audit(folder).problem
    assert problem is not None
    assert problem.row == place + 1
    assert problem.what.startswith(f"row {place + 1} was {how}")
    rewrite(folder, rows)
    assert audit(folder).whole


@pytest.mark.parametrize(
    ("statement", "row", "what"),
    [
        ("UPDATE records SET score = 0.5 WHERE path = x'2F632E706E67'", 4, "says otherwise than its record"),
        ("UPDATE records SET path = x'00' WHERE link = 4", 4, "says otherwise"),
        ("UPDATE records SET size = 7 WHERE link = 4", 4, "says otherwise"),
        (
            "UPDATE records SET link = 3, score = 0.0 WHERE path = x'2F622E706E67'",
            7,
            "its record names row 3",
        ),
        ("UPDATE records SET link = 1 WHERE link = 5", 1, "is no picture"),
        ("UPDATE records SET link = 'x' WHERE link = 5", 0, "is no picture"),
        ("UPDATE records SET link = 99 WHERE link = 7", 7, "has no record any more: /b.png"),
        ("DELETE FROM records WHERE link = 5", 5, "has no record any more: /d.png"),
        ("INSERT INTO records VALUES (50, x'00', 1, 1, 1.0, 50)", 50, "was removed, which a record names"),
        ("UPDATE views SET picture = x'00' WHERE picture = CAST('small' AS BLOB)", 2, "other small pictures"),
        (
            "UPDATE views SET picture = 'text' WHERE picture = CAST('small' AS BLOB)",
            2,
            "other small pictures",
        ),
        ("DELETE FROM views WHERE picture = CAST('small' AS BLOB)", 2, "other small pictures"),
        ("UPDATE chain SET kind = 'review' WHERE seq = 6", 6, "was changed: the number or the kind"),
    ],
)
def test_records_that_are_not_those_of_the_chain_are_named(
    statement: str, row: int, what: str, tmp_path: Path
) -> None:
    filled(tmp_path)
    with base_of(tmp_path) as base:
        assert base.execute(statement).rowcount == 1
    problem = audit(tmp_path).problem
    assert problem is not None
    assert problem.row == row
    assert what in problem.what


def test_an_entry_forged_at_the_end_that_is_none_of_its_kind_is_named(tmp_path: Path) -> None:
    rows = rows_of(filled(tmp_path))
    rewrite(tmp_path, [*rows, forged(rows, COUNT, {"kind": "picture", "again": []})])
    problem = audit(tmp_path).problem
    assert problem is not None
    assert problem.what == f"row {COUNT + 1} is no entry of its kind"


def test_small_pictures_that_gave_way_to_higher_scores_are_not_missed(tmp_path: Path) -> None:
    filled(tmp_path)
    with base_of(tmp_path) as base:
        base.execute("DELETE FROM views")
    assert audit(tmp_path).whole


def test_only_a_head_that_was_written_down_tells_of_rows_cut_off_with_their_records(tmp_path: Path) -> None:
    head = audit(filled(tmp_path)).head
    with Results(tmp_path, model=MODEL) as results:
        results.add(inspected(Path("/f.png")))
    grown = audit(tmp_path, head=head)
    assert (grown.whole, grown.known) == (True, COUNT)
    with base_of(tmp_path) as base:
        base.execute("DELETE FROM chain WHERE seq >= 6")
        assert not audit(tmp_path).whole  # a record names one of them
        base.execute("DELETE FROM records WHERE link >= 6")
        base.execute("INSERT INTO records VALUES (60, ?, NULL, NULL, 0.0, 3)", (b"/b.png",))
    assert audit(tmp_path).whole
    problem = audit(tmp_path, head=head).problem
    assert problem is not None
    assert problem.row == 6
    assert "none has the head given" in problem.what


def test_pictures_are_compared_with_their_hashes(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        path.write_bytes(path.name.encode())
    with Results(tmp_path / "out", model=MODEL) as results:
        results.add(*map(inspected, paths))
    paths[0].write_bytes(b"another")
    paths[1].unlink()
    found = audit(tmp_path / "out", pictures=True)
    assert (found.whole, found.changed, found.gone) == (True, [str(paths[0])], 1)
    assert audit(tmp_path / "out").changed == []


def test_a_head_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    head = audit(filled(tmp_path)).head
    assert audit(tmp_path, head=f" {head.upper()}\n").known == COUNT
    with pytest.raises(OptionError, match="expected 64 hex digits, got '3b0c'"):
        audit(tmp_path, head="3b0c")


def test_results_whose_model_lies_where_nobody_may_look_are_audited(tmp_path: Path) -> None:
    closed = tmp_path / ("x" * 300)  # the system refuses to look, as where a folder on the way is closed
    with Results(tmp_path, model=in_force(folder=str(closed))) as results:
        results.add(inspected(Path("/a.png")))
    found = audit(tmp_path)
    assert found.whole
    assert audit_log(found) is None
    assert is_closed(found)
    with pytest.raises(OSError, match="name too long"):
        audit_log(found, closed)


def test_a_folder_without_results_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a folder with results\.sqlite, got none"):
        audit(tmp_path)


def read_only(folder: Path) -> None:
    """Let SQLite be refused its log beside the store, as it is in a folder that cannot be written."""
    (folder / f"{STORE}-wal").symlink_to(folder / "nowhere" / "log")


def test_results_on_a_medium_that_can_only_be_read_are_audited(tmp_path: Path) -> None:
    folder = filled(tmp_path / "100% read only?#")
    expected = audit(folder)
    read_only(folder)
    assert audit(folder) == expected
    assert [record.path for record in read_records(folder)] == [f"/{name}.png" for name in "abcde"]
    assert list(read_views(folder)) == ["/a.png"]
    assert reviews(folder) == []


def test_rows_that_are_not_in_the_store_yet_are_never_passed_over(tmp_path: Path) -> None:
    folder, copy = tmp_path / "running", tmp_path / "copy"
    with Results(folder, model=MODEL) as results:
        results.add(inspected(Path("a.png")))
        shutil.copytree(folder, copy)
    (copy / f"{STORE}-shm").unlink()
    (copy / f"{STORE}-shm").symlink_to(tmp_path / "nowhere" / "memory")
    with pytest.raises(InputError, match="Copy the whole folder to where you can write"):
        audit(copy)
