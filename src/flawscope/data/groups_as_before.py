"""Further pictures in groups, for a model that is trained: as its calibration says, or as somebody wishes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from flawscope.data.groups import GroupChoice, Grouping, group, group_dataset
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import DataError, OptionError
from flawscope.runtime.group_pattern import LAYOUT


def as_before(grouped: str, wished: GroupChoice | None) -> GroupChoice | None:
    """How to group further pictures for a model whose calibration says so (`Calibration.grouped_by`).

    Raises:
        OptionError: nothing is wished, and its groups come from a layout, which single pictures do not have.
    """
    if wished is not None or not grouped:
        return wished
    if grouped == LAYOUT:
        raise OptionError(
            "groups",
            expected="which of the pictures show one part (--groups), as the model's scores count parts",
            got="nothing",
            fix="Name a pattern or TABLE.csv:COLUMN; or none, where each picture shows another part.",
        )
    return GroupChoice.parse(grouped)


def group_further(samples: Sequence[Sample], grouped: str, wished: GroupChoice | None) -> Grouping:
    """Further pictures in groups, as wished or else as a model's calibration says (`as_before`).

    Raises:
        OptionError, DataError: as `as_before` and `group`; or the model's rule tells none of them.
    """
    choice = as_before(grouped, wished)
    try:
        return group(samples, choice)
    except (DataError, OptionError) as error:
        if wished is not None:
            raise
        raise OptionError(
            "groups",
            expected=f"names that tell parts as {grouped} does, for the model counts parts",
            got=_reason(choice) or f"{len(samples)} without, such as {samples[0].path.name}",
            fix="Name a pattern or TABLE.csv:COLUMN with --groups; or none, where each shows another part.",
        ) from error


def _reason(choice: GroupChoice | None) -> str:
    """Why a rule tells nothing, whatever the pictures: its table is not there; else empty."""
    table = None if choice is None else choice.table
    return "" if table is None or table.is_file() else f"no table at {table.absolute()}"


def group_as_before(dataset: Dataset, grouped: str, wished: GroupChoice | None) -> tuple[Dataset, list[str]]:
    """`group_dataset` as a model's calibration says; a rule of its own that does not fit is let go."""
    if wished is not None or grouped in ("", LAYOUT):
        return group_dataset(dataset, wished)
    try:
        return group_dataset(dataset, GroupChoice.parse(grouped))
    except (DataError, OptionError):
        return group_dataset(dataset, None)


def tables_of(wished: GroupChoice | None, grouped: str) -> list[Path]:
    """The table that tells parts, as wished or else as a model's calibration says; empty where none does."""
    choice = wished
    if choice is None and grouped not in ("", LAYOUT):
        with contextlib.suppress(DataError, OptionError):
            choice = GroupChoice.parse(grouped)
    return [] if choice is None or choice.table is None else [choice.table]


def group_if_fitting(samples: Sequence[Sample], grouped: str) -> tuple[Sample, ...]:
    """Samples in groups as a model's calibration says, where its rule tells any of them; else as they are."""
    if grouped in ("", LAYOUT):
        return tuple(samples)
    try:
        return group(samples, GroupChoice.parse(grouped)).samples
    except (DataError, OptionError):
        return tuple(samples)
