"""The table of engines: how times are taken, and which of them decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from brightness_model import make_manifest, parity_of
from flawscope.runtime import timing
from flawscope.runtime.engine_table import Speed, Speeds, fastest, lines
from flawscope.runtime.timing import FEWEST, MOST, WARM_UPS, measured_speeds

ORT, OV, HALF = ("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")


@pytest.fixture(autouse=True)
def _as_many_rounds_as_users_have(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, rounds in (("WARM_UPS", WARM_UPS), ("FEWEST", FEWEST), ("MOST", MOST)):
        monkeypatch.setattr(timing, name, rounds)


@dataclass
class Clock:
    """Time that passes when a pipeline works."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Works:
    """A pipeline that takes the next of its times for each picture, the last one for all further ones."""

    clock: Clock
    seconds: list[float]
    engine: str = "onnxruntime"
    precision: str = "fp32"
    threads: int = 2
    judged: tuple[str, ...] = ("score",)
    seen: list[float] = field(default_factory=list)

    def score(self, pictures: list[np.ndarray], keep: object, *, finite: bool) -> Iterator[Mapping[str, Any]]:
        for pixels in pictures:
            self.clock.now += self.seconds[min(len(self.seen), len(self.seconds) - 1)]
            self.seen.append(float(pixels[0]))
            yield {}


def measured(clock: Clock, *pipelines: Works) -> dict[tuple[str, str], float]:
    pictures = [np.array([float(index)]) for index in range(3)]
    return measured_speeds(pipelines, pictures, clock=clock).by_pair()  # type: ignore[arg-type]


def test_warm_ups_do_not_count_and_the_median_does() -> None:
    clock = Clock()
    one = Works(clock, [9.0, 9.0, 0.03, 0.03, 0.5, 0.01, 0.03])
    assert measured(clock, one) == {ORT: pytest.approx(30.0)}
    assert len(one.seen) == WARM_UPS + FEWEST  # the two slow ones have used up the time


def test_all_answer_the_same_pictures_in_turn_for_a_bounded_time() -> None:
    clock = Clock()
    one, other = Works(clock, [0.1]), Works(clock, [0.3], "openvino")
    assert measured(clock, one, other) == {ORT: pytest.approx(100.0), OV: pytest.approx(300.0)}
    assert one.seen == other.seen
    assert one.seen[:4] == [0, 1, 2, 0]
    assert clock.now == pytest.approx(4.4)  # a round that has begun is ended
    quick = Works(clock, [1e-4])
    measured(clock, quick)
    assert len(quick.seen) == WARM_UPS + MOST


@pytest.mark.parametrize(
    ("times", "best"),
    [
        ({ORT: 10.0, OV: 9.6, HALF: 9.7}, ORT),
        ({ORT: 10.0, OV: 9.4, HALF: 9.2}, OV),
        ({HALF: 9.2, OV: 10.0, ORT: 12.0}, HALF),
        ({HALF: 9.9, OV: 10.0}, OV),
    ],
)
def test_ties_go_to_the_plainer_engine(times: dict[Any, float], best: tuple[str, str]) -> None:
    assert fastest(times) == best


def test_the_manifest_holds_the_table() -> None:
    far = parity_of("openvino", score=0.5).model_copy(update={"precision": "bf16"})
    rows = [Speed(engine="openvino", precision="bf16", milliseconds=5.0)]
    manifest = make_manifest(
        parity=(far, parity_of("openvino"), parity_of("onnxruntime")),
        speeds=Speeds(
            machine="x",
            threads=2,
            rows=(*rows, Speed(engine="onnxruntime", precision="fp32", milliseconds=12.25)),
        ),
    )
    assert type(manifest).model_validate_json(manifest.model_dump_json()) == manifest
    table = manifest.engines()
    assert [(row.engine, row.precision, row.milliseconds, row.holds, row.chosen) for row in table] == [
        ("onnxruntime", "fp32", 12.25, True, True),
        ("openvino", "fp32", None, True, False),
        ("openvino", "bf16", 5.0, False, False),
    ]
    told = lines(table)
    assert told[2].split() == ["onnxruntime", "fp32", "12.2", "1e-06", "0", "taken"]
    assert told[4].endswith("beyond 0.002, not used")
