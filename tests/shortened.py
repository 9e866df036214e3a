"""What keeps the suite short: of every test, for what takes time and has tests of its own."""

from __future__ import annotations

import copy
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import typer.main
from PIL import Image
from torchvision.models import vgg

from exported import sharing
from flawscope.methods import patchcore
from flawscope.methods.efficientad import detector as efficientad
from flawscope.methods.segad.forest import ForestOptions
from flawscope.nn.backbones import build, pdn, teachers
from flawscope.nn.banks import features, preflight
from flawscope.nn.banks.features import PatchGrid
from flawscope.nn.joining import banks
from flawscope.nn.memory import memory_kept
from flawscope.nn.student_teacher.networks import Autoencoder
from flawscope.nn.training import loop
from flawscope.runtime import timing
from flawscope.segmenters import drafting


@pytest.fixture(scope="session", autouse=True)
def _one_table_for_all_exports() -> Iterator[None]:
    """Read torch's table of ONNX functions once, and its list of composite ones: they never change."""
    try:
        from torch._export import utils
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        read = functools.cache(ONNXRegistry.from_torchlib)
        listed = functools.cache(utils._materialize_cpp_cia_ops)
    except (ImportError, AttributeError):  # another torch keeps them elsewhere: exports take longer
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(read))
        patch.setattr(utils, "_materialize_cpp_cia_ops", listed)
        yield


@pytest.fixture(scope="session", autouse=True)
def _rules_are_tried_where_they_can_begin() -> Iterator[None]:
    """Try onnxscript's rules of several outputs at nodes of their first operator only.

    At any other it sorts all nodes of the graph to find nothing.
    """
    try:
        from onnxscript.rewriter._basics import MatchResult
        from onnxscript.rewriter._matcher import SimplePatternMatcher

        match = SimplePatternMatcher.match
    except (ImportError, AttributeError):  # another onnxscript keeps them elsewhere: exports take longer
        yield
        return

    def quick(self: Any, model: Any, graph: Any, node: Any, **settings: Any) -> MatchResult:
        first, *others = self.pattern.output_nodes
        if others and first.op_identifier() not in (None, node.op_identifier()):
            return MatchResult().fail("another operator")
        return match(self, model, graph, node, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimplePatternMatcher, "match", quick)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_line_of_code_is_noted_beside_nodes() -> Iterator[None]:
    """Leave out, for each node that torch traces, where in the code it comes from: exports drop it again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.fx.config, "do_not_emit_stack_traces", True, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _equal_graphs_are_traced_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of a detector whose like any worker has exported already, take the graph that is there."""
    root = tmp_path_factory.getbasetemp()
    with sharing((root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "graphs"):
        yield


@pytest.fixture(scope="session", autouse=True)
def _networks_are_made_once() -> Iterator[None]:
    """Draw the random weights of a network once: they are the same each time, and take longer than a copy.

    Of networks that are cut only the part is copied that is left of them.
    """
    made: dict[tuple[object, ...], torch.nn.Module] = {}
    create, cut = build._create, build.cut

    def kept(library: str, name: str, size: tuple[int, int] | None) -> torch.nn.Module:
        key = library, name, size, torch.get_default_device()
        if key not in made:
            network = create(library, name, size)
            if sum(parameter.numel() for parameter in network.parameters()) > 20_000_000:
                return network
            made[key] = network
        return copy.deepcopy(made[key]) if build._is_transformer(made[key]) else made[key]

    def copied(network: torch.nn.Module, *which: Any) -> torch.fx.GraphModule:
        part = cut(network, *which)
        if any(network is one for one in made.values()):
            _own(part, {})
        return part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_create", kept)
        patch.setattr(build, "cut", copied)
        yield


def _own(module: torch.nn.Module, known: dict[torch.nn.Module, torch.nn.Module]) -> None:
    """Give a module parts and tensors of its own, in a fraction of the time that `copy.deepcopy` takes."""
    parts, parameters, buffers = module._modules, module._parameters, module._buffers
    for name, child in parts.items():
        if child is not None and child not in known:
            made = known[child] = object.__new__(type(child))
            for key, value in vars(child).items():
                vars(made)[key] = copy.copy(value) if isinstance(value, dict | list | set) else value
            _own(made, known)
        parts[name] = None if child is None else known[child]
    for name, parameter in parameters.items():
        if parameter is not None:
            own = parameter.detach().clone()
            parameters[name] = torch.nn.Parameter(own, requires_grad=parameter.requires_grad)
    for name, buffer in buffers.items():
        buffers[name] = None if buffer is None else buffer.clone()


@pytest.fixture(scope="session", autouse=True)
def _the_command_line_is_made_once() -> Iterator[None]:
    """Read the commands' annotations once: a user's process makes one command line, a worker hundreds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session", autouse=True)
def _pictures_are_packed_lightly() -> Iterator[None]:
    """Write PNG files at zlib's first level: the same pixels in a third of the time."""
    save = Image.Image.save

    def light(image: Image.Image, fp: Any, format: str | None = None, **settings: Any) -> None:  # noqa: A002
        save(image, fp, format, **{"compress_level": 1, **settings})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "save", light)
        yield


@pytest.fixture(scope="session", autouse=True)
def _memory_stays_with_the_process() -> Iterator[None]:
    """Ask the system for the same pages once, not in every test: that took a tenth of the time."""
    with memory_kept(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "memory_kept", nullcontext)  # it would give them back after each training
        yield


@pytest.fixture(scope="session", autouse=True)
def _engines_are_timed_briefly() -> Iterator[None]:
    """Time each engine in two rounds: how the table of engines is made is tested with a clock of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for rounds in ("WARM_UPS", "FEWEST", "MOST"):
            patch.setattr(timing, rounds, 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def _forests_are_small() -> Iterator[None]:
    """Grow a twentieth of the paper's trees; that all of them are asked for is a test of its own."""
    trees = {"boosted random forest": 10, "random forest": 100, "boosted trees": 1}
    rounds = {"boosted random forest": 10, "random forest": 1, "boosted trees": 100}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForestOptions, "trees", property(lambda self: trees[self.kind]))
        patch.setattr(ForestOptions, "rounds", property(lambda self: rounds[self.kind]))
        yield


@pytest.fixture(scope="session", autouse=True)
def _vgg11_is_narrow_where_no_test_reads_it() -> Iterator[None]:
    """Make VGG-11's stages after the second narrow: drawing their ten million weights took most of a fit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vgg.cfgs, "A", [64, "M", 128, "M", 8, 8, "M", 8, 8, "M", 8, 8, "M"])
        yield


@pytest.fixture(scope="session", autouse=True)
def _patch_description_networks_are_narrow_where_a_test_asks_for_few_channels() -> Iterator[None]:
    """Make teachers and students of few channels narrow inside, too: no weights are read there."""

    def narrow(size: pdn.PdnSize, channels: int, *, padding: bool = True) -> torch.nn.Sequential:
        make = pdn.pdn_s if size == "small" else pdn.pdn_m
        return make(channels, padding=padding, **({"width": 32} if 1 < channels <= 48 else {}))

    with pytest.MonkeyPatch.context() as patch:
        for module in (efficientad, teachers):
            patch.setattr(module, "pdn", narrow)
        yield


@pytest.fixture(scope="session", autouse=True)
def _autoencoders_build_small_maps_where_a_test_asks_for_few_channels() -> Iterator[None]:
    """Leave out the decoder's three largest maps, which take nine tenths of the operations."""

    def small(channels: int, grid: tuple[int, int]) -> Autoencoder:
        return Autoencoder(channels, grid, **({"largest": 15} if channels <= 48 else {}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficientad, "Autoencoder", small)
        yield


@pytest.fixture(scope="session", autouse=True)
def _costs_are_told_briefly() -> Iterator[None]:
    """Time what a bank's cost is told from once, and count once what equal networks take of memory."""
    counted: dict[tuple[object, ...], int] = {}
    count = features.bytes_to_see

    def once(work: Callable[[], object], repeats: int = 1) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def kept(backbone: build.Backbone, grids: Sequence[PatchGrid], size: tuple[int, int]) -> int:
        shapes = [(name, value.shape, value.dtype) for name, value in backbone.state_dict().items()]
        joined = [
            (grid.layers, grid.neighbourhood, grid.upsampling, *grid.steps.items(), grid.shape)
            for grid in grids
        ]
        key = backbone.library, backbone.name, backbone.layers, *shapes, *joined, size
        if key not in counted:
            counted[key] = count(backbone, grids, size)
        return counted[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "fastest", once)
        for module in (banks, patchcore):
            patch.setattr(module, "bytes_to_see", kept)
        yield


@pytest.fixture(scope="session", autouse=True)
def _maps_are_drafted_of_fewer_cells() -> Iterator[None]:
    """Draft segment maps from pictures of half the side, a quarter of the cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drafting, "_SIDE", 256)
        yield
