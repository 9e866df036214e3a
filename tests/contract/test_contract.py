"""Every registered method keeps the contract."""

from __future__ import annotations

import pytest

from flawscope.methods.registry import available
from flawscope.testing import check_detector

SMALL = {"size": (64, 64), "weights": "random", "backbone": "resnet18"}
OPTIONS = {
    "patchcore": {**SMALL, "coreset": 0.2},
    "padim": {**SMALL, "channels": 16},
}


def test_every_method_has_small_options_here() -> None:
    assert set(available()) <= set(OPTIONS)


@pytest.mark.parametrize("method", available())
def test_method_keeps_the_contract(method: str) -> None:
    check_detector(method, OPTIONS[method])


def test_patchcore_with_every_option_away_from_its_default() -> None:
    options = {
        "size": (64, 96),
        "aspect": "pad",
        "backbone": "tf_efficientnet_lite0",
        "layers": ("blocks.1", "blocks.2", "blocks.4"),
        "weights": "random",
        "stride": 8,
        "balance": True,
        "bank_limit": 40,
        "density": 3,
        "density_power": 0.5,
        "neighbourhood": 5,
        "coreset": 0.3,
        "projection": 16,
        "reweighting": 0,
        "score": "smoothed maximum",
        "smoothing": 8.0,
    }
    check_detector("patchcore", options)


def test_patchcore_with_two_banks() -> None:
    banks = [{"layers": ["layer2"], "density": 3}, {"layers": ["layer3"], "limit": 20}]
    check_detector("patchcore", {**SMALL, "banks": banks, "reweighting": 0, "score": "top 1 %"})
