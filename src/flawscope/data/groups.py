"""Which pictures show one part, batch or camera position: by a pattern over names, a table, or the layout.

What belongs together stays together in every split, and counts once in the promise on false rejects
(`flawscope.runtime.groups`). A picture that nothing groups is a group of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from flawscope.data.samples import Dataset, Sample
from flawscope.data.tables import columns_in, composed, malformed, read_csv
from flawscope.errors import DataError, OptionError
from flawscope.files import encodable
from flawscope.runtime.frozen import Frozen
from flawscope.runtime.group_pattern import LAYOUT, NONE, TABLE, compiled, found_in
from flawscope.runtime.groups import Judge

PICTURE_COLUMNS = ("picture", "path")
_NAMED = 3  # names in an error


class GroupChoice(Frozen):
    """Which pictures belong together: a pattern, or a table and its column; none of them: each by itself.

    Attributes:
        pattern: a regular expression, searched for in the picture's file name, or in its path where the
            pattern holds a slash; its first capture group, or the whole match, names the group.
        table, column: a CSV file with a column `picture` or `path`, and the column that names the group.

    >>> GroupChoice.parse("parts.csv:part").column, str(GroupChoice.parse("part([0-9]+)_"))
    ('part', 'part([0-9]+)_')
    """

    pattern: str | None = Field(None, description="regular expression over file names, as part(\\d+)_")
    table: Path | None = Field(None, description="CSV file with a column picture, and one for the groups")
    column: str | None = Field(None, description="the table's column that names the groups")

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, values: Any) -> Any:
        return _meaning(values) if isinstance(values, str) else values

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.table is None) is not (self.column is None):
            given = "a table alone" if self.column is None else "a column alone"
            fix = "Write TABLE.csv:COLUMN, or both keys in the recipe."
            raise OptionError("groups", expected="a table and its column", got=given, fix=fix)
        if self.pattern is not None and self.table is not None:
            fix = "Leave one of them out."
            raise OptionError("groups", expected="a pattern or a table", got="both", fix=fix)
        if self.pattern is not None:
            compiled(self.pattern)
        return self

    @model_serializer(mode="wrap")
    def _what_is_said(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in values(self).items() if value is not None}

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `--groups` says: a pattern, `TABLE.csv:COLUMN`, or `none`.

        Raises:
            OptionError: no such thing, or a pattern that cannot be used (see `group_pattern`).
        """
        return cls.model_validate(text)

    def __str__(self) -> str:
        return self.pattern or (NONE if self.table is None else f"{self.table}:{self.column}")


@dataclass(frozen=True, slots=True)
class Grouping:
    """Samples with their groups, and what is to be told of them.

    Attributes:
        samples: in their order, `Sample.group` set anew.
        alone: how many of them nothing groups; 0 where nobody named groups.
        said: how many groups there are, in a sentence; empty where there are none.
    """

    samples: tuple[Sample, ...]
    alone: int = 0
    said: str = ""


def group(samples: Sequence[Sample], choice: GroupChoice | None, root: Path | None = None) -> Grouping:
    """Put samples into groups; those of the layout stay where nothing is chosen.

    Args:
        root: the folder below which a pattern with a slash looks at paths; None: all of the path.

    Raises:
        OptionError: a pattern that no name holds.
        DataError: a table that cannot be read, lacks a column, names none of the pictures, or one twice.
    """
    if choice is None:
        named = tuple(samples)
        return Grouping(named, said=_said(named, LAYOUT) if any(one.group for one in named) else "")
    if choice.table is not None:
        names = _by_table(samples, choice.table, choice.column or "")
    elif choice.pattern is not None:
        names = _by_pattern(samples, choice.pattern, root)
    else:
        return Grouping(tuple(replace(one, group=None) for one in samples))
    named = tuple(
        replace(one, group=name and encodable(name)) for one, name in zip(samples, names, strict=True)
    )
    return Grouping(named, names.count(None), _said(named, str(choice)))


def group_dataset(dataset: Dataset, choice: GroupChoice | None) -> tuple[Dataset, list[str]]:
    """The data set with its pictures in groups, and what the user should read.

    Raises:
        OptionError, DataError: as `group`; a rule that puts all pictures into one group.
    """
    found = group(dataset.samples, choice, dataset.root)
    names = {sample.group for sample in found.samples}
    if choice is not None and len(names) == 1 < len(found.samples) and None not in names:
        raise OptionError(
            "groups",
            expected="several groups, since what is promised counts them",
            got=f"all {len(found.samples)} pictures in one, {names.pop()}",
            fix="Let the pattern take in what tells parts apart, in parentheses, as part_([0-9]+).",
        )
    grouped = replace(dataset, samples=found.samples)
    across = spanning(grouped) if found.said else {}
    lines = [found.said] if found.said else []
    if across:
        lines.append(
            f"{len(across)} groups have pictures in training and in test ({_few(list(across))}): evaluate "
            "leaves out those whose part the model has seen."
        )
    return grouped, lines


def grouped_by(choice: GroupChoice | None, samples: Sequence[Sample]) -> str:
    """What a calibration says of where its groups come from; empty where samples have none."""
    if all(sample.group is None for sample in samples):
        return ""
    return LAYOUT if choice is None else str(choice)


def require_groups(samples: Sequence[Sample], judge: Judge) -> None:
    """Refuse a promise on parts of which nothing is known.

    Raises:
        OptionError: parts are judged, and the samples have no groups.
    """
    if judge == "part" and all(sample.group is None for sample in samples):
        raise OptionError(
            "judge",
            expected="groups of pictures, each of one part, for a promise on parts",
            got="none",
            fix="Name them with --groups PATTERN, or say --judge picture.",
        )


def spanning(dataset: Dataset) -> dict[str, list[Sample]]:
    """Pictures of each group that has some for testing and some for anything else."""
    found: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in dataset:
        if sample.group is not None:
            found[sample.group].append(sample)
    return {name: own for name, own in found.items() if len({one.split == "test" for one in own}) > 1}


def _meaning(text: str) -> dict[str, str]:
    """The fields that a text stands for."""
    table = TABLE.fullmatch(text)
    if text.strip().lower() == NONE:
        return {}
    if table is not None:
        return table.groupdict()
    if text.lower().endswith((".csv", ".tsv")):
        fix = f"Name its column: {text}:part, say."
        raise OptionError("groups", expected="a table and its column", got=repr(text), fix=fix)
    return {"pattern": text}


def _by_pattern(samples: Sequence[Sample], pattern: str, root: Path | None) -> list[str | None]:
    """The group that each name tells, or None."""
    expression = compiled(pattern)
    names = list[str | None]()
    for sample in samples:
        path = sample.path
        if root is not None and path.is_relative_to(root):
            path = path.relative_to(root)
        names.append(found_in(expression, str(path)))
    if samples and not any(names):
        raise OptionError(
            "groups",
            expected="a pattern that is found in names of pictures",
            got=f"{pattern!r}, found in none of {len(samples)}, such as {samples[0].path.name}",
            fix="Correct it; in quotes the shell leaves it alone.",
        )
    return names


def _by_table(samples: Sequence[Sample], table: Path, column: str) -> list[str | None]:
    """The group that the table tells of each picture, or None."""
    pictures = next((name for name in PICTURE_COLUMNS if name in columns_in(table)), PICTURE_COLUMNS[0])
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        by_name[composed(sample.path.name)].append(index)
    names: list[str | None] = [None] * len(samples)
    told: dict[int, str] = {}
    for line, row in read_csv(table, (pictures, column)):
        parts = PureWindowsPath(composed(row[pictures])).parts  # takes slashes of both kinds
        below = tuple(part for part in parts if part not in (".", "\\", "/"))
        found = [index for index in by_name[below[-1] if below else ""] if _ends(samples[index], below)]
        if len(found) > 1:
            raise malformed(table, line, "a picture told by its folder too", repr(row[pictures]))
        for index in found:
            if told.setdefault(index, row[column]) != row[column]:
                raise malformed(table, line, f"one group, {told[index]!r} as before", repr(row[column]))
            names[index] = row[column] or None
    if samples and not any(names):
        raise DataError(
            f"table {table}",
            expected=f"groups of some of {len(samples)} pictures, such as {samples[0].path.name}",
            got=f"none of them in its column {pictures}",
            fix="Write file names, or paths that end as the pictures' do.",
        )
    return names


def _ends(sample: Sample, below: tuple[str, ...]) -> bool:
    """Whether a path ends so; one of a table that is whole is compared whole."""
    return tuple(map(composed, sample.path.absolute().parts[-len(below) :])) == below


def _said(samples: Sequence[Sample], by: str) -> str:
    sizes = Counter(one.group for one in samples if one.group is not None)
    alone = len(samples) - sizes.total()
    least, most = min(sizes.values()), max(sizes.values())
    each = f"{most}" if least == most else f"{least} to {most}"
    rest = f"; {alone} pictures are in none and count each by itself" if alone else ""
    how = "the layout" if by == LAYOUT else by
    return f"Groups by {how}: {sizes.total()} pictures of {len(sizes)} parts, {each} of each{rest}."


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
