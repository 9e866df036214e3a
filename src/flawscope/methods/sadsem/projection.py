"""Masks projected on a backbone's maps: which component each cell of a layer shows.

The paper crops each component's box from the activation maps by RoIAlign, resizes the mask to the crop, and
keeps the points inside (section 2.3). RoIAlign samples the box anew at a fixed size, so that the number of
points of a component does not follow from its area, and boxes that overlap give a pixel several points. Here
a cell stays where the network has it and belongs to the component that its centre shows. What the paper asks
for holds exactly: only points inside the mask are kept, and every pixel has one representation. A component
has as many cells as its area deserves, on average, however small or thin it is; had the majority of a cell's
pixels decided, thin ones would have none. It is plain tensor code of a fixed shape, which a graph can hold.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Projection(nn.Module):
    """Label maps read at the centres of the cells of layers.

    Args:
        size: height and width H, W of the label maps.
        grids: height and width of each layer's map.
    """

    def __init__(self, size: tuple[int, int], grids: Mapping[int, tuple[int, int]]) -> None:
        super().__init__()
        self.layers = tuple(grids)
        for layer, grid in grids.items():
            for name, side, cells in zip(("down", "across"), size, grid, strict=True):
                self.register_buffer(f"{name}_{layer}", _centres(side, cells), persistent=False)

    def forward(self, labels: Tensor) -> dict[int, Tensor]:
        """Label (N, h, w) of each cell of each layer, of label maps (N, H, W)."""
        return {
            layer: labels.index_select(1, self.get_buffer(f"down_{layer}")).index_select(
                2, self.get_buffer(f"across_{layer}")
            )
            for layer in self.layers
        }


def _centres(side: int, cells: int) -> Tensor:
    """(cells,) the pixel at the centre of each of so many cells along a side; the later one of two.

    >>> _centres(8, 2).tolist(), _centres(9, 3).tolist()
    ([2, 6], [1, 4, 7])
    """
    return (2 * torch.arange(cells) + 1) * side // (2 * cells)
