"""SegAD's final classifier: the forest of its paper, or the logistic regression in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.methods.segad.forest import Forest, grow, load, margins, require_agreement
from flawscope.methods.segad.logistic import Logistic, fit_logistic
from flawscope.methods.segad.options import SegADOptions
from flawscope.methods.segad.reading import Table

FOREST = "forest.ubj"


@dataclass(frozen=True, slots=True)
class Reference:
    """XGBoost's own forest, against which engines are held."""

    ubj: bytes

    def __call__(self, outputs: Mapping[str, NDArray[Any]], engine: str) -> None:
        """Refuse an engine's scores that are not XGBoost's on the engine's features."""
        require_agreement(load(self.ubj), outputs["features"], outputs["score"], f"graph in {engine}")


def unfitted(options: SegADOptions) -> Forest | Logistic:
    """The module that the options ask for."""
    return Forest() if options.logistic is None else Logistic()


def fit(
    final: Forest | Logistic, table: Table, options: SegADOptions, seed: int
) -> tuple[dict[str, bytes], Reference | None]:
    """Learn the table's rows; returns files for the model folder, and what holds engines to a forest."""
    if isinstance(final, Logistic):
        assert options.logistic is not None  # noqa: S101 - `unfitted` made it of the same options
        final.take(fit_logistic(table.features, table.defective, options.logistic))
        return {}, None
    booster = grow(table.features, table.defective, options.forest, seed)
    final.pack(booster, table.features)
    ubj = bytes(booster.save_raw("ubj"))
    return {FOREST: ubj}, Reference(ubj)


def margins_of(fresh: Table, learnt: Table, options: SegADOptions, seed: int) -> NDArray[np.float32]:
    """Margins (N,) of `fresh` rows, by a classifier that has learnt the rows of `learnt`."""
    if options.logistic is not None:
        found = fit_logistic(learnt.features, learnt.defective, options.logistic)
        return found.margins(fresh.features)
    return margins(grow(learnt.features, learnt.defective, options.forest, seed), fresh.features)
