"""Segments per picture: the cells of a backbone's features, clustered over all good pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.segment_maps import MOST_SEGMENTS
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.cells import Cells
from flawscope.segmenters.clustering import cluster
from flawscope.segmenters.segmenter import Segmenter, SegmenterOptions, spread

_ROWS = 20000  # cells on which k-means runs
_CELL_DRAW = 11


class FeatureClustersOptions(SegmenterOptions):
    """Options of `FeatureClusters`."""

    kind: Literal["clusters"] = "clusters"
    count: int | None = Field(
        None, ge=2, le=MOST_SEGMENTS, description="how many clusters; by default what fits best, 2 to 8"
    )
    backbone: str = Field("tf_efficientnet_lite0", description="network of the features")
    layers: tuple[str, ...] | None = Field(
        None, description="its layers; by default those at strides 8 and 16"
    )
    margin: int = Field(
        2,
        ge=0,
        le=8,
        description="cells of the coarsest layer by which pictures are mirrored beyond their borders for the "
        "network; 0 leaves them as they are, so that its maps can be shared",
    )
    position: float = Field(
        0.0, ge=0, description="weight of the place beside the features; above 0 for aligned products only"
    )
    smoothing: float = Field(
        4.0, ge=0, le=64, description="σ in pixels of the Gaussian over the clusters' scores"
    )
    weights: Literal["pretrained", "random"] = Field(
        "pretrained",
        description="pretrained, as published; random draws them from a fixed seed, for tests only",
    )


class FeatureClusters(Segmenter):
    """Each pixel has the cluster whose centroid its features are nearest to.

    Features are smoothed over 3×3 cells; the scores of the clusters, which are linear in them, are enlarged
    and smoothed before the largest is taken.

    Maps that are handed in come from pictures mirrored as `cells.mirrored` does; with the option `margin` 0,
    those are the pictures themselves.
    """

    Options: ClassVar = FeatureClustersOptions
    options: FeatureClustersOptions
    place: Tensor
    centroids: Tensor

    def __init__(self, options: FeatureClustersOptions, frame: Frame) -> None:
        super().__init__(options, frame)
        size = (frame.height, frame.width)
        self.cells = Cells(
            options.backbone, options.layers, (8, 16), size, weights=options.weights, margin=options.margin
        )
        self.enlarged = Heatmap(self.cells.shape, size, options.smoothing)
        sides = [torch.linspace(-1, 1, cells) for cells in self.cells.shape]
        place = options.position * torch.stack(torch.meshgrid(*sides, indexing="ij"))
        self.register_buffer("place", place, persistent=False)  # (2, h, w)
        self.register_buffer("centroids", torch.zeros(1, self.cells.dim + 2))  # (L, D + 2)

    @property
    def backbone(self) -> Backbone:
        """See `Segmenter.backbone`."""
        return self.cells.backbone

    def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
        """See `Segmenter.learn`: cluster the features of up to 64 pictures.

        Raises:
            WeightsError: the backbone's weights are not to be had.
            DataError: pictures too plain for so many clusters.
        """
        del parts
        self.cells.load()
        rows, places = self._drawn(spread(pictures), run, watch)
        self.cells.grid.balance(rows)
        vectors = torch.cat([rows, self.place.cpu().flatten(1).T[places]], 1)  # (n, D + 2)
        found = torch.from_numpy(cluster(vectors.numpy(), self.options.count, run, watch))
        self.centroids = found.to(run.torch_device())
        self.shares = self.measure(pictures, run, watch, len(found))

    def _drawn(self, pictures: Pictures, run: Run, watch: Watch) -> tuple[Tensor, Tensor]:
        """Smoothed features (n, D) of cells drawn at random from each picture, and their places (n,)."""
        self.cells.grid.scale.fill_(1.0)
        height, width = self.cells.shape
        each, random = max(1, _ROWS // len(pictures)), run.generator(_CELL_DRAW)
        rows, places = [], []
        for features in self.cells.batches(pictures, run, watch):
            for cells in _smooth(features).flatten(2).transpose(1, 2).cpu():  # (h * w, D)
                drawn = torch.randperm(height * width, generator=random)[:each]
                rows.append(cells[drawn])
                places.append(drawn)
        return torch.cat(rows), torch.cat(places)

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """See `Segmenter.forward`."""
        features = _smooth(self.cells(pixels, maps))
        place = self.place.expand(features.shape[0], -1, -1, -1)  # (N, 2, h, w)
        placed = torch.cat([features, place], 1)  # (N, D + 2, h, w)
        weights = (2 * self.centroids)[:, :, None, None]  # (L, D + 2, 1, 1)
        scores = F.conv2d(placed, weights, -self.centroids.square().sum(1))  # (N, L, h, w)
        labels: Tensor = self.enlarged(scores).argmax(1)  # (N, H, W)
        return labels


def _smooth(features: Tensor) -> Tensor:
    """Mean over 3×3 cells, (N, D, h, w)."""
    return F.avg_pool2d(F.pad(features, (1, 1, 1, 1), mode="replicate"), 3, 1)
