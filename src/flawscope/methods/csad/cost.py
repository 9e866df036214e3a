"""How long CSAD learns on this machine, from short probes before it starts."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from flawscope.methods.csad.patches import Patches
from flawscope.methods.csad.structure import Structure
from flawscope.methods.csad.students import LocalGlobal
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.banks.preflight import Preflight, fastest, seconds_a_picture
from flawscope.nn.memory import available_bytes
from flawscope.nn.run import FEATURE_MEMORY
from flawscope.segmenters import Segmenter
from flawscope.segmenters.components.segmenter import Components
from flawscope.segmenters.components.training import in_order
from flawscope.segmenters.instances.segmenter import Instances
from flawscope.segmenters.pseudo_labels.component_features import SIDE

_PASSES = 4  # of the network over each picture, beside training
_OWN_PASSES = 2  # over each that is enlarged for the banks
_SHOWN = 16  # components of a picture that are described, where nobody knows better
_FORWARD_AND_BACK = 3  # passes forward that take as long
_MAPS = 2 << 30  # bytes of a training step's maps, roughly


def expected(
    size: tuple[int, int],
    backbone: Backbone,
    segmenter: Segmenter,
    structure: Structure | None,
    pictures: int,
) -> Preflight:
    """Expected cost of learning from so many pictures, on the processor.

    Steps of training are timed on one picture, with as many unlabelled pictures as the schedule may have.
    Proposers other than areas take longer, annotated parts less.
    """
    once = seconds_a_picture(backbone, size)
    seconds, room = _PASSES * once * pictures, 5 * size[0] * size[1] * pictures + _MAPS
    if isinstance(segmenter, Components):
        seconds += _components(segmenter, backbone, once, pictures)
    if isinstance(segmenter, Instances):
        seconds += _instances(segmenter, size)
    if isinstance(structure, Patches):
        sight = structure.sight(backbone)
        banks = structure.banks.cost(pictures, FEATURE_MEMORY, sight)
        seconds, room = seconds + banks.seconds, room + banks.bytes
        if sight is not backbone:
            seconds += _OWN_PASSES * seconds_a_picture(sight, size) * pictures
    if isinstance(structure, LocalGlobal):
        seconds += _students(structure, size)
    return Preflight(seconds, room, available_bytes(), seconds_a_picture=once)


def _components(segmenter: Components, backbone: Backbone, once: float, pictures: int) -> float:
    """Seconds for pseudo-labels and for training the decoder."""
    options = segmenter.options
    described = 0.0
    if options.proposer.kind != "folder":
        turns = options.labels.features.rotations
        described = seconds_a_picture(backbone, (SIDE, SIDE)) * turns * _SHOWN * pictures
    steps, alone = options.steps_for(pictures)
    with torch.no_grad():
        maps = segmenter.features(torch.zeros(1, 3, segmenter.frame.height, segmenter.frame.width))
    each = once + _learning(segmenter.decoder, lambda net: net(in_order(segmenter.features, maps)))
    return described + each * options.batch * (2 * steps - alone)


def _instances(segmenter: Instances, size: tuple[int, int]) -> float:
    """Seconds for fine-tuning, from looks at one picture: back takes about twice as long as forward."""
    options = segmenter.options
    side = (options.crop, options.crop) if options.crop else size
    return _FORWARD_AND_BACK * seconds_a_picture(segmenter, side) * options.batch * options.steps


def _students(structure: LocalGlobal, size: tuple[int, int]) -> float:
    """Seconds for training both students."""
    options, pixels = structure.options, torch.zeros(1, 3, *size)
    local = _learning(structure.students["local"], lambda net: torch.cat(net(pixels), 1))
    whole = _learning(structure.students["whole"], lambda net: net(pixels))
    return (local + whole) * options.batch * (1 + options.natural) * options.steps


def _learning(network: nn.Module, forward: Callable[[nn.Module], Tensor]) -> float:
    """Seconds of one pass forward and back; the network stays as it was."""
    probed = copy.deepcopy(network).requires_grad_(True).train()
    return fastest(lambda: forward(probed).sum().backward(), repeats=1)  # type: ignore[no-untyped-call]
