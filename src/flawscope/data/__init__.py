"""Pictures on disk: samples, layouts, splits, checks and rendered products."""
