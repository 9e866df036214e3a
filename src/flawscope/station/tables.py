"""Records as tables for spreadsheets: results.csv and pictures.csv are columns of the same row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flawscope.files import write_atomically
from flawscope.runtime.record import Record

RESULTS = ("path", "decision", "score", "p_value", "findings", "error", "picture")
PICTURES = ("path", "kind", "defective", "score", "p_value", "decision", "error")


def write_table(path: Path, columns: Sequence[str], records: Iterable[Record]) -> Path:
    """Write a row a record, atomically and in a stream; returns `path`.

    Comma-separated as RFC 4180 has it, all texts in quotes: a semicolon or a backslash in a name, which some
    programs take for a separator or an escape, stays what it is.

    Raises:
        OutputError: the file cannot be written.
    """
    with write_atomically(path) as stream:
        text = io.TextIOWrapper(stream, "utf-8", errors="backslashreplace", newline="", write_through=True)
        table = csv.DictWriter(text, columns, extrasaction="ignore", restval="", quoting=csv.QUOTE_NONNUMERIC)
        table.writeheader()
        for record in records:
            table.writerow({name: _plain(value) for name, value in _row(record).items()})
        text.detach()
    return path


def _row(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"path": record.path, "error": record.error or "", "picture": record.picture or ""}
    if record.truth is not None:
        row |= {"kind": record.truth.kind, "defective": int(record.truth.defective)}
    if record.error is None:
        findings = " | ".join(finding.text for finding in record.findings)
        row |= {"decision": str(record.decision), "findings": findings}
        row |= {"score": record.score, "p_value": record.p_value}
    return row


def _plain(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value
