"""What verdicts are made with, without a model: for stores of records that a test makes itself."""

from __future__ import annotations

from typing import Any

from flawscope.runtime.in_force import InForce


def in_force(model: str = "m", **changes: Any) -> InForce:
    """Of a model whose digests are its name, in an engine that there is not."""
    values = {"folder": f"/models/{model}", "manifest": f"{model:0>64}", "model": model, "calibration": "c"}
    return InForce(**{**values, "engine": "abacus 1.0 fp32", **changes})
