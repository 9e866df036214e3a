"""From a trained detector to the ONNX graphs of its stages."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from flawscope.methods.detector import Detector, Stage
from flawscope.runtime.manifest import StageSpec
from flawscope.runtime.pipeline import Graphs

OPSET = 20
INLINE_BYTES = 32 * 2**20
_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")


class _Graph(nn.Module):
    """A stage as a function of its inputs by their places, with its outputs in declared order."""

    def __init__(self, detector: Detector, stage: Stage) -> None:
        super().__init__()
        self.detector, self.stage = detector, stage  # the detector holds the tensors

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = self.stage.forward(**dict(zip(self.stage.inputs, inputs, strict=True)))
        return tuple(outputs[name] for name in self.stage.outputs)


def export(detector: Detector, folder: Path) -> Graphs:
    """Write a graph file into `folder` for each of the detector's stages.

    Pixels (N, 3, H, W) go in and the declared outputs come out, N free. Each scalar is an input, float32 of
    shape (). Weights and bank lie in the file itself up to 32 MiB, beyond that beside it in `NAME.data`.

    Raises:
        OptionError: options with which no model folder can be made.
    """
    detector = detector.cpu().eval()
    values, frame = detector.options.scalar_values(), detector.options.frame
    known = {"pixels": torch.zeros(2, 3, frame.height, frame.width)}
    known |= {name: torch.tensor(value) for name, value in values.items()}
    stages = detector.stages()
    for stage in stages:
        inputs = {name: known[name] for name in stage.inputs}
        _write(detector, stage, inputs, folder / stage.file)
        if stage is not stages[-1]:
            with torch.no_grad():
                known |= stage.forward(**inputs)
    specs = tuple(StageSpec(file=s.file, inputs=s.inputs, outputs=s.outputs, half=s.half) for s in stages)
    return Graphs(folder, specs, detector.outputs, values)


def _write(detector: Detector, stage: Stage, inputs: Mapping[str, Tensor], path: Path) -> None:
    """Write one graph; `inputs` are examples of what goes in."""
    batch = torch.export.Dim("batch", min=1)
    free = tuple({0: batch} if value.ndim else None for value in inputs.values())
    with _quiet(), _out_of_place(detector), torch.inference_mode(False), torch.no_grad():
        program = torch.onnx.export(
            _Graph(detector, stage).eval(),
            tuple(inputs.values()),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            output_names=list(stage.outputs),
            dynamic_shapes={"inputs": free},
        )
    if program is None:  # pragma: no cover - dynamo=True always returns one
        raise RuntimeError("torch.onnx.export returned no program")
    _clean(program.model)
    for value, name in zip(program.model.graph.inputs, stage.inputs, strict=True):
        value.name = name  # asked for at export, old versions of torch look for them among the shapes
    program.model.metadata_props["flawscope.outputs"] = ", ".join(stage.outputs)
    tensors = (value.const_value for value in program.model.graph.initializers.values())
    size = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    program.save(str(path), external_data=size > INLINE_BYTES)
    onnx.checker.check_model(str(path))


def _clean(model: Any) -> None:
    """Drop what the exporter notes for debugging: stack traces hold paths of the training machine."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()


@contextmanager
def _out_of_place(detector: nn.Module) -> Iterator[None]:
    """Let activations make new tensors: the exporter takes a third longer over in-place ones."""
    changed: list[Any] = [module for module in detector.modules() if getattr(module, "inplace", False)]
    for module in changed:
        module.inplace = False
    try:
        yield
    finally:
        for module in changed:
            module.inplace = True


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about itself: log lines, and warnings of its own deprecated calls."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings():
        for module in (r"torch\.", r"onnxscript\.", r"onnx_ir\.", r"copyreg", r"copy"):
            warnings.filterwarnings("ignore", module=module)
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
