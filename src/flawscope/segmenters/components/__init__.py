"""Components of a product, told apart by a network that learns from label maps of good pictures.

Hsieh, Lai: CSAD: Unsupervised Component Segmentation for Logical Anomaly Detection. BMVC 2024, section 3.2.
"""
