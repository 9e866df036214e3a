"""SegAD's final classifier: the forest of its paper, or the logistic regression in its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flawscope.methods.segad.appearance import Direction, apart_margins, fit_direction
from flawscope.methods.segad.forest import Forest, grow, margins
from flawscope.methods.segad.logistic import Coefficients, Logistic, fit_logistic, join_alike
from flawscope.methods.segad.options import SegADOptions
from flawscope.methods.segad.table import Table, folds_by_kind

FOREST = "forest.ubj"


def unfitted(options: SegADOptions) -> Forest | Logistic:
    """The module that the options ask for."""
    return Forest() if options.logistic is None else Logistic()


def fit(final: Forest | Logistic, table: Table, options: SegADOptions, seed: int) -> dict[str, bytes]:
    """Learn the table's rows; returns files for the model folder: of a forest XGBoost's own, as `FOREST`."""
    if isinstance(final, Logistic):
        final.take(_coefficients(table, options))
        return {}
    booster = grow(table.features, table.defective, options.forest, seed)
    final.pack(booster, table.features)
    return {FOREST: bytes(booster.save_raw("ubj"))}


def undivided(final: Forest | Logistic, table: Table) -> str:
    """What to tell of a forest no tree of which divides the rows that it has learnt; empty of any other."""
    if isinstance(final, Logistic) or not bool(final.threshold.isinf().all()):
        return ""
    defective = table.of_pictures(table.defective)
    good, flawed = len(defective) - int(defective.sum()), int(defective.sum())
    return (
        f"No tree of SegAD's forest divides its {good} good and {flawed} defective pictures, "
        "so that all pictures score alike. Add pictures, or set options.logistic={}, a logistic regression "
        "in the forest's place."
    )


def with_appearance(table: Table, options: SegADOptions, seed: int) -> tuple[Table, Direction]:
    """The table with each row's likeness, by a classifier of other rows, and a classifier of all rows."""
    settings = options.appearance
    assert settings is not None  # noqa: S101 - asked for by those who read looks
    looks, defective = table.seen(), table.defective
    flawed = len(set(table.units[defective].tolist()))
    folds = folds_by_kind(table.kinds, max(2, min(settings.folds, flawed)), seed, table.units)
    apart = apart_margins(looks, defective, folds, settings)
    floor = float(apart[~defective].mean())
    found = replace(fit_direction(looks, defective, settings), floor=floor)
    return table.with_column(np.maximum(apart, np.float32(floor))), found


def margins_of(fresh: Table, learnt: Table, options: SegADOptions, seed: int) -> NDArray[np.float32]:
    """Margins (N,) of `fresh` rows, by a classifier that has learnt the rows of `learnt`."""
    if options.appearance is not None:
        learnt, seen = with_appearance(learnt, options, seed)
        fresh = fresh.with_column(seen.margins(fresh.seen()))
    if options.logistic is not None:
        return _coefficients(learnt, options).margins(fresh.features)
    return margins(grow(learnt.features, learnt.defective, options.forest, seed), fresh.features)


def _coefficients(table: Table, options: SegADOptions) -> Coefficients:
    """Those of the options' logistic regression on the table's rows."""
    settings = options.logistic
    assert settings is not None  # noqa: S101 - asked for by those who have one
    if settings.weights == "learnt":
        return fit_logistic(table.features, table.defective, settings)
    beside = (options.classifier is not None) + (options.appearance is not None)
    scores, weight = len(options.detectors), np.zeros(table.features.shape[1], np.float32)
    weight[len(weight) - beside - scores :] = 1.0
    weight[len(weight) - beside - scores : len(weight) - beside] /= scores
    return join_alike(table.features, table.defective, weight)
