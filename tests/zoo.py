"""Every method with small options, fitted and exported once for the contract and for who needs a model."""

from __future__ import annotations

from flawscope.methods.registry import options_of
from flawscope.testing import Subject
from kept import NETWORK, REPEATED, SMALL, TUNED, Kept
from zoo_changed import CHANGED

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
            "shapes": {"parts": "joined", "whole": True},
            "colours": {},
            "hues": {},
            "words": {"words": 4},
            "structure": {
                "kind": "patches",
                "enlarged": 1.5,
                "fine_bank": 60,
                "coarse_bank": 20,
                "evenness_steps": 4,
            },
        }
    ),
    "devnet": Kept({**SMALL, "steps": 2, "batch": 4}),
    "dra": Kept({**SMALL, "steps": 2, "batch": 4}),
    "efficientad": Kept({"size": (48, 48), "weights": "random", "channels": 16, "steps": 2}),
    "fastflow": Kept({**SMALL, "flow_steps": 2, "steps": 2, "batch": 4}),
    "joined_banks": Kept({**SMALL, "fine_bank": 60, "coarse_bank": 20, "evenness_steps": 4, "absent": 6}),
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
                "logistic": {},  # so few pictures divide no tree of a forest
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
