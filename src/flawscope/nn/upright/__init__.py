"""Pictures of parts that lie at any angle, turned to how one of them lies."""
