"""Patch features: a backbone's maps, averaged over neighbourhoods, joined on one grid."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.data.pictures import IN_FLIGHT, Pictures
from flawscope.errors import OptionError
from flawscope.nn.activations import most_bytes, shapes_only
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.backbones.kept_maps import KeptMaps
from flawscope.nn.moments import Moments
from flawscope.nn.run import Run, full_float32
from flawscope.nn.watch import UNWATCHED, Watch, batches

BATCH = 8
_BLOCK_BYTES = 16 * 2**20  # of features in float64: what `balance` takes beside them stays small
_STILL = 1e-3


class PatchGrid(nn.Module):
    """Joins a backbone's maps into one feature vector for each cell of a grid.

    Args:
        backbone: whose maps come in; its layers are joined in their order.
        neighbourhood: side of the square over which each layer is averaged (PatchCore, section 3.1); 1
            leaves the maps as they are. Beyond the border lie zeros, as in the authors' code: they damp the
            outermost cells, whose features vary most between good pictures.
        stride: pixels a cell; None takes the finest layer's grid. Finer layers are averaged down to it.
        upsampling: how coarser layers reach the grid.
        layers: those of the backbone's that are joined; None: all.

    Attributes:
        dim: length of a feature vector.
        shape: height and width of the grid.
        scale: (D,) factors of the channels, 1 unless `balance` sets them.
    """

    scale: Tensor

    def __init__(
        self,
        backbone: Backbone,
        *,
        neighbourhood: int = 1,
        stride: int | None = None,
        upsampling: Literal["bilinear", "nearest"] = "bilinear",
        layers: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.layers = tuple(layers or backbone.layers)
        self.neighbourhood, self.upsampling = neighbourhood, upsampling
        strides = {layer: backbone.strides[layer] for layer in self.layers}
        stride = stride or min(strides.values())
        if any(stride % finer and stride > finer for finer in strides.values()) or stride < min(
            strides.values()
        ):
            raise OptionError(
                f"stride {stride}",
                expected=f"a multiple of the layers' finer strides {sorted(strides.values())}",
                got=str(stride),
                fix=f"Use {min(strides.values())} or a multiple of it.",
            )
        self.steps = {layer: max(1, stride // strides[layer]) for layer in self.layers}
        self.channels = [backbone.channels[layer] for layer in self.layers]
        self.dim = sum(self.channels)
        self.register_buffer("scale", torch.ones(self.dim))
        pooled = [self._pool(torch.zeros(1, 1, *backbone.grids[layer]), layer) for layer in self.layers]
        self.shape = max((maps.shape[2], maps.shape[3]) for maps in pooled)

    def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Join {layer: (N, C, h, w)} into features (N, D, h, w)."""
        pooled = [self._pool(maps[layer], layer) for layer in self.layers]
        return joined(pooled, self.shape, self.upsampling) * self.scale.view(-1, 1, 1)

    def balance(self, rows: Tensor) -> None:
        """Give all layers equal say; see `balancing`.

        Args:
            rows: (n, D) features of good pictures at scale 1; they are scaled in place.
        """
        self.scale = balancing([rows], self.channels).to(self.scale)

    def _pool(self, maps: Tensor, layer: str) -> Tensor:
        """Average over neighbourhoods, and down to the grid where the layer is finer."""
        step = self.steps[layer]
        side = max(self.neighbourhood, step + 1 - step % 2) if step > 1 else self.neighbourhood
        if side == 1:
            return maps
        return F.avg_pool2d(maps, side, step, side // 2)


def joined(
    maps: Sequence[Tensor], shape: tuple[int, int], upsampling: Literal["bilinear", "nearest"] = "bilinear"
) -> Tensor:
    """Maps (N, C, h, w) of several layers as one (N, D, *shape), those of another shape resized to it."""
    corners = False if upsampling == "bilinear" else None
    return torch.cat(
        [
            one
            if one.shape[2:] == shape
            else F.interpolate(one, size=shape, mode=upsampling, align_corners=corners)
            for one in maps
        ],
        1,
    )


def balancing(parts: Sequence[Tensor], channels: Sequence[int]) -> Tensor:
    """Factors (D,) that give all layers equal say, by which all features are scaled in place.

    Each layer is divided by the root mean square length of its centred features; one that hardly varies by a
    thousandth of its features' own length instead.

    Args:
        parts: features (n, D) of good pictures.
        channels: of each layer, D in all.
    """
    moments, size = Moments(), max(1, _BLOCK_BYTES // (8 * sum(channels)))
    blocks = [block for rows in parts for block in torch.split(rows, size)]
    for block in blocks:
        moments.add(block)
    factors = []
    both = torch.stack([moments.variance, moments.mean.square()])  # (2, D)
    for layer in torch.split(both, list(channels), 1):
        varying, still = layer.sum(1).tolist()
        length = max(varying, _STILL**2 * still) ** 0.5
        factors.append(torch.full_like(layer[0], 1 / length if length else 1.0))
    scale = torch.cat(factors).to(parts[0])
    for block in blocks:
        block.mul_(scale)
    return scale


def ready(backbone: Backbone, run: Run) -> Backbone:
    """A copy of the backbone on the run's device, in its number format; pictures should lie channels-last."""
    network = copy.deepcopy(backbone).to(run.torch_device()).to(memory_format=torch.channels_last)
    network.body.to(run.feature_dtype)
    return network


def map_batches(
    backbone: Backbone,
    pictures: Pictures,
    run: Run,
    watch: Watch = UNWATCHED,
    title: str = "reading features",
) -> Iterator[dict[str, Tensor]]:
    """The backbone's maps {layer: (n, C, h, w)} float32 of all pictures by batches at the run's precision.

    What the run keeps of them is not computed again; `title` is that of the stage for the rest.
    """
    network = ready(backbone, run)

    def computed(some: Pictures) -> Iterator[dict[str, Tensor]]:
        for pixels in batches(some, run, watch, title, BATCH):
            with torch.no_grad(), full_float32():
                maps: dict[str, Tensor] = network(pixels.contiguous(memory_format=torch.channels_last))
            yield maps

    if run.maps is None:
        yield from computed(pictures)
        return
    for maps in KeptMaps(run.maps, backbone, pictures, run).batches(computed, BATCH):
        watch.check_stop(run)
        yield maps


def bytes_to_see(backbone: Backbone, grids: Sequence[PatchGrid], size: tuple[int, int]) -> int:
    """What `map_batches` and the grids take of memory for a batch of that size, without what is kept of it.

    That is the copy of the network, its maps and what the grids make of them, by their shapes, and the
    pictures that are decoded meanwhile. What the allocator keeps of freed memory is not known.
    """
    network, *joined = shapes_only(nn.ModuleList([backbone, *grids]))
    pixels = torch.empty(BATCH, 3, *size, device="meta")

    def see() -> None:
        held = list[Any]()
        for _ in range(2):  # the maps of one batch are held until those of the next are there
            held.append(network(pixels.contiguous(memory_format=torch.channels_last)))
            for grid in joined:
                patch_rows(grid(held[-1]))

    copied = sum(value.nbytes for value in backbone.state_dict().values())
    return int(copied + most_bytes(see) + IN_FLIGHT * pixels.nbytes)


def patch_rows(features: Tensor) -> Tensor:
    """Features (N, D, h, w) as rows (N * h * w, D), picture by picture, line by line."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)  # (N * h * w, D)
