"""The result files of an inspection: one JSON line a picture, a table, and what makes it resume."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flawscope.errors import FlawscopeError, OutputError
from flawscope.files import unwritable, writable_folder, write_text
from flawscope.prediction import Prediction

RESULTS, TABLE, STATE = "results.jsonl", "results.csv", "inspection.json"
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
        if fresh:
            for name in (RESULTS, TABLE, STATE):
                (self.folder / name).unlink(missing_ok=True)
        self._claim(model)
        self._recover()

    def done(self, path: Path) -> bool:
        """Whether this picture has its answer and has not changed since; failed ones are tried again."""
        line = self.lines.get(str(path))
        return line is not None and "error" not in line and line["file"] == _state(path)

    def append(self, path: Path, line: Mapping[str, Any]) -> None:
        """Add one line and write it through.

        Raises:
            OutputError: the disk is full or the folder is gone; earlier lines stay.
        """
        kept = dict(line) | {"file": _state(path)}
        try:
            with (self.folder / RESULTS).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(kept, ensure_ascii=False) + "\n")
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
            table.writerow(line | {"findings": findings})
        write_text(self.folder / TABLE, text.getvalue())
        return self.folder / TABLE

    def _claim(self, model: str) -> None:
        state = self.folder / STATE
        if state.is_file():
            try:
                known = json.loads(state.read_text(encoding="utf-8")).get("model")
            except (OSError, ValueError, AttributeError):
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
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept)
        write_text(self.folder / RESULTS, text)


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The lines of an inspection's results.jsonl, the latest of each picture; torn lines are left out."""
    lines: dict[str, dict[str, Any]] = {}
    path = folder / RESULTS
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
            lines[line["path"]] = line
        except (ValueError, KeyError, TypeError):
            continue
    return list(lines.values())


def _state(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
