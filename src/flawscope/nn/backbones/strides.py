"""A backbone's layers by their strides."""

from __future__ import annotations

from collections.abc import Sequence

from flawscope.errors import OptionError
from flawscope.nn.backbones.build import Backbone


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
