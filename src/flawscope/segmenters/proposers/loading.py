"""Foundation models from a local folder or the hub's cache, through transformers; nothing is downloaded.

From the extra `foundation`. Weights are safetensors, and no code that lies beside them is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from flawscope.errors import WeightsError, need


def transformers(what: str) -> Any:
    """The package transformers.

    Raises:
        MissingExtraError: it is not installed; `what` asks for it.
    """
    return need("transformers", what=what, extra="foundation")


def network(model: str, what: str, classes: Mapping[str, str], device: torch.device) -> Any:
    """A pretrained network of transformers, for inference.

    Args:
        model: a folder that holds config.json and model.safetensors, or a name in the hub's cache.
        what: the model in words, for errors.
        classes: class of transformers by the model's type as config.json says.
        device: where it shall compute.

    Raises:
        MissingExtraError: transformers is not installed.
        WeightsError: no such model here, one of another type, or one that cannot be read.
    """
    library = transformers(what)
    files = f"config.json and model.safetensors of a {what} on this machine"
    kind = _from_here(model, what, files, library.AutoConfig).model_type
    if kind not in classes:
        known = " or ".join(classes)
        raise WeightsError(
            f"{what} {model}", expected=f"a model of type {known}", got=kind, fix="Name another model."
        )
    made, info = _from_here(
        model,
        what,
        files,
        getattr(library, classes[kind]),
        use_safetensors=True,
        output_loading_info=True,
    )
    if info["missing_keys"]:
        raise WeightsError(
            f"{what} {model}",
            expected="weights for the whole network that config.json describes",
            got=f"none for {min(info['missing_keys'])}, say",
            fix="Fetch the folder again.",
        )
    return made.eval().to(device)


def processor(model: str, what: str) -> Any:
    """What prepares texts and pictures for a model of transformers.

    Raises:
        MissingExtraError: transformers is not installed.
        WeightsError: its files are missing or cannot be read.
    """
    files = f"preprocessor_config.json and the tokenizer's files of a {what} on this machine"
    return _from_here(model, what, files, transformers(what).AutoProcessor)


def _from_here(model: str, what: str, files: str, kind: Any, **options: Any) -> Any:
    bars = transformers(what).utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        with named(model, what, files):
            return kind.from_pretrained(model, local_files_only=True, **options)
    finally:
        if shown:
            bars.enable_progress_bar()


@contextmanager
def named(model: str, what: str, files: str) -> Iterator[None]:
    """Turn what a library raises on missing or damaged files into a WeightsError that names `files`."""
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:  # libraries raise whatever their parsers do
        place = "that folder" if Path(model).exists() else "the hub's cache, or name a folder"
        raise WeightsError(
            f"{what} {model}",
            expected=files,
            got=" ".join(str(error).split())[:200],
            fix=f"Put them into {place}; `hf download {model}` fetches published ones.",
        ) from error
