"""A network that sees parts that lie at any angle turned to how one of them lies."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from flawscope.nn.backbones.build import Backbone
from flawscope.nn.upright.pose import Upright
from flawscope.runtime.explain.absence import POSE


class Turned(Backbone):
    """The same network with the same weights, in whose eyes pictures are turned.

    Args:
        network: of convolutions or a transformer.
        upright: turns pictures of its size.

    Attributes:
        upright: see above.
    """

    def __init__(self, network: Backbone, upright: Upright) -> None:
        scale = (network.mean.flatten().tolist(), network.std.flatten().tolist())
        super().__init__(
            network.body, network.name, network.library, network.layers, scale, size=upright.size
        )
        self.upright = upright

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """See `Backbone.forward`; beside the maps of turned pixels there is `POSE` (N, 4, 1, 1), no layer."""
        pose = self.upright(pixels)
        return {**super().forward(self.upright.turned(pixels, pose)), POSE: pose[:, :, None, None]}

    def seen(self, maps: Mapping[str, Tensor], values: Tensor) -> Tensor:
        """Values (N, H, W) over the pictures of which `forward` gave `maps`, turned as it saw them."""
        return self.upright.moved(values.unsqueeze(1), maps[POSE].flatten(1))[:, 0]
