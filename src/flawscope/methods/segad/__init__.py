"""SegAD: known defects, learnt on top of any detectors (see `flawscope.methods.segad.detector`)."""

from flawscope.methods.segad.detector import SegAD
from flawscope.methods.segad.options import SegADOptions

__all__ = ["SegAD", "SegADOptions"]
