"""Options of DRA; defaults are its paper's, or its code's where the paper is silent."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flawscope.methods.supervised.devnet import DeviationOptions


class DRAOptions(DeviationOptions):
    """Options of DRA."""

    epochs: int = Field(30, ge=1, description="epochs of `epoch_steps` steps (30)")
    scales: int = Field(
        2, ge=1, le=3, description="sizes at which each picture is scored: full, half, quarter (code: 2)"
    )
    reference_pictures: int = Field(
        5, ge=1, description="good pictures whose mean features the residuals are taken from (5)"
    )
    pseudo: Literal["cutmix", "natural"] = Field(
        "cutmix",
        description="pseudo anomalies: good pictures with a piece moved elsewhere, or natural pictures",
    )
