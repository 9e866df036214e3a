"""Inspections of a stream of pictures, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Decision
from flawscope.runtime.record import Record
from flawscope.station.drifting import Drifting
from flawscope.station.picture import Inspected
from flawscope.station.results import Results
from in_force import in_force

MODEL = in_force("a")


def inspected(number: int, *, dark: bool = False, path: str | None = None) -> Inspected:
    random = np.random.default_rng(number)
    conditions = {"brightness": random.normal(5, 1) - 3 * dark, "sharpness": random.normal(5, 1)}
    record = Record(
        path=path or f"line/{number}.png",
        state=(9, number * 60_000_000_000),
        model=MODEL.identity,
        score=float(random.random()),
        p_value=0.5,
        decision=Decision.ACCEPT,
        conditions={name: float(value) for name, value in conditions.items()},
    )
    return Inspected(record)


def opened(folder: Path, manifest: Manifest, alpha: float = 0.01) -> Results:
    return Results(folder, model=MODEL, drifting=Drifting(manifest, alpha))


def raised(records: Iterator[Record]) -> list[tuple[str, str]]:
    return [(record.name, alarm.about) for record in records for alarm in record.drift]


def add(results: Results, first: int, last: int, change: int = 60) -> None:
    for number in range(first, last):
        results.add(inspected(number, dark=number >= change))
