"""Benchmark recipes: a published table as YAML, each row a training recipe with the paper's figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from flawscope.errors import InputError, OptionError, suggest
from flawscope.files import inside
from flawscope.workflow.recipe import Recipe, apply_settings, read_recipe, recipe_error, set_key

FOLDER = Path(__file__).with_name("recipes")
MEASURES = {"image_auroc": "image AUROC", "aupro_30": "AU-PRO 0.3", "pixel_auroc": "pixel AUROC"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Published(_Part):
    """What the paper prints for one row, in percent; AU-PRO up to a false positive rate of 0.3."""

    image_auroc: float | None = Field(default=None, ge=0, le=100)
    pixel_auroc: float | None = Field(default=None, ge=0, le=100)
    aupro_30: float | None = Field(default=None, ge=0, le=100)


class RowData(_Part):
    """Where a row's pictures differ from the base's; `folder` lies inside the benchmark's data folder."""

    folder: str | None = None
    layout: str | None = None
    product: str | None = None


class Row(_Part):
    """One row: what it changes in the base, and what the paper prints for it."""

    label: str = Field(min_length=1, max_length=80)
    options: dict[str, Any] = Field(
        default_factory=dict, description="options of the method, over the base's"
    )
    data: RowData = RowData()
    training_pictures: int | None = Field(default=None, ge=1, description="learn from only so many")
    natural: bool = Field(default=False, description="needs a folder of natural pictures")
    paper: Published = Published()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The label as part of a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-") or "row"


class Chart(_Part):
    """A chart beside the table.

    `losses` draws one loss of each row's training over the steps; `shares` draws its percentage of the total
    loss, times its coefficient, which is the number under `key` (such as options.penalty_weight) in the
    row's recipe; `sweep` draws the measures over the number under `key`.
    """

    kind: Literal["losses", "shares", "sweep"]
    title: str
    loss: str = "total"
    key: str = ""
    label: str = ""


class Benchmark(_Part):
    """A published table or figure."""

    title: str
    source: str = Field(description="the table or figure")
    paper: str = Field(description="the paper that has it")
    pictures: str = Field(description="which data set, in which layout")
    base: dict[str, Any] = Field(description="a training recipe without its folder, which the rows change")
    rows: tuple[Row, ...] = Field(min_length=1)
    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = ()

    @field_validator("rows")
    @classmethod
    def _distinct(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        names = [row.name for row in rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"labels that differ in letters or digits; {', '.join(twice)} comes twice")
        return rows

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate plain values.

        Raises:
            OptionError: the first wrong key or value, by its dotted name.
        """
        try:
            found = cls.model_validate(values)
        except ValidationError as error:
            raise recipe_error(cls, error) from error
        for row in found.rows:
            found.resolve(row, Path())
        return found

    def resolve(
        self, row: Row, data: Path, *, settings: Sequence[str] = (), over: dict[str, Any] | None = None
    ) -> Recipe:
        """The training recipe of one row: the base, then `settings`, then the row, then `over` (dotted keys).

        Raises:
            OptionError: an unknown key or a wrong value.
            InputError: the row's folder leads outside of `data`.
        """
        values = apply_settings(self.base, settings)
        folder = inside(data, row.data.folder) if row.data.folder else data
        set_key(values, "data.folder", str(folder))
        changes: dict[str, Any] = {
            "data.layout": row.data.layout,
            "data.product": row.data.product,
            "split.training": row.training_pictures,
        }
        changes = {key: value for key, value in changes.items() if value is not None}
        changes |= {f"options.{name}": value for name, value in row.options.items()}
        for key, value in (changes | (over or {})).items():
            set_key(values, key, value)
        return Recipe.parse(values)

    def choose(self, labels: Iterable[str]) -> tuple[Row, ...]:
        """The rows with these labels, in the table's order; all of them where none is named.

        Raises:
            OptionError: an unknown label.
        """
        wanted = {label.casefold() for label in labels}
        known = {row.label.casefold(): row.label for row in self.rows}
        for label in sorted(wanted - set(known)):
            raise OptionError(
                f"row {label!r}",
                expected="a row of the benchmark",
                got="an unknown label",
                fix=suggest(label, known.values()),
            )
        return tuple(row for row in self.rows if not wanted or row.label.casefold() in wanted)


def shipped() -> tuple[str, ...]:
    """Names of the recipes that come with the package, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_benchmark(name: str) -> Benchmark:
    """A shipped benchmark by its name, or one's own by its path (ending in .yaml or .yml).

    Raises:
        OptionError: neither; an unknown key; a wrong value.
        InputError: the file is missing or no YAML mapping.
    """
    if name in shipped():
        return Benchmark.parse(read_recipe(FOLDER / f"{name}.yaml"))
    path = Path(name)
    if path.suffix.lower() in {".yaml", ".yml"}:
        return Benchmark.parse(read_recipe(path))
    if path.is_file():
        raise InputError(
            f"benchmark {name}",
            expected="a YAML file",
            got=f"a file ending in {path.suffix!r}",
            fix="Let its name end in .yaml.",
        )
    raise OptionError(
        f"benchmark {name!r}",
        expected="a shipped benchmark or the path of a YAML file",
        got="an unknown name",
        fix=suggest(name, shipped()),
    )
