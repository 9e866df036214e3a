"""One pass of a network for all members that read it at the same size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from flawscope.nn.backbones.build import Backbone, build_backbone

Maps = dict[str, Tensor]
Place = tuple[int, str]  # of a network: the member's number, and the module's name in it


class Lender:
    """A network that several members borrow, and its maps of the picture that is being looked at.

    It is no module: borrowers refer to the network through it, and only its owner holds the weights.
    """

    def __init__(self, network: Backbone) -> None:
        self.network = network
        self._open, self._seen = False, list[tuple[Tensor, Maps]]()

    @contextmanager
    def one_pass(self) -> Iterator[None]:
        """Within, the maps of one and the same tensor of pixels are computed once."""
        self._open = True
        try:
            yield
        finally:
            self._open = False
            self._seen.clear()

    def maps(self, pixels: Tensor) -> Maps:
        """All maps of pixels (N, 3, H, W) by layer."""
        for known, maps in self._seen:
            if known is pixels:
                return maps
        found: Maps = self.network(pixels)
        if self._open:
            self._seen.append((pixels, found))
        return found


class Borrowed(Backbone):
    """Stands in a member where its own network stood, and gives the lender's maps of the same layers."""

    def __init__(self, own: Backbone, lender: Lender) -> None:
        nn.Module.__init__(self)
        self.name, self.library, self.layers, self.tokens = own.name, own.library, own.layers, own.tokens
        self.channels, self.grids, self.strides = own.channels, own.grids, own.strides
        self.trainable, self._lender = False, lender
        for key in ("mean", "std"):
            self.register_buffer(key, getattr(own, key), persistent=False)

    def own(self, size: tuple[int, int]) -> Backbone:
        """The same stretch of the lender's network as a network by itself."""
        made = build_backbone(_called(self), self.layers, size=size)
        known = self._lender.network.state_dict()
        made.load_state_dict({key: known[key] for key in made.state_dict()})
        return made.to(self._lender.network.mean.device)

    def forward(self, pixels: Tensor) -> Maps:
        """See `Backbone.forward`."""
        maps = self._lender.maps(pixels)
        return {layer: maps[layer] for layer in self.layers}


def alike(members: Sequence[nn.Module], sizes: Sequence[tuple[int, int]]) -> list[list[Place]]:
    """Where members have the same frozen network for the same size of picture: a list for each network.

    Networks of one name whose weights differ are not the same; those that stand alone are left out.
    """
    groups: list[list[tuple[Place, Backbone, tuple[int, int]]]] = []
    for number, member in enumerate(members):
        for name, module in member.named_modules():
            if type(module) is not Backbone or module.trainable:
                continue
            entry = ((number, name), module, sizes[number])
            for group in groups:
                if group[0][2] == sizes[number] and all(_same(module, other) for _, other, _ in group):
                    group.append(entry)
                    break
            else:
                groups.append([entry])
    return [
        [place for place, _, _ in group] for group in groups if len({place[0] for place, _, _ in group}) > 1
    ]


def lend(members: Sequence[nn.Module], places: Sequence[Place], size: tuple[int, int]) -> Lender:
    """Put one network with the layers of all in the place of those at `places`, which are `alike`."""
    networks = [members[number].get_submodule(name) for number, name in places]
    owned = [network for network in networks if isinstance(network, Backbone)]
    first = owned[0]
    layers = tuple(dict.fromkeys(layer for network in owned for layer in network.layers))
    whole = build_backbone(_called(first), layers, size=size)
    whole.load_state_dict({key: value for network in owned for key, value in network.state_dict().items()})
    lender = Lender(whole.to(first.mean.device))
    for (number, place), network in zip(places, owned, strict=True):
        members[number].set_submodule(place, Borrowed(network, lender))
    return lender


def take_back(members: Sequence[nn.Module], places: Sequence[Place], size: tuple[int, int]) -> None:
    """Undo `lend`: each member has a network of its own again, as deep as it reads it."""
    for number, place in places:
        borrowed = members[number].get_submodule(place)
        if isinstance(borrowed, Borrowed):
            members[number].set_submodule(place, borrowed.own(size))


def _called(network: Backbone) -> str:
    """What `build_backbone` knows it by."""
    return network.name if network.library == "flawscope" else f"{network.library}:{network.name}"


def _same(one: Backbone, other: Backbone) -> bool:
    """Whether both are stretches of the same network with the same weights."""
    if (one.name, one.library) != (other.name, other.library):
        return False
    first, second = one.state_dict(), other.state_dict()
    pairs = ((first[key], second[key]) for key in first.keys() & second.keys())
    return all(mine.dtype == others.dtype and torch.equal(mine, others) for mine, others in pairs)
