"""Options of a CSAD that learns in a moment: object and ground in place of components, no structure."""

from __future__ import annotations

SIDE = 64
SMALL = {
    "size": (SIDE, SIDE),
    "backbone": "test_resnet",
    "weights": "random",
    "segments": {"kind": "object"},
    "histogram": {"cells": [256, 128], "gaussian": {"shrinkage": True}},
    "counts": {"stride": 2},
    "structure": None,
}
