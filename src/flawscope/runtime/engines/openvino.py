"""OpenVINO on the CPU, from the extra `openvino`: also in bf16, where the processor has units for it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flawscope.errors import BundleError, MissingExtraError, OptionError
from flawscope.runtime.engines import feeds, usable_cores
from flawscope.runtime.manifest import Precision

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray


class OpenVino:
    """A graph compiled by OpenVINO; each thread that calls `run` has a request of its own."""

    name = "openvino"

    def __init__(self, graph: Path, *, precision: Precision = "fp32", threads: int | None = None) -> None:
        core = _openvino().Core()
        self.precision: Precision = precision
        require(precision, core)
        try:
            self._model = core.compile_model(
                str(graph), "CPU", _settings(precision, threads or usable_cores())
            )
        except RuntimeError as error:
            raise BundleError(
                f"graph {graph}",
                expected="an ONNX graph that OpenVINO can load",
                got=" ".join(str(error).split())[:300],
                fix='Use engine "onnxruntime", or upgrade openvino.',
            ) from error
        self.scalars = tuple(part.get_any_name() for part in self._model.inputs[1:])
        self._names = [output.get_any_name() for output in self._model.outputs]
        self._requests = threading.local()

    def run(
        self, pixels: NDArray[np.float32], scalars: Mapping[str, float] | None = None
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.run`."""
        inputs = feeds(pixels, self.scalars, scalars or {})
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._model.create_infer_request()
        values = request.infer(inputs, share_inputs=True, share_outputs=False)
        return {name: values[index] for index, name in enumerate(self._names)}


def supported(core: Any | None = None) -> frozenset[str]:
    """Precisions that this processor has units for, as OpenVINO reports them; fp32 always.

    Raises:
        MissingExtraError: openvino is not installed.
    """
    core = core or _openvino().Core()
    reported = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return frozenset({"fp32", "bf16"} if "BF16" in reported else {"fp32"})


def _openvino() -> ModuleType:
    try:
        import openvino  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "engine openvino",
            expected="the package openvino",
            got="an installation without it",
            fix="Install it: pip install 'flawscope[openvino]'.",
        ) from error
    module: ModuleType = openvino
    return module


def require(precision: Precision, core: Any | None = None) -> None:
    """Raise an OptionError where this processor lacks the units for `precision`.

    Raises:
        MissingExtraError: openvino is not installed.
    """
    found = supported(core)
    if precision not in found:
        raise OptionError(
            "precision",
            expected=f"one that this processor has units for ({', '.join(sorted(found))})",
            got=precision,
            fix="Use precision fp32, or a machine that has them.",
        )


def _settings(precision: str, threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
