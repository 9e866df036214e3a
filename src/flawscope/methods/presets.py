"""Named options of each method. `default` is what `train` uses; without a preset the paper's values hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flawscope.errors import OptionError, suggest

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
