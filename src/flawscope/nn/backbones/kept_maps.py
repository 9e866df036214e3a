"""Maps of a frozen network, kept on the disk for further fits of the same pictures, as those of folds are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.errors import OutputError
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.run import Checkpoints, Run

Maps = dict[str, Tensor]


class KeptMaps:
    """Maps of pictures, each under the name of all that they depend on, as many as `run.memory` bytes hold.

    The others, and all where the disk has no room, come from the network each time.

    Args:
        store: where they lie.
        backbone: the network.
        pictures: whose maps are asked for.
        run: its device and number format.
    """

    def __init__(self, store: Checkpoints, backbone: Backbone, pictures: Pictures, run: Run) -> None:
        self._store, self._pictures, self._device = store, pictures, run.torch_device()
        digest = hashlib.sha256(f"{pictures.frame} {run.feature_dtype} {self._device.type}".encode())
        for value in backbone.state_dict().values():
            digest.update(value.cpu().contiguous().numpy().tobytes())
        of = f"{digest.hexdigest()} {backbone.name} {backbone.layers}"
        self._names = [hashlib.sha256(f"{of} {one}".encode()).hexdigest()[:32] for one in pictures.hashes()]
        there = {path.stem: path.stat().st_size for path in store.folder.glob("*.safetensors")}
        self._known = [name in there for name in self._names]
        self._room = run.memory - sum(there.values())

    def batches(self, network: Callable[[Pictures], Iterator[Maps]], size: int) -> Iterator[Maps]:
        """Maps {layer: (n, C, h, w)} of all pictures in order, n = `size` but for the last.

        Args:
            network: gives the maps of any of the pictures, in batches.
            size: of a batch.
        """
        fresh = _each(network(self._pictures.subset([i for i, known in enumerate(self._known) if not known])))
        found = list[Mapping[str, Tensor]]()
        for index, known in enumerate(self._known):
            if not known:
                found.append(next(fresh))
                self._keep(index, found[-1])
            else:  # a damaged one counts as none
                kept = self._store.load(self._names[index])
                found.append(kept or next(_each(network(self._pictures.subset([index])))))
            if len(found) == size or index == len(self._known) - 1:
                yield {layer: self._together([one[layer] for one in found]) for layer in found[0]}
                found = []

    def _together(self, maps: list[Tensor]) -> Tensor:
        joined = torch.stack([one.to(self._device) for one in maps])
        return joined.contiguous(memory_format=torch.channels_last)

    def _keep(self, index: int, maps: Mapping[str, Tensor]) -> None:
        self._room -= sum(each.nbytes for each in maps.values())
        if self._room < 0:
            return
        try:
            self._store.save(self._names[index], maps)
        except OutputError:  # they only save time
            self._room = 0


def _each(batches: Iterator[Maps]) -> Iterator[Maps]:
    """Maps {layer: (C, h, w)} of each picture."""
    for maps in batches:
        for row in range(len(next(iter(maps.values())))):
            yield {layer: each[row] for layer, each in maps.items()}
