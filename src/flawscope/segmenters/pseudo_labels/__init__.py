"""Pseudo-labels: label maps of good pictures, made from masks that a proposer finds (CSAD, section 3.1)."""

from flawscope.segmenters.pseudo_labels.make import PseudoLabels, make_labels
from flawscope.segmenters.pseudo_labels.options import FeatureOptions, PseudoLabelOptions

__all__ = ["FeatureOptions", "PseudoLabelOptions", "PseudoLabels", "make_labels"]
