"""The result files of an inspection: one JSON line a picture, a table, and what makes it resume."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flawscope.errors import FlawscopeError, OutputError
from flawscope.files import unwritable, writable_folder, write_text
from flawscope.runtime.prediction import Decision, Prediction

RESULTS, TABLE, STATE, OVERLAYS = "results.jsonl", "results.csv", "inspection.json", "overlays"
COLUMNS = ("path", "decision", "score", "p_value", "findings", "error")


def record(path: Path, answer: Prediction | FlawscopeError) -> dict[str, Any]:
    """One picture's line: path, score, p_value, decision, findings; or path and error."""
    if isinstance(answer, FlawscopeError):
        return {"path": str(path), "error": str(answer)}
    values = answer.to_json()
    return {"path": str(path)} | {key: values[key] for key in ("score", "p_value", "decision", "findings")}


class Results:
    """Appends each line as its picture is done, so that an interrupted inspection loses nothing.

    Each line in results.jsonl also carries `file`, the picture's size and time, so that a picture that
    was replaced is inspected again. `model` identifies the model; results of another model in the same
    folder are refused, not mixed.
    """

    def __init__(self, folder: Path, *, model: str, fresh: bool = False) -> None:
        self.folder = writable_folder(folder)
        self.lines: dict[str, dict[str, Any]] = {}
        self._begun: dict[str, list[int] | None] = {}
        try:
            if fresh:
                for name in (RESULTS, TABLE, STATE):
                    (self.folder / name).unlink(missing_ok=True)
                shutil.rmtree(self.folder / OVERLAYS, ignore_errors=True)
            self._claim(model)
            self._recover()
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def done(self, path: Path) -> bool:
        """Whether this picture has its answer and has not changed since; failed ones are tried again.

        Its size and time are noted here, before it is read, so that a picture which is replaced meanwhile
        is inspected again.
        """
        line, state = self.lines.get(str(path)), _state(path)
        self._begun[str(path)] = state
        return line is not None and "error" not in line and line["file"] == state

    def append(self, path: Path, line: Mapping[str, Any]) -> None:
        """Add one line and write it through.

        Raises:
            OutputError: the disk is full or the folder is gone; earlier lines stay.
        """
        begun = self._begun.pop(str(path)) if str(path) in self._begun else _state(path)
        kept = dict(line) | {"file": begun}
        try:
            with (self.folder / RESULTS).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(kept) + "\n")
        except OSError as error:
            raise unwritable(self.folder / RESULTS, error) from error
        self.lines[str(path)] = kept

    def write_table(self) -> Path:
        """Write results.csv: a row a picture, most anomalous first, unreadable ones last."""
        rows = sorted(self.lines.values(), key=lambda line: (-line.get("score", float("-inf")), line["path"]))
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, COLUMNS, extrasaction="ignore", restval="")
        table.writeheader()
        for line in rows:
            findings = " | ".join(finding["text"] for finding in line.get("findings", ()))
            row = line | {"findings": findings}
            table.writerow({key: plain_cell(row.get(key, "")) for key in COLUMNS})
        write_text(self.folder / TABLE, text.getvalue())
        return self.folder / TABLE

    def _claim(self, model: str) -> None:
        state = self.folder / STATE
        known = None
        if state.is_file():
            try:
                known = json.loads(state.read_text(encoding="utf-8")).get("model")
            except (ValueError, AttributeError):
                known = None
        if known != model and (self.folder / RESULTS).is_file():
            raise OutputError(
                f"results folder {self.folder}",
                expected="an empty folder, or results of this model and calibration",
                got="results of another model or calibration",
                fix="Choose another --out, or start over with --fresh.",
            )
        write_text(state, json.dumps({"model": model}) + "\n")

    def _recover(self) -> None:
        if not (self.folder / RESULTS).is_file():
            return
        kept = read_results(self.folder)
        self.lines = {line["path"]: {"file": None} | line for line in kept}
        text = "".join(json.dumps(line) + "\n" for line in kept)
        if text != (self.folder / RESULTS).read_text(encoding="utf-8", errors="replace"):
            write_text(self.folder / RESULTS, text)


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The lines of an inspection's results.jsonl, the latest of each picture; torn or foreign ones not."""
    lines: dict[str, dict[str, Any]] = {}
    path = folder / RESULTS
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if _is_result(line):
            lines[line["path"]] = line
    return list(lines.values())


def plain_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    text = str(value)
    return (
        f"'{text}" if isinstance(value, str) and text.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    )


def _is_result(line: Any) -> bool:
    if not (isinstance(line, dict) and isinstance(line.get("path"), str)):
        return False
    if "error" in line:
        return isinstance(line["error"], str)
    numbers = (line.get("score"), line.get("p_value"))
    findings = line.get("findings")
    return (
        all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
        and line.get("decision") in list(Decision)
        and isinstance(findings, list)
        and all(isinstance(finding, dict) and "text" in finding for finding in findings)
        and _are_contributions(line.get("contributions", []))
    )


def _are_contributions(pairs: Any) -> bool:
    return isinstance(pairs, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], int | float)
        and math.isfinite(pair[1])
        for pair in pairs
    )


def _state(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
