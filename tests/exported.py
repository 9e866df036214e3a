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
from flawscope.methods.csad.labelling import Labelling

TRACE = torch.onnx.export
MEMBERS = (".memory.bank", ".memory.half_norms", ".neighbours")
MOST = 2048  # members up to which a graph searches a bank at once, whatever its size
COUNTING = ("coreset", "bank_limit", "fine_bank", "middle_bank", "coarse_bank", "evenness", "evenness_steps")
TRAINING = ("steps", "epochs", "learning_rate", "penalty")


@contextmanager
def sharing(folder: Path) -> Iterator[None]:
    """Keep what torch traces in `folder`, which other processes may use too, and trace nothing twice.

    A graph follows from the method's class, options and facts and from the shapes of its tensors, but for how
    many members a bank has and for the options that decide that. What is kept is the graph before torch folds
    weights into others; each detector's own are put into it and folded then, as in an export of its own.
    Whether it answers as the detector does is measured wherever a model is made. Methods that tests define
    themselves are always traced.
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
    other = set()  # numbers of members that the banks of the other had
    for name, value in model.graph.initializers.items():
        if name in tensors:
            if _of_members(name) and value.shape is not None:
                other.add(value.shape[0])
            value.const_value = onnx_ir.tensor(tensors[name].contiguous().numpy(), name=name)
            value.shape = value.const_value.shape
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if value.shape is not None:
                value.shape = onnx_ir.Shape([None if side in other else side for side in value.shape])


def _of_members(name: str) -> bool:
    """Whether a detector's tensor has a row for each member of a bank."""
    return name.endswith(MEMBERS)


def _shape(name: str, tensor: Tensor) -> tuple[object, ...]:
    """What of a tensor's shape decides the graph."""
    if _of_members(name) and len(tensor) <= MOST:
        return ("members", *tensor.shape[1:])
    return tuple(tensor.shape)


def _deciding(options: Any) -> Any:
    """Options without those that decide how many members banks have, or weights, and no more."""
    if isinstance(options, dict):
        left = options.keys() - {*COUNTING, *TRAINING}
        return {name: _deciding(value) for name, value in options.items() if name in left}
    return [_deciding(value) for value in options] if isinstance(options, list) else options


def _rounds(detector: torch.nn.Module) -> int:
    """How many rounds join the components that it labels, as tests may set it; 0 where it labels none."""
    return labelling.ROUNDS if any(isinstance(one, Labelling) for one in detector.modules()) else 0


def _key(graph: Any, inputs: tuple[Tensor, ...], settings: dict[str, Any]) -> str:
    """What the graph of a stage follows from, as a name."""
    detector, stage = graph.detector, graph.stage
    tensors = graph.state_dict()
    values: list[Any] = [type(detector).__module__, type(detector).__qualname__]
    values += [_deciding(detector.options.model_dump(mode="json")), detector.learnt.facts]
    values += [_rounds(detector), stage.file, stage.inputs, stage.outputs, settings["opset_version"]]
    values += [tuple(value.shape) for value in inputs]
    values += [(name, value.dtype, _shape(name, value)) for name, value in tensors.items()]
    digest = hashlib.sha256(repr(values).encode())
    for name, tensor in graph.named_buffers():
        if name not in tensors:  # those that no file keeps go into the graph as they are
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
