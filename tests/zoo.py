"""Every method with small options, fitted and exported once for the contract and for who needs a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from flawscope.methods.registry import options_of
from flawscope.nn.run import RunPrecision
from flawscope.testing import Subject

# timm's smallest networks, quick to build, to train and above all to export
SMALL = {"size": (64, 64), "weights": "random", "backbone": "test_resnet"}
NETWORK = {"weights": "random", "backbone": "test_resnet"}
BLOCKS = {"aspect": "pad", "backbone": "test_efficientnet", "weights": "random"}


@dataclass(frozen=True)
class Kept:
    """A method's options under check, whether its graph is checked too, and why a check need not hold.

    The checks named in `slow` are made with `--all` alone: the same method keeps them in every run at options
    that cost less.
    """

    options: Mapping[str, Any]
    export: bool = True
    exceptions: Mapping[str, str] = field(default_factory=dict)
    slow: Collection[str] = ()
    precision: RunPrecision = "auto"


TUNED = {"tuning_pictures_teach_nothing": "forest and classifier learn from them; its detectors do not"}

# that hold at other options if they hold at a method's defaults, as long as a resumed training gives the same
REPEATED = (
    "fitting_again_gives_the_same",
    "another_seed_gives_another_model",
    "tuning_pictures_teach_nothing",
)
GRAPH = (
    "every_engine_agrees",
    "scalars_turn_the_graph",
    "the_inspector_answers_plain_pictures",
    "large_pictures_are_answered_in_tiles",
)

# each method once, at its defaults but for what decides how large it is
METHODS: dict[str, Kept] = {
    "classifier": Kept({**SMALL, "steps": 2}),
    "committee": Kept(
        {
            "size": (64, 64),
            "members": [
                {"method": "padim", "options": {**NETWORK, "channels": 8}},
                {"method": "patchcore", "options": {**NETWORK, "coreset": 0.1}},  # shares the network
                {"method": "padim", "name": "small", "options": {**NETWORK, "channels": 8, "size": (48, 48)}},
            ],
        }
    ),
    "csad": Kept(
        {
            **SMALL,
            "segments": {
                "kind": "components",
                **NETWORK,
                "steps": 20,
                "width": 8,
                "batch": 2,
                "labels": {"features": {**NETWORK, "rotations": 2, "colour": 1.0}},
            },
            "counts": {},
            "places": {},
            "shapes": {},
            "colours": {},
            "words": {"words": 4},
            "structure": {"kind": "patches", "fine_bank": 60, "coarse_bank": 20, "evenness_steps": 4},
        }
    ),
    "devnet": Kept({**SMALL, "steps": 2, "batch": 4}),
    "dra": Kept({**SMALL, "steps": 2, "batch": 4}),
    "efficientad": Kept({"size": (48, 48), "weights": "random", "channels": 16, "steps": 2}),
    "fastflow": Kept({**SMALL, "flow_steps": 2, "steps": 2, "batch": 4}),
    "joined_banks": Kept({**SMALL, "fine_bank": 60, "coarse_bank": 20, "evenness_steps": 4}),
    "multiscale_patch": Kept(
        {
            "size": (64, 64),
            "weights": "random",
            "backbone": "vgg11",
            "layers": ("features.5", "features.2"),
            "scales": (32, 16),
            "strides": (16, 8),
            "embedding": 16,
            "patches": 2,
            "clusters": 4,
            "steps": 2,
            "batch": 4,
        }
    ),
    "padim": Kept({**SMALL, "channels": 16}),
    "patchcore": Kept({**SMALL, "backbone": "resnet18", "coreset": 0.2}),
    "pni": Kept(
        {**SMALL, "steps": 2, "batch": 16, "width": 8, "depth": 3, "reach": 1, "classes": 8, "coreset": 0.2}
    ),
    "rd4ad": Kept({**SMALL, "steps": 2, "batch": 4}),
    "sadsem": Kept({**SMALL, "segments": {"kind": "object"}, "background": True, "masks": {"side": 8}}),
    "segad": Kept(
        {
            "size": (64, 64),
            "detectors": [
                {
                    "method": "patchcore",
                    "options": {"backbone": "test_resnet", "weights": "random", "coreset": 0.1},
                },
                {
                    "method": "padim",
                    "options": {"backbone": "test_resnet", "weights": "random", "channels": 8},
                },
            ],
            "segments": {"kind": "object"},
        },
    ),
}

DEVIATION = {
    **BLOCKS,
    "size": (40, 56),
    "layers": ("blocks.2",),
    "batch_norm": "frozen",
    "epochs": 1,
    "epoch_steps": 2,
    "batch": 5,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "decay_epochs": 1,
    "clip": 0.5,
    "scales": 3,
    "top": 0.2,
    "absolute": True,
    "margin": 3.0,
    "references": 100,
    "rotation": 0.0,
}

# every option away from its default; exported where an option changes what `forward` computes
CHANGED: dict[str, Kept] = {
    "classifier": Kept(
        {
            **BLOCKS,
            "size": (64, 88),
            "layers": ("blocks.3",),
            "batch_norm": "frozen",
            "batch": 3,
            "epochs": 1,
            "learning_rate": 1e-3,
            "momentum": 0.5,
            "balanced": True,
            "alpha": 0.5,
            "gamma": 1.0,
        },
        slow=REPEATED,
        export=False,
        precision="bf16",
    ),
    "devnet": Kept(DEVIATION, slow=(*REPEATED, *GRAPH), precision="bf16"),
    "dra": Kept({**DEVIATION, "reference_pictures": 2}, slow=(*REPEATED, *GRAPH)),
    "efficientad": Kept(
        {
            "size": (40, 48),
            "aspect": "pad",
            "weights": "random",
            "channels": 24,
            "pdn": "medium",
            "padding": False,
            "steps": 2,
            "batch": 2,
            "learning_rate": 1e-3,
            "early_stop": 2,
            "hard_quantile": 0.999,
            "gamma": 1.0,
            "local_map": "discrepancy",
            "hierarchy": (0.5, 0.0, 1.0),
            "stae_weight": 0.0,
            "appearance": "efficientad",
            "defect_probability": 1.0,
            "defect_sides": "cdo",
            "skip_background": True,
            "quantiles": (0.5, 0.9),
            "local_weight": 0.2,
        },
        slow=REPEATED,
    ),
    "fastflow": Kept(
        {
            **BLOCKS,
            "size": (64, 88),
            "layers": ("blocks.2", "blocks.3"),
            "flow_steps": 3,
            "only_3x3": True,
            "hidden_ratio": 0.2,
            "clamp": 1.5,
            "epochs": 1,
            "batch": 3,
            "learning_rate": 1e-4,
            "weight_decay": 0.0,
        },
        slow=REPEATED,
        export=False,
        precision="bf16",
    ),
    "joined_banks": Kept(
        {
            "size": (64, 96),
            "aspect": "pad",
            "backbone": "test_resnet",
            "weights": "random",
            "layers": ("layer1", "layer2", "layer3"),
            "fine_strides": (4,),
            "middle_strides": (4, 8),
            "coarse_strides": (8, 16),
            "cell": 16,
            "fine_bank": 30,
            "middle_bank": 25,
            "coarse_bank": 20,
            "neighbourhood": 5,
            "projection": 16,
            "evenness": 0.6,
            "evenness_steps": 3,
            "middle_weight": 1.5,
            "coarse_shift": 0.2,
            "left_out": 3,
            "smoothing": 3.0,
        },
        slow=(*REPEATED, *GRAPH),
    ),
    "multiscale_patch": Kept(
        {
            "size": (72, 100),
            "aspect": "pad",
            "scales": (32, 16),
            "strides": (8, 5),
            "backbone": "test_resnet",
            "layers": ("layer2", "layer1"),
            "weights": "random",
            "padding": True,
            "embedding": 12,
            "losses": ("kmeans", "cos", "ssl"),
            "directions": 8,
            "distance": (0.6, 0.9),
            "noise": 0.02,
            "closeness": 0.1,
            "patches": 3,
            "mean_picture": True,
            "bounded": True,
            "trunk_rate": 0.1,
            "kmeans_patches": 5,
            "reach": 0.1,
            "clusters": 3,
            "kmeans_every": 1,
            "steps": 3,
            "batch": 6,
            "together": 2,
            "learning_rate": 1e-3,
            "coreset": 0.5,
            "bank_limit": 300,
            "combination": "product",
            "window": (5, 2),
            "examples": 0,
        },
        slow=(*REPEATED, *GRAPH),
    ),
    "patchcore": Kept(
        {
            **BLOCKS,
            "size": (64, 96),
            "layers": ("blocks.1", "blocks.2", "blocks.3"),
            "stride": 8,
            "balance": True,
            "bank_limit": 40,
            "neighbourhood": 5,
            "coreset": 0.3,
            "projection": 16,
            "reweighting": 0,
            "score": "smoothed maximum",
            "smoothing": 8.0,
        },
        slow=REPEATED,
    ),
    "rd4ad": Kept(
        {
            **BLOCKS,
            "size": (40, 56),
            "layers": ("blocks.1", "blocks.2"),
            "block": "bottleneck",
            "blocks": (1, 2, 1),
            "order": "code",
            "loss": "maps",
            "combine": "multiply",
            "smoothing": 2.0,
            "epochs": 1,
            "batch": 3,
            "learning_rate": 1e-3,
            "betas": (0.9, 0.99),
        },
        slow=(*REPEATED, *GRAPH),
        precision="bf16",
    ),
    "sadsem": Kept(
        {
            **BLOCKS,
            "size": (64, 88),
            "layers": ("blocks.0", "blocks.1", "blocks.2"),
            "segments": {
                "kind": "clusters",
                "count": 3,
                "weights": "random",
                "backbone": "test_efficientnet",
            },
            "background": False,
            "ignore": ("segment 2",),
            "names": {"segment 1": "ring"},
            "choice": {"fixed": (1, 3), "area": 10.0, "spread": 2.0, "borders": (0.5, 1.0, 2.0)},
            "neighbourhood": 3,
            "coreset": 0.3,
            "bank_limit": 40,
            "projection": 8,
            "masks": {"side": 12, "placed": "centred", "most": 5, "least": 1.0, "left_out": True},
            "counts": {"stride": 8, "least_area": 0.2, "rare": 0.1, "weight": 1.5},
            "smoothing": 2.0,
        },
        slow=(*REPEATED, *GRAPH),
    ),
}

OTHERS: dict[str, tuple[str, Kept]] = {
    "patch_svdd": (
        "multiscale_patch",
        Kept(
            options_of("multiscale_patch", "patch_svdd", {"size": (128, 128), "steps": 2, "batch": 4}),
            slow=REPEATED,
        ),
    ),
    "segad with a classifier": (
        "segad",
        Kept(
            {
                "size": (64, 64),
                "detectors": [
                    {
                        "method": "patchcore",
                        "options": {
                            "backbone": "test_resnet",
                            "weights": "random",
                            "coreset": 0.05,
                            "layers": ["layer2"],
                        },
                    }
                ],
                "classifier": {
                    "method": "classifier",
                    "options": {"backbone": "test_resnet", "weights": "random", "steps": 1},
                },
                "classifier_folds": 2,
                "segments": {"kind": "one"},
                "detector_scores": True,
            },
            exceptions=TUNED,
            slow=REPEATED,
        ),
    ),
}


def subject_of(method: str, label: str, kept: Kept) -> Subject:
    """The method with these options."""
    return Subject(method, kept.options, label=label, precision=kept.precision)


ZOO: dict[str, tuple[Subject, Kept]] = {
    **{name: (subject_of(name, name, kept), kept) for name, kept in METHODS.items()},
    **{
        f"{name}, every option changed": (subject_of(name, f"{name}, every option changed", kept), kept)
        for name, kept in CHANGED.items()
    },
    **{label: (subject_of(name, label, kept), kept) for label, (name, kept) in OTHERS.items()},
}
