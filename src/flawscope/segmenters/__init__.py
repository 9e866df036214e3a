"""Segments: what of the product each pixel shows.

`build_segmenter` makes a segmenter from options, by their `kind`: `one` segment; a `static` map, drawn or
drafted; `drafted`, one that fit drafts itself; `object` and ground, learnt without labels or downloads;
`clusters` of a backbone's features, per picture; `components`, found by a network that learns them from label
maps; `instances` of components, found by a Mask R-CNN; maps of a `folder`, one for each picture; static
parts `overlaid` on what another one finds.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from flawscope.runtime.images import Frame
from flawscope.segmenters.components.options import ComponentsOptions
from flawscope.segmenters.components.segmenter import Components
from flawscope.segmenters.drafted_map import DraftedMap, DraftedMapOptions
from flawscope.segmenters.feature_clusters import FeatureClusters, FeatureClustersOptions
from flawscope.segmenters.folder_maps import FolderMaps, FolderMapsOptions
from flawscope.segmenters.instances.options import InstancesOptions
from flawscope.segmenters.instances.segmenter import Instances
from flawscope.segmenters.kinds import explained
from flawscope.segmenters.object_ground import ObjectGround, ObjectGroundOptions
from flawscope.segmenters.overlaid import Overlaid, OverlaidOptions
from flawscope.segmenters.segmenter import Segmenter, SegmenterOptions
from flawscope.segmenters.static_map import OneSegment, OneSegmentOptions, StaticMap, StaticMapOptions

__all__ = [
    "ComponentsOptions",
    "DraftedMapOptions",
    "FeatureClustersOptions",
    "FolderMapsOptions",
    "InstancesOptions",
    "ObjectGroundOptions",
    "OneSegmentOptions",
    "OverlaidOptions",
    "SegmentOptions",
    "Segmenter",
    "StaticMapOptions",
    "build_segmenter",
]

SEGMENTERS: dict[str, type[Segmenter]] = {
    "one": OneSegment,
    "static": StaticMap,
    "drafted": DraftedMap,
    "object": ObjectGround,
    "clusters": FeatureClusters,
    "components": Components,
    "instances": Instances,
    "folder": FolderMaps,
    "overlaid": Overlaid,
}


SegmentOptions = Annotated[
    OneSegmentOptions
    | StaticMapOptions
    | DraftedMapOptions
    | ObjectGroundOptions
    | FeatureClustersOptions
    | ComponentsOptions
    | InstancesOptions
    | FolderMapsOptions
    | OverlaidOptions,
    Field(discriminator="kind"),
    explained("segments", {kind: made.Options for kind, made in SEGMENTERS.items()}, "one"),
]


def build_segmenter(options: SegmenterOptions, frame: Frame) -> Segmenter:
    """An unfitted segmenter for pictures at `frame`; nothing is read or loaded yet.

    Raises:
        OptionError: unknown backbone or layers.
    """
    return SEGMENTERS[options.kind](options, frame)
