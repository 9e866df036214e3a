"""SegAD's final classifier: the forest of its paper, or the logistic regression in its place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flawscope.methods.segad.forest import Forest, grow, margins
from flawscope.methods.segad.logistic import Logistic, fit_logistic
from flawscope.methods.segad.options import SegADOptions
from flawscope.methods.segad.reading import Table

FOREST = "forest.ubj"


def unfitted(options: SegADOptions) -> Forest | Logistic:
    """The module that the options ask for."""
    return Forest() if options.logistic is None else Logistic()


def fit(final: Forest | Logistic, table: Table, options: SegADOptions, seed: int) -> dict[str, bytes]:
    """Learn the table's rows; returns files for the model folder: of a forest XGBoost's own, as `FOREST`."""
    if isinstance(final, Logistic):
        assert options.logistic is not None  # noqa: S101 - `unfitted` made it of the same options
        final.take(fit_logistic(table.features, table.defective, options.logistic))
        return {}
    booster = grow(table.features, table.defective, options.forest, seed)
    final.pack(booster, table.features)
    return {FOREST: bytes(booster.save_raw("ubj"))}


def margins_of(fresh: Table, learnt: Table, options: SegADOptions, seed: int) -> NDArray[np.float32]:
    """Margins (N,) of `fresh` rows, by a classifier that has learnt the rows of `learnt`."""
    if options.logistic is not None:
        found = fit_logistic(learnt.features, learnt.defective, options.logistic)
        return found.margins(fresh.features)
    return margins(grow(learnt.features, learnt.defective, options.forest, seed), fresh.features)
