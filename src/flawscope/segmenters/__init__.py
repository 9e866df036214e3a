"""Segments: which part of the product each pixel shows.

`build_segmenter` makes one of four from its options: `one` segment; a `static` map, drawn or drafted;
`object` and ground, learnt without labels or downloads; `clusters` of a backbone's features, per picture.
"""

from flawscope.segmenters.options import SegmentOptions
from flawscope.segmenters.registry import build_segmenter
from flawscope.segmenters.segmenter import Segmenter

__all__ = ["SegmentOptions", "Segmenter", "build_segmenter"]
