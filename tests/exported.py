"""Graphs of detectors, traced once for all tests: that takes seconds, and many differ only in weights."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir
import pytest
import torch
from torch import Tensor

from flawscope.methods.csad import labelling

TRACE = torch.onnx.export


@contextmanager
def sharing(folder: Path) -> Iterator[None]:
    """Keep what torch traces in `folder`, which other processes may use too, and trace nothing twice.

    A graph follows from the method's class, options and facts and from the shapes of its tensors. What is
    kept is the graph before torch folds weights into others; each detector's own are put into it and folded
    then, as in an export of its own. Whether it answers as the detector does is measured wherever a model is
    made. Methods that tests define themselves are always traced.
    """
    folder.mkdir(exist_ok=True)

    def shared(graph: Any, inputs: tuple[Tensor, ...], **settings: Any) -> torch.onnx.ONNXProgram:
        detector = getattr(graph, "detector", None)  # tests export modules of their own, too
        if not type(detector).__module__.startswith("flawscope."):
            traced = TRACE(graph, inputs, **settings)
            assert traced is not None
            return traced
        kept = folder / _key(graph, inputs, settings)
        if kept.is_file():
            program = torch.onnx.ONNXProgram(onnx_ir.load(kept), None)
            _fill(program.model, graph.state_dict())
        else:
            traced = TRACE(graph, inputs, **settings, optimize=False)
            assert traced is not None
            program = traced
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as made:
                made.write(program.model_proto.SerializeToString())
            Path(made.name).replace(kept)  # another process may have been quicker
        program.optimize()
        return program

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", shared)
        yield


def _fill(model: onnx_ir.Model, tensors: dict[str, Tensor]) -> None:
    """Put a detector's tensors in the place of another's."""
    for name, value in model.graph.initializers.items():
        if name in tensors:
            value.const_value = onnx_ir.tensor(tensors[name].contiguous().numpy(), name=name)


def _key(graph: Any, inputs: tuple[Tensor, ...], settings: dict[str, Any]) -> str:
    """What the graph of a stage follows from, as a name."""
    detector, stage = graph.detector, graph.stage
    tensors = graph.state_dict()
    values: list[Any] = [type(detector).__module__, type(detector).__qualname__]
    values += [detector.options.model_dump_json(), detector.learnt.facts]
    values += [labelling.ROUNDS, stage.file, stage.inputs, stage.outputs, settings["opset_version"]]
    values += [tuple(value.shape) for value in inputs]
    values += [(name, value.dtype, tuple(value.shape)) for name, value in tensors.items()]
    digest = hashlib.sha256(repr(values).encode())
    for name, tensor in graph.named_buffers():
        if name not in tensors:  # those that no file keeps go into the graph as they are
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
