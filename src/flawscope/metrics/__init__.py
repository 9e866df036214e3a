"""Exact metrics of detection and localisation: pure functions and streaming accumulators."""

from flawscope.metrics.bootstrap import Interval, auroc_difference, bootstrap_interval
from flawscope.metrics.mcnemar import mcnemar
from flawscope.metrics.ranking import (
    PrecisionRecallCurve,
    RocCurve,
    auroc,
    average_precision,
    fpr_at_tpr,
    max_f1,
    precision_recall_curve,
    roc_curve,
)
from flawscope.metrics.regions import (
    PixelMetrics,
    ProCurve,
    RegionOverlap,
    Saturation,
    au_spro,
    aupro,
    pixel_auroc,
    pixel_average_precision,
    pro_curve,
)

__all__ = [
    "Interval",
    "PixelMetrics",
    "PrecisionRecallCurve",
    "ProCurve",
    "RegionOverlap",
    "RocCurve",
    "Saturation",
    "au_spro",
    "aupro",
    "auroc",
    "auroc_difference",
    "average_precision",
    "bootstrap_interval",
    "fpr_at_tpr",
    "max_f1",
    "mcnemar",
    "pixel_auroc",
    "pixel_average_precision",
    "precision_recall_curve",
    "pro_curve",
    "roc_curve",
]
