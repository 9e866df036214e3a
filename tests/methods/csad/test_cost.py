"""What CSAD's fit is said to cost grows with what there is to do."""

from __future__ import annotations

from typing import Any

import pytest

from flawscope.methods.registry import create
from flawscope.nn.banks.preflight import Preflight

SMALL = {"size": (64, 64), "backbone": "test_resnet", "weights": "random", "segments": {"kind": "object"}}


def cost(pictures: int, **options: Any) -> Preflight:
    told = create("csad", {**SMALL, "structure": None, **options}).needs().cost
    assert told is not None
    return told(pictures)


@pytest.mark.parametrize(
    ("few", "many"),
    [
        (
            {
                "segments": {
                    "kind": "components",
                    "width": 4,
                    "steps": 1,
                    "labels": {"features": {"rotations": 1}},
                }
            },
            {"segments": {"kind": "components", "width": 4, "steps": 9000}},
        ),
        ({"structure": {"kind": "students", "steps": 1, "width": 4}}, {"structure": {"kind": "students"}}),
        ({}, {"structure": {"kind": "patches"}}),
    ],
)
def test_more_work_takes_longer(few: dict[str, Any], many: dict[str, Any]) -> None:
    less, more = cost(4, **few), cost(400, **many)
    assert 0 < 5 * less.seconds < more.seconds
    assert 0 < less.bytes < more.bytes
    assert less.seconds_a_picture > 0


def test_a_pass_of_pictures_that_are_enlarged_takes_longer() -> None:
    once, more = (cost(40, structure={"kind": "patches", "enlarged": times}) for times in (1, 4))
    assert more.seconds > once.seconds
    assert more.bytes > once.bytes
