"""Engines run a graph: named arrays in, named arrays out. They are chosen by name."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, get_args

import numpy as np

from flawscope.errors import BundleError, FlawscopeError, OptionError, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

EngineName = Literal["onnxruntime", "openvino"]
Precision = Literal["fp32", "bf16", "fp16"]
EngineWish = Literal["auto", "onnxruntime", "openvino"]  # `auto` leaves the choice open
PrecisionWish = Literal["auto", "fp32", "bf16", "fp16"]
Pair = tuple[str, Precision]  # an engine, and the number format that it computes in
Shape = tuple[int | None, ...]

DEFAULT: EngineName = "onnxruntime"  # which every installation has
ENGINES: dict[EngineName, str] = {
    "onnxruntime": "flawscope.runtime.engines.onnxruntime:OnnxRuntime",
    "openvino": "flawscope.runtime.engines.openvino:OpenVino",
}

_OPENING = threading.Lock()


class Engine(Protocol):
    """A loaded graph. `run` may be called from several threads.

    Attributes:
        name: in the registry.
        precision: number format that the graph runs in.
        threads: processor threads that a call takes.
        inputs: names of the graph's inputs, in its order.
        shapes: the shape of each of them, None where an axis is free.
    """

    name: str
    precision: Precision
    threads: int
    inputs: tuple[str, ...]
    shapes: tuple[Shape, ...]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Map the graph's inputs to its outputs, both by name.

        Raises:
            BundleError: `feeds` are not exactly the graph's inputs.
        """
        ...


def open_engine(
    name: str, graph: Path, *, precision: Precision = "fp32", threads: int | None = None
) -> Engine:
    """Load `graph` into the engine called `name`; `threads` None takes every core the process may use.

    The graph has answered zeros once before the engine is handed out, with no other engine opening beside it:
    native libraries set themselves up at their first call, which not all of them stand from several threads.

    Raises:
        OptionError: no engine of this name, a precision that it does not have on this machine, or fewer
            than one thread.
        MissingExtraError: the engine's package is not installed.
        BundleError: the engine cannot read the graph, or the graph fails.
    """
    module, factory = _found(name)
    if threads is not None and threads < 1:
        raise OptionError(
            "threads", expected="1 or more", got=str(threads), fix="Leave it out to use every core."
        )
    build = getattr(module, factory)
    with _OPENING:
        engine: Engine = build(Path(graph), precision=precision, threads=threads or usable_cores())
        _answer_zeros(engine, graph)
    return engine


def _answer_zeros(engine: Engine, graph: Path) -> None:
    sides = zip(engine.inputs, engine.shapes, strict=True)
    try:
        engine.run({name: np.zeros([side or 1 for side in shape], np.float32) for name, shape in sides})
    except Exception as error:
        raise BundleError(
            f"graph {graph}",
            expected=f"a graph that runs in {engine.name}",
            got=" ".join(str(error).split())[:300],
            fix="Take the model folder from its source again, or use another engine.",
        ) from error


def require_engine(name: str, precision: Precision = "fp32") -> None:
    """Raise what `open_engine` would raise for lack of the engine or the precision, without a graph.

    Raises:
        OptionError: no engine of this name, or a precision that it does not have on this machine.
        MissingExtraError: the engine's package is not installed.
    """
    module, _ = _found(name)
    module.require(precision)


def runs(name: str, precision: Precision = "fp32") -> bool:
    """Whether engine and precision can run here; told at run time, never assumed."""
    try:
        require_engine(name, precision)
    except FlawscopeError:
        return False
    return True


def installed() -> tuple[Pair, ...]:
    """Every engine and precision that can run here, the plainest first: the default engine in float32."""
    precisions: tuple[Precision, ...] = get_args(Precision)
    return tuple((name, precision) for precision in precisions for name in ENGINES if runs(name, precision))


def plainness(pair: Pair) -> tuple[int, int]:
    """Key to sort pairs by, as `installed` does: float32 first, then by engine, the default one first."""
    return get_args(Precision).index(pair[1]), tuple(ENGINES).index(cast("EngineName", pair[0]))


def candidates(name: str = "auto", precision: PrecisionWish = "auto") -> tuple[Pair, ...]:
    """What can run here of what a wish leaves open, the plainest first; `auto` leaves open.

    Raises:
        MissingExtraError, OptionError: nothing can, for the reason that `require_engine` gives.
    """
    require_known(name, "auto")
    found = tuple(
        pair for pair in installed() if name in ("auto", pair[0]) and precision in ("auto", pair[1])
    )
    if not found:
        last = tuple(ENGINES)[-1] if name == "auto" else name
        require_engine(last, "fp32" if precision == "auto" else precision)
    return found


def check_inputs(what: str, expected: Sequence[str], got: Mapping[str, object] | Sequence[str]) -> None:
    """Let names pass that are exactly the inputs of `what`, in any order.

    Raises:
        BundleError: they are not.
    """
    if len(got) != len(expected) or any(name not in got for name in expected):
        raise BundleError(
            what,
            expected=f"its inputs ({', '.join(expected)})",
            got=", ".join(got) or "none",
            fix="Take the model folder from its source again, or train again.",
        )


def require_known(name: str, *besides: str) -> None:
    """Let the names of engines and those `besides` pass.

    Raises:
        OptionError: any other name.
    """
    if name not in (known := (*besides, *ENGINES)):
        raise OptionError("engine", expected="a known name", got=repr(name), fix=suggest(name, known))


def _found(name: str) -> tuple[ModuleType, str]:
    """The engine's module, and its class in there."""
    require_known(name)
    module, factory = ENGINES[cast("EngineName", name)].split(":")
    return importlib.import_module(module), factory


def usable_cores() -> int:
    """Cores that this process may run on, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
