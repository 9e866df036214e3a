"""A backbone's layers by their strides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flawscope.errors import OptionError

if TYPE_CHECKING:
    from flawscope.nn.backbones.build import Backbone

_STEPS = [2**number for number in range(7)]


def stride_of(side: int, cells: int, *, tokens: bool = False) -> int:
    """Pixels a cell of a map with so many cells along a side.

    A convolutional network's is a power of two, with the cells rounded up, or down, where the side is no
    multiple of it; a transformer's `tokens` divide the side.

    >>> [stride_of(100, cells) for cells in (25, 13, 12, 7, 4)], stride_of(98, 7, tokens=True)
    ([4, 8, 8, 16, 32], 14)
    """
    steps = [] if tokens else _STEPS
    up = [step for step in steps if -(-side // step) == cells]
    down = [step for step in steps if side // step == cells]
    return next(iter(up + down), round(side / cells))


def layers_at(backbone: Backbone, strides: Sequence[int], *, option: str, of: str) -> list[str]:
    """Those of the backbone's layers that are at one of the strides, in its order.

    Raises:
        OptionError: none is at one of them; `option` of `of` asked for it.
    """
    there = backbone.strides
    if missing := sorted(set(strides) - set(there.values())):
        raise OptionError(
            f"option '{option}' of {of}",
            expected=f"strides of the backbone's layers ({', '.join(map(str, sorted(there.values())))})",
            got=", ".join(map(str, missing)),
            fix="Choose among them, or name a layer at each of these strides.",
        )
    return [layer for layer in backbone.layers if there[layer] in strides]
