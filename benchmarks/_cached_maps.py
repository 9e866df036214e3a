"""A frozen backbone's maps of a product's pictures, computed once and kept, for detectors that run on them.

Maps are kept as float16, (pictures, height, width, channels), one file a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.features import map_batches
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame

Maps = dict[str, NDArray[np.float16]]


class CachedBackbone(nn.Module):
    """Stands where a backbone stood; gives kept maps, by the numbers that `Numbered` has for pixels."""

    def __init__(self, backbone: Backbone, maps: Maps) -> None:
        super().__init__()
        self.body = nn.Identity()
        self.name, self.layers = backbone.name, backbone.layers
        self.channels, self.grids, self.strides = backbone.channels, backbone.grids, backbone.strides
        self.maps = maps

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: it has nothing that a copy could change, and a copy would read all maps into memory."""
        return self

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map numbers (N, 3, 1, 1) to {layer: (N, C, h, w)} float32."""
        if pixels.is_meta:  # asked for shapes alone
            shapes = {layer: (len(pixels), self.channels[layer], *self.grids[layer]) for layer in self.layers}
            return {layer: pixels.new_empty(shape) for layer, shape in shapes.items()}
        numbers = pixels[:, 0, 0, 0].long().numpy()
        return {
            layer: torch.from_numpy(self.maps[layer][numbers]).float().permute(0, 3, 1, 2)  # (N, C, h, w)
            for layer in self.layers
        }


class Numbered(PictureFiles):
    """Pictures whose pixels (3, 1, 1) are only their number among the cached maps."""

    def __init__(self, samples: Sequence[Sample], frame: Frame, numbers: Mapping[Path, int]) -> None:
        super().__init__(samples, frame)
        self.numbers = numbers

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        return np.full((3, 1, 1), self.numbers[self.samples[index].path], np.float32)

    def __add__(self, other: Any) -> Numbered:
        return Numbered((*self.samples, *other.samples), self.frame, self.numbers)

    def subset(self, indices: Sequence[int]) -> Numbered:
        """See `Pictures.subset`."""
        return Numbered([self.samples[index] for index in indices], self.frame, self.numbers)

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        """See `Pictures.batches`."""
        for start in range(0, len(self), size):
            yield np.stack([self[index] for index in range(start, min(start + size, len(self)))])


def maps_folder(work: Path, pictures: str, backbone: Backbone, frame: Frame) -> Path:
    """Where the maps of one product's pictures by one network at one frame are kept."""
    about = f"{backbone.name}-{frame.height}x{frame.width}-{frame.aspect}"
    return work / "features" / pictures / about


def keep_maps(folder: Path, backbone: Backbone, layers: Sequence[str], pictures: PictureFiles) -> None:
    """Write the maps of those layers that the folder lacks, each file whole or not at all."""
    missing = [layer for layer in layers if not (folder / f"{layer}.npy").exists()]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    size = pictures.frame.height, pictures.frame.width
    network = build_backbone(f"{backbone.library}:{backbone.name}", missing, size=size)
    load_pretrained(network)
    unfinished = {layer: folder / f"{layer}.npy.unfinished" for layer in missing}
    files = {
        layer: np.lib.format.open_memmap(
            path,
            "w+",
            np.float16,
            (len(pictures), *network.grids[layer], network.channels[layer]),
        )
        for layer, path in unfinished.items()
    }
    done = 0
    for maps in map_batches(network, pictures, Run()):
        for layer, file in files.items():
            file[done : done + len(maps[layer])] = maps[layer].permute(0, 2, 3, 1).numpy()  # (n, h, w, C)
        done += len(maps[missing[0]])
    for layer, file in files.items():
        file.flush()
        unfinished[layer].replace(folder / f"{layer}.npy")


def read_maps(folder: Path, layers: Sequence[str], pictures: int) -> Maps:
    """The kept maps, read from disk as they are needed."""
    maps: Maps = {layer: np.load(folder / f"{layer}.npy", mmap_mode="r") for layer in layers}
    if any(len(each) != pictures for each in maps.values()):
        raise SystemExit(f"{folder}: maps of other pictures than {pictures}; remove the folder.")
    return maps
