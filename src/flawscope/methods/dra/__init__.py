"""DRA: disentangled representations of abnormality, a head each for seen, pseudo and residual anomalies.

Ding, Pang, Shen: Catching Both Gray and Black Swans: Open-set Supervised Anomaly Detection. CVPR 2022.
"""

from flawscope.methods.dra.detector import DRA, DRAOptions

__all__ = ["DRA", "DRAOptions"]
