"""What users can rely on: the public names, a light import, and no torch in the runtime."""

from __future__ import annotations

import subprocess
import sys

import flawscope

PUBLIC = [
    "Bundle",
    "Calibration",
    "Decision",
    "Finding",
    "FlawscopeError",
    "Frame",
    "Inspector",
    "LearnRecipe",
    "Prediction",
    "Recipe",
    "Record",
    "Region",
    "Run",
    "Watch",
    "__version__",
    "calibrate",
    "deploy",
    "evaluate",
    "heatmap_overlay",
    "inspect_one",
    "inspect_pictures",
    "learn",
    "read_dataset",
    "read_image",
    "train",
]
TRAINING = ["LearnRecipe", "Recipe", "Run", "Watch", "learn", "train"]


def test_the_public_names_are_pinned() -> None:
    assert sorted(flawscope.__all__) == PUBLIC
    assert len(PUBLIC) <= 25
    for name in PUBLIC:
        assert getattr(flawscope, name) is not None


def test_import_loads_nothing_heavy() -> None:
    code = "import sys, flawscope; print(sorted({'numpy', 'cv2', 'torch', 'pydantic'} & set(sys.modules)))"
    assert _run(code) == "[]"


def test_the_runtime_works_without_torch() -> None:
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'timm', 'scipy', 'sklearn']))\n"
        "import flawscope\n"
        f"for name in set(flawscope.__all__) - set({TRAINING}): getattr(flawscope, name)\n"
        "import flawscope.cli.app\n"
        "print('fine')"
    )
    assert _run(code) == "fine"


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.strip()
