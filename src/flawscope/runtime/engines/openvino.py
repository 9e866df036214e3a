"""OpenVINO on the CPU, from the extra `openvino`: in half precision, too, where the processor has it."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flawscope.errors import BundleError, OptionError, need
from flawscope.runtime.engines import Precision, check_inputs

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class OpenVino:
    """A graph compiled by OpenVINO; a call takes an idle request, or makes one where all are at work."""

    name = "openvino"

    def __init__(self, graph: Path, *, precision: Precision, threads: int) -> None:
        core = _openvino().Core()
        self.precision, self.threads = precision, threads
        require(precision, core)
        try:
            read = core.read_model(str(graph))
            self._model = core.compile_model(read, "CPU", _settings(precision, threads))
        except RuntimeError as error:
            raise BundleError(
                f"graph {graph}",
                expected="an ONNX graph that OpenVINO can load",
                got=" ".join(str(error).split())[:300],
                fix='Use engine "onnxruntime", or upgrade openvino.',
            ) from error
        given = self._model.inputs
        self.inputs = tuple(value.get_any_name() for value in given)
        self.shapes = tuple(
            tuple(None if side.is_dynamic else side.get_length() for side in value.partial_shape)
            for value in given
        )
        self._names = [
            output.get_any_name() for output in read.outputs
        ]  # compiled, they may have others, too
        self._idle: deque[Any] = deque()

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """See `Engine.run`."""
        check_inputs("graph", self.inputs, feeds)
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        values = request.infer([feeds[name] for name in self.inputs], share_inputs=True, share_outputs=False)
        self._idle.append(request)  # not after an error, which may leave it in any state
        return {name: values[index] for index, name in enumerate(self._names)}


def _openvino() -> ModuleType:
    # Where this package is found, OpenVINO reports its import, and keeps a number in the user's folder.
    sys.modules.setdefault("openvino_telemetry", cast("ModuleType", None))
    return need("openvino", what="engine openvino", extra="openvino")


def require(precision: Precision, core: Any | None = None) -> None:
    """Raise an OptionError where this processor, by OpenVINO's report, lacks the units for `precision`.

    Raises:
        MissingExtraError: openvino is not installed.
    """
    core = core or _openvino().Core()
    units = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision != "fp32" and precision.upper() not in units:
        raise OptionError(
            "precision",
            expected="one that this processor has units for (fp32)",
            got=precision,
            fix="Use precision fp32, or a machine that has them.",
        )


def _settings(precision: Precision, threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
