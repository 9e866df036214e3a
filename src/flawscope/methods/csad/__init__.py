"""CSAD: what components a picture shows, how much of each and how many where, against good pictures.

Hsieh, Lai: CSAD, Unsupervised Component Segmentation for Logical Anomaly Detection. BMVC 2024.
"""
