"""ONNX Runtime on the CPU: the engine that every installation has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime

from flawscope.errors import BundleError, OptionError
from flawscope.runtime.engines import Precision, check_inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ERRORS_ONLY = 3


class OnnxRuntime:
    """A graph in an ONNX Runtime session, in float32."""

    name = "onnxruntime"

    def __init__(self, graph: Path, *, precision: Precision, threads: int) -> None:
        require(precision)
        self.precision, self.threads = precision, threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), _settings(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise BundleError(
                f"graph {graph}",
                expected="an ONNX graph that onnxruntime can load",
                got=" ".join(str(error).split())[:300],
                fix="Take the model folder from its source again, or upgrade onnxruntime.",
            ) from error
        given = self._session.get_inputs()
        self.inputs = tuple(value.name for value in given)
        self.shapes = tuple(
            tuple(side if isinstance(side, int) else None for side in value.shape) for value in given
        )
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """See `Engine.run`."""
        check_inputs("graph", self.inputs, feeds)
        values = self._session.run(self._names, dict(feeds))
        return dict(zip(self._names, values, strict=True))


def require(precision: Precision) -> None:
    """Raise an OptionError for what this engine has not."""
    if precision != "fp32":
        raise OptionError(
            "precision", expected="fp32 with onnxruntime", got=precision, fix='Choose engine "openvino".'
        )


def _settings(threads: int) -> onnxruntime.SessionOptions:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = _ERRORS_ONLY
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Decoding runs beside inference: waiting threads must leave it the cores.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.set_denormal_as_zero", "1")
    return settings
