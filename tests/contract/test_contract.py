"""Every registered method keeps the contract."""

from __future__ import annotations

import pytest

from flawscope.methods.registry import available
from flawscope.testing import check_detector

SMALL = {"size": (64, 64), "weights": "random", "backbone": "resnet18"}
OPTIONS = {
    "patchcore": {**SMALL, "coreset": 0.2},
    "padim": {**SMALL, "channels": 16},
    "efficientad": {"size": (64, 64), "weights": "random", "steps": 2},
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


def test_efficientad_with_every_option_away_from_its_default() -> None:
    options = {
        "size": (72, 96),
        "aspect": "pad",
        "weights": "random",
        "pdn": "medium",
        "padding": False,
        "steps": 2,
        "batch": 2,
        "learning_rate": 1e-3,
        "early_stop": 1,
        "hard_quantile": 0.999,
        "gamma": 1.0,
        "hierarchy": (0.5, 0.0, 1.0),
        "stae_weight": 0.0,
        "appearance": "efficientad",
        "defect_probability": 1.0,
        "defects_reach": "all",
        "skip_background": True,
        "quantiles": (0.5, 0.9),
        "local_weight": 0.2,
    }
    check_detector("efficientad", options)


@pytest.mark.slow
@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("pdn", ["small", "medium"])
def test_efficientad_at_the_papers_sizes(pdn: str, side: int) -> None:
    check_detector("efficientad", {"pdn": pdn, "size": (side, side), "weights": "random", "steps": 1})
