"""EfficientAD with collaborative discrepancy optimisation.

Batzner, Heckler, König: EfficientAD, Accurate Visual Anomaly Detection at Millisecond-Level Latencies. WACV
2024.
Khanjani: Anomaly Detection. Master's thesis, Politecnico di Torino, April 2025 (the source of the defaults).
Cao, Xu, Liu, Shen: Collaborative Discrepancy Optimization for Reliable Image Anomaly Localization. IEEE
Transactions on Industrial Informatics 19(11), 2023 (CDO).
"""

from flawscope.methods.efficientad.detector import EfficientAD

__all__ = ["EfficientAD"]
