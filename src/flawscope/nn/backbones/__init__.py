"""Pretrained networks: built by name, their weights found, cut at layers."""
