"""Stores that somebody has written into: one clear line from whatever reads them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brightness_model import make_manifest
from flawscope.errors import OutputError
from flawscope.station.audit import audit
from flawscope.station.part import part_of
from flawscope.station.replay import replay
from flawscope.station.reviews import review
from flawscope.station.store import STORE
from streams import inspected, opened

_ODD = ("x", "[]", "5", '{"scores": "a"}', '{"scores": [null]}', f'{{"scores": [1{"0" * 400}]}}', "[" * 10**5)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Results of two pictures and a review, and into them what a statement writes."""

    def into(statement: str, *values: Any) -> Path:
        with opened(tmp_path, make_manifest()) as results:
            results.add(inspected(1), inspected(2))
        review(tmp_path, "1.png", "good")
        with contextlib.closing(sqlite3.connect(tmp_path / STORE)) as base, base:
            base.execute(statement, values)
        return tmp_path

    return into


@pytest.mark.parametrize("text", _ODD)
def test_an_odd_reference_of_drift(written: Callable[..., Path], text: str) -> None:
    folder = written("UPDATE drift SET reference = ?", text)
    with pytest.raises(OutputError, match="a damaged or foreign file"):
        replay(folder)


@pytest.mark.parametrize("kind", ["model", "review"])
@pytest.mark.parametrize("text", _ODD)
def test_an_odd_entry(written: Callable[..., Path], kind: str, text: str) -> None:
    folder = written("UPDATE chain SET entry = ? WHERE kind = ?", text, kind)
    with pytest.raises(OutputError, match="a damaged or foreign file"):
        part_of(folder, "1.png")
    assert not audit(folder).whole


def test_a_picture_whose_entry_holds_no_record_or_whose_row_leads_nowhere(
    written: Callable[..., Path],
) -> None:
    folder = written("UPDATE records SET link = 'q'")
    for read in (part_of, lambda *names: review(*names, "good")):
        with pytest.raises(OutputError, match="a damaged or foreign file"):
            read(folder, "1.png")


def test_an_entry_of_a_picture_without_its_record(written: Callable[..., Path]) -> None:
    folder = written(
        "UPDATE chain SET entry = json_set(entry, '$.record', json('{}')) WHERE kind = 'picture'"
    )
    with pytest.raises(OutputError, match="a damaged or foreign file"):
        review(folder, "1.png", "good")


@pytest.mark.parametrize("value", ["zz", 5, b""])
def test_an_odd_hash_is_told_and_ends_in_one_line_at_most(
    written: Callable[..., Path], value: object
) -> None:
    folder = written("UPDATE chain SET hash = ?", value)
    problem = audit(folder).problem
    assert problem is not None
    assert problem.row == 1
    for read in (audit, replay):
        with contextlib.suppress(OutputError):
            read(folder)
    with contextlib.suppress(OutputError):
        part_of(folder, "1.png")
    with contextlib.suppress(OutputError):
        review(folder, "2.png", "good")
