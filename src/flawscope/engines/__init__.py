"""Engines run a model's graph: pixels in, named outputs out. They are chosen by name."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from flawscope.errors import OptionError, suggest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Precision = Literal["fp32", "bf16"]

ENGINES = {
    "onnxruntime": "flawscope.engines.onnxruntime:OnnxRuntime",
    "openvino": "flawscope.engines.openvino:OpenVino",
}


class Engine(Protocol):
    """A loaded graph. `run` may be called from several threads."""

    @property
    def name(self) -> str:
        """Name in the registry."""
        ...

    @property
    def precision(self) -> Precision:
        """Number format that the graph runs in."""
        ...

    def run(self, pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Map pixels (N, 3, H, W) float32 in [0, 1] to the graph's outputs by name."""
        ...


def open_engine(
    name: str, graph: Path, *, precision: Precision = "fp32", threads: int | None = None
) -> Engine:
    """Load `graph` into the engine called `name`; `threads` None takes every core the process may use.

    Raises:
        OptionError: no engine of this name, a precision that it does not have on this machine, or fewer
            than one thread.
        MissingExtraError: the engine's package is not installed.
        BundleError: the engine cannot read the graph.
    """
    if name not in ENGINES:
        raise OptionError("engine", expected="a known name", got=repr(name), fix=suggest(name, ENGINES))
    if threads is not None and threads < 1:
        raise OptionError(
            "threads", expected="1 or more", got=str(threads), fix="Leave it out to use every core."
        )
    module, factory = ENGINES[name].split(":")
    build = getattr(importlib.import_module(module), factory)
    return cast("Engine", build(Path(graph), precision=precision, threads=threads))


def usable_cores() -> int:
    """Cores that this process may run on, which in a container can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
