"""Engines run a model's graph: pixels in, named outputs out. They are chosen by name."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from flawscope.errors import BundleError, OptionError, suggest
from flawscope.runtime.manifest import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENGINES = {
    "onnxruntime": "flawscope.runtime.engines.onnxruntime:OnnxRuntime",
    "openvino": "flawscope.runtime.engines.openvino:OpenVino",
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

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of the graph's scalar inputs, in its order."""
        ...

    def run(
        self, pixels: NDArray[np.float32], scalars: Mapping[str, float] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Map pixels (N, 3, H, W) float32 in [0, 1] to the graph's outputs by name.

        Raises:
            BundleError: `scalars` are not exactly the graph's scalar inputs.
        """
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
    module, factory = _found(name)
    if threads is not None and threads < 1:
        raise OptionError(
            "threads", expected="1 or more", got=str(threads), fix="Leave it out to use every core."
        )
    build = getattr(module, factory)
    return cast("Engine", build(Path(graph), precision=precision, threads=threads))


def require_engine(name: str, precision: Precision = "fp32") -> None:
    """Raise what `open_engine` would raise for lack of the engine or the precision, without a graph.

    Raises:
        OptionError: no engine of this name, or a precision that it does not have on this machine.
        MissingExtraError: the engine's package is not installed.
    """
    module, _ = _found(name)
    module.require(precision)


def feeds(pixels: NDArray[np.float32], names: Sequence[str], scalars: Mapping[str, float]) -> list[Any]:
    """The graph's inputs in its order: `pixels`, then the value of each scalar input, float32 of shape ()."""
    if len(scalars) != len(names) or any(name not in scalars for name in names):
        raise scalars_differ("graph", names, scalars)
    return [pixels, *(np.array(scalars[name], np.float32) for name in names)]


def scalars_differ(what: str, names: Sequence[str], scalars: Mapping[str, float]) -> BundleError:
    """The error for values that are not those of the graph's scalar inputs."""
    return BundleError(
        what,
        expected=f"values of its scalar inputs ({', '.join(names) or 'none'})",
        got=", ".join(scalars) or "none",
        fix="Take the model folder from its source again, or train again.",
    )


def _found(name: str) -> tuple[ModuleType, str]:
    """The engine's module, and its class in there."""
    if name not in ENGINES:
        raise OptionError("engine", expected="a known name", got=repr(name), fix=suggest(name, ENGINES))
    module, factory = ENGINES[name].split(":")
    return importlib.import_module(module), factory


def usable_cores() -> int:
    """Cores that this process may run on, which in a container can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
