"""One record of one picture: a verdict or an error, the same after a round through JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from flawscope.errors import InputError
from flawscope.runtime.prediction import Decision, Finding, Prediction, Region
from flawscope.runtime.record import Record, Truth

REGION = Region(box=(1, 2, 5, 9), area=12, peak=(3, 4), peak_score=2.25)
ANSWER = Prediction(
    2.5, 0.01, Decision.REJECT, findings=(Finding("unusual area", {"score": 2.5}, REGION), Finding("dark"))
)
ERROR = InputError("picture", expected="a PNG", got="text", fix="Remove it.")


def test_a_record_shows_exactly_the_promised_keys() -> None:
    path = Path("line1/a.png")
    shown = Record.of(path, ANSWER).to_json()
    assert list(shown) == ["path", "score", "p_value", "decision", "findings"]
    assert shown["findings"][0]["region"]["box"] == [1, 2, 5, 9]
    told = dataclasses.replace(ANSWER, contributions=(("segment 3", 1.23456789),))
    moved = Record.of(path, told).to_json()
    assert moved["contributions"] == [["segment 3", 1.23457]]
    assert Record.of(path, ERROR).to_json() == {"path": str(path), "error": str(ERROR)}


def test_a_prediction_is_plain_values_too() -> None:
    plain = ANSWER.to_json()
    assert plain["findings"] == Record.of(Path("a.png"), ANSWER).to_json()["findings"]
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize("answer", [ANSWER, ERROR])
def test_json_gives_the_record_back(answer: Prediction | InputError) -> None:
    path = Path("Pr\udcfcfteil.png")  # a name that is no text
    record = Record.of(path, answer, state=(6, 7), model="m")
    line = json.loads(json.dumps(record.to_json() | {"file": record.state}))
    assert Record.of_json(line, model="m") == record


@pytest.mark.parametrize(
    "values",
    [
        {"score": 1.0},
        {"score": float("nan"), "p_value": 0.5, "decision": "accept"},
        {"score": 1.0, "p_value": 0.5, "decision": "perhaps"},
        {"score": 1.0, "p_value": 0.5, "decision": "accept", "error": "truncated"},
        {"score": 1.0, "p_value": 0.5, "decision": "accept", "contributions": [["a"]]},
        {"score": 1.0, "p_value": 0.5, "decision": "accept", "contributions": [["a", float("nan")]]},
        {"score": 1.0, "p_value": 0.5, "decision": "accept", "findings": [{"words": "dark"}]},
        {"error": "truncated", "unknown": 1},
        {},
    ],
)
def test_what_is_no_record_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Record.of_json({"path": "a.png"} | values)


def test_what_follows_from_a_record() -> None:
    record = Record.of(Path("line1/a.png"), ANSWER, truth=Truth(kind="hole", defective=True))
    assert (record.name, record.flagged, record.rank) == ("a.png", True, 2.5)
    failed = Record.of(Path("b.png"), ERROR)
    assert (failed.flagged, failed.rank) == (False, float("-inf"))
    with pytest.raises(ValidationError, match="frozen"):
        record.score = 1.0  # type: ignore[misc]
