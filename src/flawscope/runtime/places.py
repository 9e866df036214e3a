"""How a model folder takes its place in one step: what is its own, what moves over, what a kill leaves."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path, PurePosixPath

from flawscope.files import PART
from flawscope.folders import abandoned, exchange, mended

MANIFEST = "manifest.json"
GRAPH = "model.onnx"
WEIGHTS = "weights.safetensors"
RECIPE = "recipe.yaml"
OWN = frozenset((MANIFEST, GRAPH, f"{GRAPH}.data", WEIGHTS, RECIPE))  # files that any model may have


def own_files(folder: Path) -> set[str]:
    """First path parts of a model's own files: those that any model may have, and those of its manifest."""
    own = set(OWN)
    with contextlib.suppress(OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        listed = json.loads((folder / MANIFEST).read_bytes())["files"]
        own |= {PurePosixPath(name).parts[0] for name in listed if PurePosixPath(name).parts}
    return own


def put(fresh: Path, folder: Path) -> None:
    """Let the model folder `fresh` change places with `folder`, or take its place where nothing is there.

    It is one step where system and disk can do it. What lies in `folder` and is no part of the model there,
    such as a report, then moves over to the new one; the old model is left at `fresh`.

    Raises:
        OSError: the system refuses; all is as it was.
    """
    if not folder.exists():
        fresh.rename(folder)
        return
    exchange(fresh, folder)
    try:
        carry(fresh, folder)
    except BaseException:
        exchange(fresh, folder)
        carry(fresh, folder)
        raise


def carry(old: Path, folder: Path) -> None:
    """Move what lies in `old` and is no part of the model there to `folder`, unless that has its like."""
    own = own_files(old)
    for entry in list(old.iterdir()):
        if entry.name not in own and not (folder / entry.name).exists():
            entry.rename(folder / entry.name)


def tidy(folder: Path) -> None:
    """Clear up what kills left of writing in and beside a model folder; what was no part of a model stays."""
    left = mended(folder)
    for part in abandoned(folder, PART):
        shutil.rmtree(part, ignore_errors=True)
    for part in abandoned(folder.parent, aside(folder)):
        if (part / "model" / MANIFEST).is_file() and folder.exists():  # whole, so perhaps the old one
            carry(part / "model", folder)
        shutil.rmtree(part, ignore_errors=True)
    if left is not None:
        if (left / MANIFEST).is_file():
            carry(left, folder)
        shutil.rmtree(left, ignore_errors=True)


def aside(folder: Path) -> str:
    """How the folders begin, beside a model folder, in which it is made."""
    return f".{folder.name}{PART}"
