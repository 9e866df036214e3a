"""Benchmark recipes: a published table as YAML, each row a training recipe with the paper's figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator

from flawscope.benchmark.measures import Measure, SpreadKind
from flawscope.benchmark.rows import Chart, Row
from flawscope.errors import InputError, unknown
from flawscope.files import inside
from flawscope.methods.registry import MethodSpec
from flawscope.runtime.engines import DEFAULT
from flawscope.training.recipe import Document, Recipe, recipe_error
from flawscope.training.settings import apply_settings, read_recipe, set_key

FOLDER = Path(__file__).with_name("recipes")


class Benchmark(Document):
    """A published table or figure."""

    title: str
    source: str = Field(description="the table or figure")
    paper: str = Field(description="the paper that has it")
    pictures: str = Field(description="which data set, in which layout")
    base: dict[str, Any] = Field(description="a training recipe without its folder, which the rows change")
    methods: dict[str, MethodSpec] = Field(default_factory=dict, description="methods that rows name")
    rows: tuple[Row, ...] = Field(min_length=1)
    measures: tuple[Measure, ...] = Field(
        default=("image_auroc", "aupro_30", "pixel_auroc"), min_length=1, description="what the table shows"
    )
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, description="where the caller names none")
    seeds_vary: Literal["everything", "defects"] = Field(
        default="everything",
        description="what differs between the runs of a row: all that is drawn, or only which defective "
        "pictures are learnt from",
    )
    spread: SpreadKind = Field(default="range", description="printed beside the mean of several seeds")
    keep_models: bool = Field(default=True, description="keep the model of every run, not its figures alone")
    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = ()

    @field_validator("rows")
    @classmethod
    def _spread_out(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        """Rows by product in place of those that stand for them; labels must name files of their own."""
        rows = tuple(plain for row in rows for plain in row.spread_out())
        names = [row.name for row in rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"labels that differ in letters or digits; {', '.join(twice)} comes twice")
        return rows

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("different whole numbers from 0")
        return seeds

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """As any recipe; labels must be known, and every row must resolve."""
        found = super().parse(values)
        found._check_labels()
        for row in found.runs:
            found.resolve(row, Path())
        return found

    @property
    def runs(self) -> tuple[Row, ...]:
        """The rows that train and evaluate: all but means."""
        return tuple(row for row in self.rows if not row.mean_of)

    def about(self) -> dict[str, str]:
        """Title, source, paper and pictures."""
        return self.model_dump(include={"title", "source", "paper", "pictures"})

    def resolve(
        self, row: Row, data: Path, *, settings: Sequence[str] = (), over: dict[str, Any] | None = None
    ) -> Recipe:
        """The training recipe of one row: the base, then `settings`, then the row, then `over` (dotted keys).

        Settings that begin with `methods.` change the methods that rows name. The default engine runs the
        models unless the base names another, so that no figure hangs on times; and pictures are seen whole,
        as in the papers, or in tiles without an overview, unless base or row says otherwise.

        Raises:
            OptionError: an unknown key or a wrong value.
            InputError: the row's folder leads outside of `data`.
        """
        plain = {name: method.model_dump() for name, method in self.methods.items()}
        unsaid = {"engine": {"name": DEFAULT}, "tiling": {"size": "none"}}
        values = apply_settings({**unsaid, **self.base, "methods": plain}, settings)
        methods = _methods(values.pop("methods"), plain)
        if row.method is not None:
            named = methods.get(row.method, MethodSpec(method=row.method))
            values |= {"method": named.method, "preset": named.preset, "options": dict(named.options)}
        if "preset" in row.model_fields_set:
            values["preset"] = row.preset
        folder = inside(data, row.data.folder) if row.data.folder else data
        changes: dict[str, Any] = {
            "data.layout": row.data.layout,
            "data.product": row.data.product,
            "split.training": row.training_pictures,
            "tiling": row.tiling,
        }
        changes = {key: value for key, value in changes.items() if value is not None}
        changes |= {"data.folder": str(folder)}
        changes |= {f"split.{name}": value for name, value in row.split.items()}
        changes |= {f"options.{name}": value for name, value in row.options.items()}
        for key, value in (changes | (over or {})).items():
            set_key(values, key, value)
        _fill_in(values.get("options") or {}, methods)
        recipe = Recipe.parse(values)
        if recipe.tiling.overview is None:
            recipe = recipe.model_copy(
                update={"tiling": recipe.tiling.model_copy(update={"overview": False})}
            )
        return recipe

    def choose(self, labels: Iterable[str]) -> tuple[Row, ...]:
        """The rows with these labels, in the table's order; all of them where none is named.

        The label of a mean stands for the rows that it is of, too.

        Raises:
            OptionError: an unknown label.
        """
        wanted = {label.casefold() for label in labels}
        known = {row.label.casefold(): row for row in self.rows}
        for label in sorted(wanted - set(known)):
            raise unknown("row", label, [row.label for row in known.values()])
        wanted |= {other.casefold() for label in wanted for other in known[label].mean_of}
        return tuple(row for row in self.rows if not wanted or row.label.casefold() in wanted)

    def _check_labels(self) -> None:
        """Means and histograms are of rows that run."""
        running = {row.label for row in self.runs}
        named = [label for row in self.rows for label in row.mean_of]
        for label in (*named, *(label for chart in self.charts for label in chart.rows)):
            if label not in running:
                raise unknown("row that runs, in mean_of or charts", label, running)


def _methods(values: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, MethodSpec]:
    """The named methods after the caller's settings."""
    for name in values:
        if name not in known:
            raise unknown("recipe key below methods", name, known)
    try:
        return {name: MethodSpec.model_validate(value) for name, value in values.items()}
    except ValidationError as error:
        raise recipe_error(MethodSpec, error) from error


def _fill_in(options: dict[str, Any], methods: Mapping[str, MethodSpec]) -> None:
    """Put methods in the places of their names, in the options of a method that builds on others."""

    def filled(value: Any) -> Any:
        return methods.get(value, MethodSpec(method=value)).model_dump() if isinstance(value, str) else value

    if isinstance(options.get("detectors"), list | tuple):
        options["detectors"] = [filled(value) for value in options["detectors"]]
    if "classifier" in options:
        options["classifier"] = filled(options["classifier"])


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
    raise unknown("benchmark, shipped or a path ending in .yaml", name, shipped())
