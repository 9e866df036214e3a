"""Groups in training: splits, folds, what must stay together, and what the model keeps of them."""

from __future__ import annotations
