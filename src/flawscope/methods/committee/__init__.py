"""Several detectors, one decision: a committee whose members' scores are levelled and joined.

This package's own. Each member's raw score becomes −log of the share of good pictures that score as high
(`levels`), in which members of any kind can be compared; Fisher's sum of them, or the largest (Tippett's
smallest p-value), is the committee's score, which calibrates as any other.
"""

from flawscope.methods.committee.detector import Committee

__all__ = ["Committee"]
