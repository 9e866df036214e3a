"""Every registered method keeps the contract."""

from __future__ import annotations

import pytest

from flawscope.methods.registry import available, options_of
from flawscope.testing import check_detector

SMALL = {"size": (64, 64), "weights": "random", "backbone": "resnet18"}
OPTIONS = {
    "patchcore": {**SMALL, "coreset": 0.2},
    "padim": {**SMALL, "channels": 16},
    "efficientad": {"size": (64, 64), "weights": "random", "steps": 2},
    "fastflow": {**SMALL, "steps": 2, "batch": 4},
    "rd4ad": {**SMALL, "steps": 2, "batch": 4},
    "classifier": {**SMALL, "steps": 2},
    "devnet": {**SMALL, "steps": 2, "batch": 4},
    "dra": {**SMALL, "steps": 2, "batch": 4},
}
OPTIONS["multiscale_patch"] = {
    "size": (64, 64),
    "weights": "random",
    "scales": (32, 16),
    "embedding": 16,
    "patches": 2,
    "clusters": 4,
    "steps": 2,
    "batch": 4,
}
PARTS = {"backbone": "resnet18", "weights": "random"}
OPTIONS["segad"] = {
    "size": (64, 64),
    "detectors": [
        {"method": "patchcore", "options": {**PARTS, "coreset": 0.1}},
        {"method": "padim", "options": {**PARTS, "channels": 8}},
    ],
    "segments": {"kind": "object"},
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
        "neighbourhood": 5,
        "coreset": 0.3,
        "projection": 16,
        "reweighting": 0,
        "score": "smoothed maximum",
        "smoothing": 8.0,
    }
    check_detector("patchcore", options)


def test_multiscale_patch_with_every_option_away_from_its_default() -> None:
    options = {
        "size": (72, 100),
        "aspect": "pad",
        "scales": (32, 16),
        "strides": (8, 5),
        "backbone": "resnet18",
        "layers": ("layer2", "layer1"),
        "weights": "random",
        "padding": True,
        "embedding": 12,
        "losses": ("kmeans", "cos"),
        "closeness": 0.1,
        "patches": 3,
        "reach": 0.1,
        "clusters": 3,
        "kmeans_every": 1,
        "steps": 2,
        "batch": 3,
        "learning_rate": 1e-3,
        "coreset": 0.5,
        "bank_limit": 300,
        "combination": "product",
        "window": (5, 2),
        "examples": 0,
    }
    check_detector("multiscale_patch", options)


def test_patch_svdd_keeps_the_contract() -> None:
    preset = options_of("multiscale_patch", "patch_svdd", {"size": (128, 128), "steps": 2, "batch": 4})
    check_detector("multiscale_patch", preset)


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


def test_fastflow_with_every_option_away_from_its_default() -> None:
    options = {
        "size": (64, 88),
        "aspect": "pad",
        "backbone": "tf_efficientnet_lite0",
        "layers": ("blocks.2", "blocks.4"),
        "weights": "random",
        "flow_steps": 3,
        "only_3x3": True,
        "hidden_ratio": 0.2,
        "clamp": 1.5,
        "epochs": 1,
        "batch": 3,
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
    }
    check_detector("fastflow", options)


def test_rd4ad_with_every_option_away_from_its_default() -> None:
    options = {
        "size": (72, 104),
        "aspect": "pad",
        "backbone": "tf_efficientnet_lite0",
        "layers": ("blocks.1", "blocks.2"),
        "weights": "random",
        "block": "bottleneck",
        "blocks": (1, 2, 1),
        "loss": "maps",
        "combine": "multiply",
        "smoothing": 2.0,
        "epochs": 1,
        "batch": 3,
        "learning_rate": 1e-3,
        "betas": (0.9, 0.99),
    }
    check_detector("rd4ad", options)


def test_classifier_with_every_option_away_from_its_default() -> None:
    options = {
        "size": (64, 88),
        "aspect": "pad",
        "backbone": "tf_efficientnet_lite0",
        "layers": ("blocks.4",),
        "weights": "random",
        "batch_norm": "frozen",
        "batch": 3,
        "epochs": 1,
        "learning_rate": 1e-3,
        "momentum": 0.5,
        "balanced": True,
        "alpha": 0.5,
        "gamma": 1.0,
    }
    check_detector("classifier", options)


DEVIATION = {
    "size": (72, 100),
    "aspect": "pad",
    "backbone": "tf_efficientnet_lite0",
    "layers": ("blocks.2",),
    "weights": "random",
    "batch_norm": "frozen",
    "epochs": 1,
    "epoch_steps": 2,
    "batch": 5,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "top": 0.2,
    "absolute": True,
    "margin": 3.0,
    "references": 100,
    "rotation": 0.0,
}


def test_devnet_with_every_option_away_from_its_default() -> None:
    check_detector("devnet", DEVIATION)


def test_dra_with_every_option_away_from_its_default() -> None:
    check_detector("dra", {**DEVIATION, "scales": 3, "reference_pictures": 2})


@pytest.mark.slow
@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("pdn", ["small", "medium"])
def test_efficientad_at_the_papers_sizes(pdn: str, side: int) -> None:
    check_detector("efficientad", {"pdn": pdn, "size": (side, side), "weights": "random", "steps": 1})
