"""CSV and JSON files of a data set, read with limits and with errors that name file and line."""

from __future__ import annotations

import csv
import io
import json
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flawscope.errors import DataError

MAX_BYTES = 256 * 2**20
_SEPARATORS = (",", ";", "\t")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: the file is missing, larger than 256 MiB, or not JSON; names the line where it breaks.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise malformed(path, error.lineno, "JSON", error.msg) from error
    except (ValueError, RecursionError) as error:
        raise malformed(path, 1, "JSON", str(error)) from error


def read_csv(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with a header, each with its line number.

    Cells are separated by commas, by the semicolons that spreadsheets write where a comma is the decimal
    sign, or by tabs, as the header tells.

    Raises:
        DataError: the file is missing, too large, no CSV, or lacks one of `columns`; names the line.
    """
    reader = _reader(path)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise malformed(path, 1, f"columns {', '.join(columns)}", f"none named {', '.join(missing)}")
        for row in reader:
            if None in row or None in row.values():
                raise malformed(
                    path, reader.line_num, "as many cells as the header has", "a different number"
                )
            rows.append((reader.line_num, {name: row[name].strip() for name in columns}))
    except csv.Error as error:
        raise malformed(path, reader.reader.line_num, "CSV", str(error)) from error
    return rows


def columns_in(path: Path) -> tuple[str, ...]:
    """The columns that the header of a CSV file names; raises as `read_csv`."""
    return tuple(_reader(path).fieldnames or ())


def _reader(path: Path) -> csv.DictReader[str]:
    """Rows by the names of the header, without the blanks around those."""
    text = read_text(path)
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise malformed(path, 1, "CSV", str(error)) from error
    return reader


def named_path(root: Path, name: object, file: Path, where: int | str) -> Path:
    """`root / name` for a path that `file` names, which must be relative and stay inside `root`, links apart.

    Backslashes part folders, as on Windows, unless a file of that very name is there. `where` is the line, or
    a sentence's worth of place such as "train entry 4".
    """
    if not isinstance(name, str) or not name:
        raise malformed(file, where, "a relative file path", repr(name)[:80])
    base = os.path.normpath(root.absolute())
    for written in (name, name.replace("\\", "/")):
        place = os.path.normpath(root.absolute() / written)
        if "\0" in name or not Path(place).is_relative_to(base):
            raise malformed(file, where, f"a path inside {root}", repr(name)[:80])
        if os.path.lexists(place):
            return root / written
    return root / name.replace("\\", "/")


def composed(name: str) -> str:
    """A name as most systems write it: macOS takes letters and their marks apart, so that an ü is two."""
    return unicodedata.normalize("NFC", name)


def whole(value: Any) -> int | None:
    """A whole number of a JSON file, as tables of floats write it, too (480.0); None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def malformed(file: Path, where: int | str, expected: str, got: str) -> DataError:
    """The error for a data set's own file that does not say what it should."""
    place = f"line {where}" if isinstance(where, int) else where
    return DataError(
        f"{file}, {place}", expected=expected, got=got, fix="Correct the file, or fetch it again."
    )


def read_text(path: Path) -> str:
    """The content of a text file in UTF-8, with or without a byte order mark.

    Raises:
        DataError: the file is missing, larger than 256 MiB, or other than UTF-8.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise malformed(path, 1, f"at most {MAX_BYTES} bytes", f"{size} bytes")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(
            str(path), expected="a readable file", got=reason, fix="Check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        fix = "Save it as UTF-8, which spreadsheets call CSV UTF-8."
        raise DataError(f"{path}, line {line}", expected="UTF-8 text", got="other bytes", fix=fix) from error
