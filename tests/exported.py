"""Graphs of detectors, exported once for all tests: an export takes seconds, and many detectors are equal."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from flawscope.methods.detector import Detector, Stage
from flawscope.training import export


@contextmanager
def sharing(folder: Path) -> Iterator[None]:
    """Keep what is exported in `folder`, which other processes may use too, and copy what is there already.

    A graph follows from the method's class, options, facts and tensors, which the contract holds. Methods
    that tests define themselves are always exported.
    """
    folder.mkdir(exist_ok=True)
    write = export._write

    def shared(detector: Detector, stage: Stage, inputs: Mapping[str, Tensor], path: Path) -> None:
        if not type(detector).__module__.startswith("flawscope."):
            write(detector, stage, inputs, path)
            return
        kept = folder / _key(detector, stage, inputs)
        if not kept.is_dir():
            made = Path(tempfile.mkdtemp(dir=folder))
            write(detector, stage, inputs, made / path.name)
            _rename(made, kept)
        shutil.copytree(kept, path.parent, dirs_exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_write", shared)
        yield


def _rename(made: Path, kept: Path) -> None:
    """Give the folder its name, unless another process was quicker."""
    try:
        made.rename(kept)
    except OSError:
        shutil.rmtree(made)


def _key(detector: Detector, stage: Stage, inputs: Mapping[str, Tensor]) -> str:
    """What the graph of a stage follows from, as a name."""
    kind = type(detector)
    values: list[Any] = [kind.__module__, kind.__qualname__, detector.options.model_dump_json()]
    values += [detector.learnt.facts, stage.file, stage.outputs, export.OPSET, export.INLINE_BYTES]
    values += [(name, tuple(value.shape)) for name, value in inputs.items()]
    digest = hashlib.sha256(repr(values).encode())
    for name, tensor in detector.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
