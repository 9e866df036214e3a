"""Parts of a static map upon what another segmenter finds: VisA's boards in SegAD (section 5.4, figure 7).

There SAM tells object from background in each picture, and the board's components lie where they always lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import MOST_SEGMENTS
from flawscope.errors import DataError
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch, batches
from flawscope.runtime.images import Frame
from flawscope.segmenters.feature_clusters import FeatureClusters, FeatureClustersOptions
from flawscope.segmenters.folder_maps import FolderMaps, FolderMapsOptions
from flawscope.segmenters.kinds import explained
from flawscope.segmenters.object_ground import ObjectGround, ObjectGroundOptions
from flawscope.segmenters.segmenter import Segmenter, SegmenterOptions, spread
from flawscope.segmenters.static_map import fitting_map

BELOW: dict[str, type[Segmenter]] = {
    "object": ObjectGround,
    "clusters": FeatureClusters,
    "folder": FolderMaps,
}


class OverlaidOptions(SegmenterOptions):
    """Options of `Overlaid`."""

    placed: ClassVar = True

    kind: Literal["overlaid"] = "overlaid"
    map: Path = Field(
        description="an indexed PNG file of the parts, the same for every picture: index 0 shows what lies "
        "below, 1 and so on are parts; fit reads it"
    )
    below: Annotated[
        ObjectGroundOptions | FeatureClustersOptions | FolderMapsOptions,
        Field(discriminator="kind"),
        explained("segments below", {kind: made.Options for kind, made in BELOW.items()}, "object"),
    ] = Field(
        ObjectGroundOptions(),
        description="segments that each picture has of its own. Paper: object and background by SAM, which "
        "a folder holds; object finds them at the station, too",
    )


class Overlaid(Segmenter):
    """The segments of `below`, numbered as there, then the map's parts, which lie upon them."""

    Options: ClassVar = OverlaidOptions
    options: OverlaidOptions
    parts: Tensor

    def __init__(self, options: OverlaidOptions, frame: Frame) -> None:
        super().__init__(options, frame)
        self.below = BELOW[options.below.kind](options.below, frame)
        self.register_buffer("parts", torch.zeros(frame.height, frame.width, dtype=torch.uint8))  # (H, W)

    @property
    def names(self) -> tuple[str, ...]:
        """See `Segmenter.names`."""
        parts = self.count - self.below.count
        return (*self.below.names, *(f"part {index}" for index in range(1, parts + 1)))

    @property
    def backbone(self) -> Backbone | None:
        """See `Segmenter.backbone`."""
        return self.below.backbone

    def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
        """See `Segmenter.learn`: what lies below learns, then the map is read.

        Raises:
            InputError: no such file, or one that cannot be read.
            DataError: a map that does not fit, more than 64 segments, or what the segmenter below refuses.
        """
        drawn = fitting_map(self.options.map, pictures, self.frame)
        self.below.fit(pictures, run, watch, parts)
        count = self.below.count + int(drawn.max())
        if count > MOST_SEGMENTS:
            raise DataError(
                f"segment map {self.options.map}",
                expected=f"at most {MOST_SEGMENTS} segments, with the {self.below.count} below it",
                got=str(count),
                fix="Draw fewer parts.",
            )
        self.parts = torch.from_numpy(drawn).to(run.torch_device())
        total, chosen = torch.zeros(count, dtype=torch.int64), spread(pictures)
        for sample, pixels in zip(
            chosen.samples, batches(chosen, run, watch, "measuring segments", 1), strict=True
        ):
            total += torch.bincount(self.labelled(pixels, [sample]).flatten().cpu(), minlength=count)
        self.shares = (total / total.sum()).float()

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """See `Segmenter.forward`."""
        return self._upon(self.below(pixels, maps))

    def labelled(self, pixels: Tensor, samples: Sequence[Sample]) -> Tensor:
        """See `Segmenter.labelled`."""
        return self._upon(self.below.labelled(pixels, samples))

    def check_exportable(self) -> None:
        """See `Segmenter.check_exportable`."""
        self.below.check_exportable()

    def _upon(self, labels: Tensor) -> Tensor:
        """The parts upon labels (N, H, W).

        As products: for a choice between the two OpenVINO 2026.4 gives 0 where it is held to AVX2.
        """
        parts = self.parts.long()
        bare = (parts == 0).long()
        return labels * bare + (parts + (self.below.count - 1)) * (1 - bare)  # (N, H, W) under (H, W)
