"""From options to a segmenter."""

from __future__ import annotations

from flawscope.runtime.images import Frame
from flawscope.segmenters.feature_clusters import FeatureClusters
from flawscope.segmenters.object_ground import ObjectGround
from flawscope.segmenters.one_segment import OneSegment
from flawscope.segmenters.options import SegmentOptions
from flawscope.segmenters.segmenter import Segmenter
from flawscope.segmenters.static_map import StaticMap


def build_segmenter(options: SegmentOptions, frame: Frame) -> Segmenter:
    """An unfitted segmenter for pictures at `frame`; nothing is read or loaded yet.

    Raises:
        OptionError: unknown backbone or layers.
    """
    match options.kind:
        case "one":
            return OneSegment(frame)
        case "static":
            assert options.map is not None  # noqa: S101 - the options' own validator asks for it
            return StaticMap(frame, options.map, options.count)
        case "object":
            return ObjectGround(frame)
        case "clusters":
            return FeatureClusters(frame, options)
