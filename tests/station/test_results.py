"""Result files: a line a picture, resumable after any interruption, never mixed between models."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from flawscope.errors import InputError, OutputError
from flawscope.runtime.prediction import Decision, Finding, Prediction
from flawscope.station.results import RESULTS, Results, record

ANSWER = Prediction(2.5, 0.01, Decision.REJECT, findings=(Finding("unusual area"),))


def picture(folder: Path, name: str = "a.png") -> Path:
    path = folder / name
    path.write_bytes(b"pixels")
    return path


def test_a_record_holds_exactly_the_promised_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert list(record(path, ANSWER)) == ["path", "score", "p_value", "decision", "findings"]
    error = InputError("picture", expected="a PNG", got="text", fix="Remove it.")
    assert record(path, error) == {"path": str(path), "error": str(error)}


def test_done_pictures_are_known_again(tmp_path: Path) -> None:
    path = picture(tmp_path)
    Results(tmp_path / "out", model="m").append(path, record(path, ANSWER))
    again = Results(tmp_path / "out", model="m")
    assert again.done(path)
    path.write_bytes(b"other pixels")
    assert not again.done(path)


def test_failed_pictures_are_tried_again(tmp_path: Path) -> None:
    path = picture(tmp_path)
    results = Results(tmp_path / "out", model="m")
    results.append(path, {"path": str(path), "error": "truncated"})
    assert not Results(tmp_path / "out", model="m").done(path)


def test_a_torn_last_line_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    first, second = picture(tmp_path), picture(tmp_path, "b.png")
    results = Results(tmp_path / "out", model="m")
    results.append(first, record(first, ANSWER))
    with (tmp_path / "out" / RESULTS).open("a", encoding="utf-8") as stream:
        stream.write('{"path": "' + str(second))
    again = Results(tmp_path / "out", model="m")
    assert again.done(first)
    assert not again.done(second)
    again.append(second, record(second, ANSWER))
    lines = (tmp_path / "out" / RESULTS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["path"] for line in lines] == [str(first), str(second)]


def test_results_of_another_model_are_refused_unless_fresh(tmp_path: Path) -> None:
    path = picture(tmp_path)
    Results(tmp_path / "out", model="m").append(path, record(path, ANSWER))
    with pytest.raises(OutputError, match="another model"):
        Results(tmp_path / "out", model="n")
    assert not Results(tmp_path / "out", model="n", fresh=True).done(path)


def test_the_table_is_sorted_by_score_with_errors_last(tmp_path: Path) -> None:
    results = Results(tmp_path / "out", model="m")
    for name, score in (("low.png", 1.0), ("high.png", 9.0)):
        path = picture(tmp_path, name)
        results.append(path, record(path, Prediction(score, 0.5, Decision.ACCEPT)))
    bad = picture(tmp_path, "bad.png")
    results.append(bad, {"path": str(bad), "error": "truncated"})
    with results.write_table().open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [Path(row["path"]).name for row in rows] == ["high.png", "low.png", "bad.png"]
    assert rows[2]["error"] == "truncated"


def test_a_file_in_place_of_the_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OutputError, match="expected a place that can be written"):
        Results(tmp_path / "out", model="m")
