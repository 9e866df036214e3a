"""What a network's maps take while it sees a batch, from their shapes alone: nothing is computed."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Network = TypeVar("Network", bound=nn.Module)


def shapes_only(network: Network) -> Network:
    """A copy on the device `meta`, whose tensors have shapes and no memory; the network stays as it was."""
    kept = {id(one): one.detach().to("meta") for one in (*network.parameters(), *network.buffers())}
    frozen = {
        id(one): nn.Parameter(kept[id(one)], requires_grad=one.requires_grad) for one in network.parameters()
    }
    return copy.deepcopy(network, {**kept, **frozen})


def most_bytes(work: Callable[[], object]) -> int:
    """Bytes of all tensors that live at once while something runs, at most; those from before don't count."""
    living = _Living()
    with torch.no_grad(), living:
        work()
    return living.most


class _Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the memory of tensors from when an operation makes them until nobody holds them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.most = 0, 0
        self._known = set[int]()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """See `TorchDispatchMode`: run the operation and count what it made."""
        del types
        given = {_storage(one)._cdata for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, Tensor) and _storage(one)._cdata not in given | self._known:
                self._count(_storage(one))
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _storage(tensor: Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage()
