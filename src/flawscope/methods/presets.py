"""Named options of each method. `default` is what `train` uses; without a preset the paper's values hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flawscope.errors import OptionError, suggest

_PATCH_SVDD = {
    "scales": [64, 32],
    "backbone": "patch_svdd",
    "weights": "random",
    "hierarchical": True,
    "losses": ["svdd", "ssl"],
    "closeness": 1e-3,
    "patches": 1,
    "epochs": 30_000,
    "learning_rate": 1e-4,
    "reach": 1 / 32,
    "directions": 8,
    "noise": 0.02,
    "combination": "product",
    "window": [1, 1],
}
# SegAD, appendix B: 256×256, the authors' code, without its rotation
_DEVIATION_SEGAD = {"size": [256, 256], "rotation": 0.0, "absolute": True}
_DEVIATION = {
    "default": {**_DEVIATION_SEGAD, "backbone": "tf_efficientnet_lite0"},
    "segad": _DEVIATION_SEGAD,
}

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "patchcore": {
        # benchmarks/results/preset.md tells what was tried, on which products
        "default": {
            "backbone": "tf_efficientnet_lite0",
            "layers": ["blocks.1", "blocks.2", "blocks.4"],
            "size": [320, 320],
            "stride": 8,
            "balance": True,
            "bank_limit": 6000,
            "projection": 64,
            "score": "smoothed maximum",
            "smoothing": 6.0,
            "reweighting": 0,
        },
        # SegAD, appendix B
        "segad": {"coreset": 0.01, "reweighting": 9},
        # for stations where milliseconds count: a small input, plain layers, a small bank
        "fast": {
            "backbone": "tf_efficientnet_lite0",
            "size": [256, 256],
            "bank_limit": 2000,
            "projection": 64,
            "score": "top 1 %",
            "reweighting": 0,
        },
    },
    "efficientad": {
        # SegAD, appendix B: the medium network, padded, in a published implementation of EfficientAD
        "segad": {
            "pdn": "medium",
            "hard_quantile": 0.999,
            "penalty": "ood",
            "appearance": "efficientad",
        },
        # the thesis's tables 5.5, 5.6 and 5.8: their 92.03 AU-PRO is the medium network's of table 5.7
        "thesis": {"pdn": "medium"},
        # Batzner, Heckler, König, WACV 2024, and the settings of their appendix A
        "efficientad": {
            "padding": False,
            "hard_quantile": 0.999,
            "penalty": "ood",
            "appearance": "efficientad",
        },
    },
    # EfficientNet-Lite0 diverges at the learning rate that SegAD states for WideResNet-50-2
    "classifier": {"default": {"backbone": "tf_efficientnet_lite0", "learning_rate": 0.0025}},
    "devnet": _DEVIATION,
    "dra": _DEVIATION,
    "segad": {
        "default": {
            "detectors": [{"method": "patchcore", "preset": "default"}],
            "size": [320, 320],
            "segments": {"kind": "one"},
        },
    },
    # SegAD, appendix B
    "fastflow": {"segad": {"epochs": 200}},
    "rd4ad": {
        # appendix B of SegAD, whose implementation of RD4AD has the loss of the authors' code
        "segad": {"loss": "maps"},
        # the loss and the decoder of the code that the authors published, for WideResNet-50-2
        "authors": {"loss": "maps", "blocks": [3, 3, 4, 6]},
    },
    "multiscale_patch": {
        # the paper's batch of 64 and 100 pairs a picture as the code of Patch SVDD takes them, on which it
        # builds: 64 pairs a step, and 100 of each picture an epoch
        "pairs": {"patches": 1, "epochs": 30_000, "kmeans_every": 500},
        # Yi, Yoon, ACCV 2020, with the settings of their code; λ is for objects
        "patch_svdd": _PATCH_SVDD,
        # λ for textures
        "patch_svdd_textures": {**_PATCH_SVDD, "closeness": 1.0},
    },
    "padim": {"default": {"backbone": "tf_efficientnet_lite0"}},
}


def options_of(method: str, preset: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The preset's options with `options` over them; `default` of a method without presets is empty.

    Raises:
        OptionError: the method has no preset of that name.
    """
    known = PRESETS.get(method, {})
    if preset is None or (preset == "default" and preset not in known):
        return dict(options)
    if preset not in known:
        raise OptionError(
            f"preset {preset!r}",
            expected=f"a preset of {method}",
            got="an unknown name",
            fix=suggest(preset, known) if known else f"{method} has none; leave it out.",
        )
    return {**known[preset], **options}
