"""Inspect pictures with a model folder: from file to verdict, heatmap and findings. No torch."""
