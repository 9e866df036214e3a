"""Multi-scale patch representation learning, and Patch SVDD as options of the same code.

Tsai, Wu, Lai: Multi-Scale Patch-Based Representation Learning for Image Anomaly Detection and Segmentation.
WACV 2022 (the source of the defaults; sections, equations and tables are its own).
Yi, Yoon: Patch SVDD, Patch-level SVDD for Anomaly Detection and Segmentation. ACCV 2020.
"""

from flawscope.methods.multiscale_patch.detector import MultiScalePatch

__all__ = ["MultiScalePatch"]
