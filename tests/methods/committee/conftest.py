"""A committee of members that learn in a moment, and the pictures that it learns from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from csad_small import SMALL
from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.methods.committee import Committee
from flawscope.methods.registry import create
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame
from flawscope.testing.rings import damaged_rings, good_rings, written

NETWORK = {"backbone": "test_resnet", "weights": "random"}
PADIM = {"method": "padim", "options": {**NETWORK, "channels": 8}}
SMALLER = {"method": "padim", "name": "smaller", "options": {**NETWORK, "channels": 8, "size": [48, 40]}}
BANKS = {
    "method": "joined_banks",
    "options": {**NETWORK, "fine_bank": 60, "coarse_bank": 20, "evenness_steps": 4},
}
PARTS = {"method": "csad", "options": {**SMALL, "histogram": {"gaussian": {"shrinkage": True}}}}
SEGAD = {"method": "segad", "options": {"detectors": [PADIM], "segments": {"kind": "one"}}}

Make = Callable[..., Pictures]


def committee(*members: dict[str, Any], **options: Any) -> Committee:
    """An unfitted one at 64×64."""
    made = create("committee", {"size": (64, 64), "members": list(members), **options})
    assert isinstance(made, Committee)
    return made


@pytest.fixture(scope="session")
def rings(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """So many pictures at 64×64 of two rings, or of a single one, good or damaged, of a name's own."""

    def make(name: str, count: int, *, defective: bool = False, single: bool = False) -> Pictures:
        draw = damaged_rings if defective else good_rings
        folder = tmp_path_factory.mktemp(name) / "rings"
        drawn = draw(count if single else 2 * count, sum(name.encode()))
        drawn = drawn if single else [np.hstack(pair) for pair in zip(drawn[::2], drawn[1::2], strict=True)]
        return written(drawn, folder, Frame(64, 64), defective=defective)

    return make


@pytest.fixture(scope="session")
def data(rings: Make) -> TrainingData:
    """Good pictures, with tuning ones apart, and defective ones."""
    return TrainingData(rings("normal", 12), rings("tuning", 8), defective=rings("bad", 6, defective=True))


@pytest.fixture(scope="session")
def tests(rings: Make) -> Pictures:
    """Damaged pictures."""
    return rings("tests", 4, defective=True)


@pytest.fixture(scope="session")
def shared(data: TrainingData) -> Committee:
    """Joined banks and components, fitted: both read one network, and counts make the score step."""
    return committee(BANKS, PARTS).fit(data, Run())
