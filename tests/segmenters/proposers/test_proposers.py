"""Proposers by their kind, and the one that needs neither download nor training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter

from flawscope.data.samples import Sample
from flawscope.errors import OptionError
from flawscope.segmenters.proposers import AreasOptions, ProposerOptions, build_proposer

SAMPLE = Sample(Path("a.png"), "train", defective=False)


def test_areas_are_what_differs_from_the_ground() -> None:
    picture = np.full((64, 96, 3), 90, np.uint8)
    cv2.circle(picture, (24, 30), 10, (200, 60, 40), -1)
    cv2.rectangle(picture, (60, 20), (80, 50), (40, 60, 200), -1)
    found = build_proposer(AreasOptions()).propose(picture, SAMPLE)
    assert found.named is None
    assert found.masks.shape == (2, 64, 96)
    assert found.masks.dtype == np.bool_
    assert sorted(found.masks[:, 30, [24, 70, 5]].tolist()) == [[False, True, False], [True, False, False]]
    plain = build_proposer(AreasOptions()).propose(np.full((64, 96, 3), 90, np.uint8), SAMPLE)
    assert plain.masks.shape == (0, 64, 96)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "area"}, "kind of proposer: expected a known one, written {kind: areas}, got 'area'. Did"),
        ({}, "kind of proposer: expected a known one, written {kind: areas}, got none. Known: areas, folder"),
        ({"kind": "folder"}, "'maps' of proposer of kind folder: expected a value, got none. It is: folder"),
        (
            {"kind": "areas", "maps": "a"},
            "of proposer of kind areas: expected an option of that kind, got one",
        ),
        ({"kind": "folder", "map": "a", "maps": "a"}, 'got an unknown one. Did you mean "maps"?'),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        TypeAdapter(ProposerOptions).validate_python(values)
