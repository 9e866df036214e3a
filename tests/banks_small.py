"""Options of joined banks that are fitted in a moment."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    "size": (64, 64),
    "weights": "random",
    "backbone": "test_resnet",
    "fine_bank": 80,
    "middle_bank": 20,
    "coarse_bank": 20,
    "evenness_steps": 20,
}
