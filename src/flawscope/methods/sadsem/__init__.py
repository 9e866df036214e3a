"""SADSeM: a segmenter says which component each pixel shows; surface and outline are judged by component.

Samele, Attorre, Matteucci: Scaling anomaly detection with segmentation models. Digital Signal Processing,
2025.
"""
