"""A convolutional network cut behind the layers that are asked for, traced once in a process."""

from __future__ import annotations

import copy
import warnings

from torch import fx, nn

_TRACED: dict[tuple[type[nn.Module], str, tuple[str, ...]], fx.Graph] = {}


def cut(network: nn.Module, layers: tuple[str, ...], library: str, name: str) -> fx.GraphModule:
    """The part of `network` that `layers` need, with its own modules; what lies above is dropped.

    Networks of one library, `library`, and `name` differ in weights alone, so a second one takes the graph of
    the first, unless that holds tensors that were made on the way: tracing takes ten times as long.
    """
    key = type(network), f"{library}:{name}", layers
    if key in _TRACED:
        return fx.GraphModule(network, copy.deepcopy(_TRACED[key]))
    whole = _traced(network, layers, library)
    made = fx.GraphModule(whole, getattr(whole, "eval_graph", whole.graph))
    own = {name for found in (network.named_parameters(), network.named_buffers()) for name, _ in found}
    if all(node.target in own for node in made.graph.nodes if node.op == "get_attr"):
        _TRACED[key] = copy.deepcopy(made.graph)  # which, unlike the one in use, holds no module
    return made


def _traced(network: nn.Module, layers: tuple[str, ...], library: str) -> fx.GraphModule:
    nodes = {layer: layer for layer in layers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that dropout differs between training and inference
        if library == "timm":
            from timm.layers._fx import create_feature_extractor as cut_timm  # noqa: PLC0415

            whole: fx.GraphModule = cut_timm(network, nodes)
        else:
            from torchvision.models.feature_extraction import create_feature_extractor  # noqa: PLC0415

            whole = create_feature_extractor(network, nodes)
    return whole
