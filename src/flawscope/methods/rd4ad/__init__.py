"""RD4AD: reverse distillation, from a teacher through a narrow embedding into a decoder.

Deng, Li: Anomaly Detection via Reverse Distillation from One-Class Embedding. CVPR 2022.
"""

from flawscope.methods.rd4ad.detector import RD4AD

__all__ = ["RD4AD"]
