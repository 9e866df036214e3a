"""The card beside a distilled network: what it is and how it was made, without any path of the machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flawscope.distill.options import DistillOptions
from flawscope.distill.students import Student
from flawscope.files import sha256
from flawscope.nn.run import Run

FORMAT = 1
NAMED = ("teacher", "layers", "features", "student", "steps")  # options of their own on the command line

NEXT = "flawscope train PICTURES --method efficientad --set options.teacher={weights}"


def card_text(
    weights: Path,
    folder: Path,
    student: Student,
    *,
    options: DistillOptions,
    run: Run,
    sections: Mapping[str, Any],
) -> str:
    """The card as JSON; `sections` tell of targets, data, training and figures."""
    own = student.layer is None
    card = {
        "format": FORMAT,
        "name": weights.stem,
        "file": weights.name,
        "sha256": sha256(weights),
        "student": {
            "network": options.student,
            "layer": student.layer,
            "channels": sections["targets"]["channels"],
            "padding": True if own else None,
            "parameters": sum(value.numel() for value in student.body.parameters()),
        },
        "input": {
            "range": [0.0, 1.0],
            "mean": [round(value, 6) for value in student.mean.flatten().tolist()],
            "std": [round(value, 6) for value in student.std.flatten().tolist()],
        },
        **sections,
        "command": command(folder.resolve().name, weights.name, options, run),
    }
    return json.dumps(card, indent=2, allow_nan=False) + "\n"


def command(folder: str, out: str, options: DistillOptions, run: Run) -> str:
    """The command line that makes these weights, with every option that is not the default.

    >>> command("nature", "mine.safetensors", DistillOptions(steps=100, flips=True), Run())
    'flawscope distill nature --out mine.safetensors --steps 100 --set flips=true'
    """
    words = ["flawscope", "distill", folder, "--out", out]
    for name, field in DistillOptions.model_fields.items():
        value = getattr(options, name)
        if value == field.default:
            continue
        words += [f"--{name}", _written(value)] if name in NAMED else ["--set", f"{name}={_written(value)}"]
    fresh = Run()
    for name in ("device", "precision", "seed"):
        if getattr(run, name) != getattr(fresh, name):
            words += [f"--{name}", str(getattr(run, name))]
    return shlex.join(words)


def _written(value: object) -> str:
    if not isinstance(value, tuple):
        return str(value).lower() if isinstance(value, bool) else str(value)
    nested = bool(value) and isinstance(value[0], tuple)
    return "/".join(map(_written, value)) if nested else ",".join(map(str, value))
