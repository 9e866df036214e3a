"""Inspected pictures by hand, and results that hold them."""

from __future__ import annotations

from pathlib import Path

from flawscope.errors import InputError
from flawscope.runtime.in_force import InForce
from flawscope.runtime.prediction import Decision, Finding, Prediction
from flawscope.runtime.record import Record, Views
from flawscope.station.picture import Inspected
from flawscope.station.results import Results
from flawscope.station.states import file_state
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
