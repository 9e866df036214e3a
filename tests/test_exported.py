"""Tests share what torch traces: the graph that a detector gets is the one of an export of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
import torch

from exported import TRACE, sharing
from flawscope.testing import Subject
from flawscope.training.export import export

# a network whose normalisation torch folds into its convolutions
SMALL = {
    "size": (32, 32),
    "backbone": "test_resnet",
    "layers": ("layer1",),
    "weights": "random",
    "coreset": 0.1,
}


def graph_of(path: Path) -> tuple[list[bytes], Counter[bytes]]:
    """Nodes in order and all tensors of a graph, without the names of values, which torch only numbers."""
    graph, nodes, tensors = onnx.load(path).graph, [], Counter[bytes]()
    for node in graph.node:
        attributes = sorted(attribute.SerializeToString() for attribute in node.attribute)
        nodes.append(node.op_type.encode() + b"".join(attributes))
    for tensor in graph.initializer:
        tensor.name = ""
        tensors[tensor.SerializeToString()] += 1
    return nodes, tensors


def test_a_shared_graph_is_the_one_of_an_export_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Subject("patchcore", SMALL).detector
    subject = Subject("patchcore", {**SMALL, "coreset": 0.3})  # a larger bank, which no old end may cut
    second = subject.fit(subject.run(seed=5))
    for name in ("alone", "first", "second"):
        (tmp_path / name).mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(torch.onnx, "export", TRACE)
        export(second, tmp_path / "alone")
    with sharing(tmp_path / "graphs"):
        export(first, tmp_path / "first")
        monkeypatch.setattr(torch.export, "export", None)  # nothing is traced any more
        export(second, tmp_path / "second")
    alone, other, shared = (graph_of(tmp_path / name / "model.onnx") for name in ("alone", "first", "second"))
    assert alone == shared
    assert other[0] == shared[0]
    assert other[1] != shared[1]
