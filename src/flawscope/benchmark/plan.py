"""Plan a benchmark: resolve each row for each seed and find its pictures, before any work starts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flawscope.benchmark.datasets import DatasetReader, RowPictures
from flawscope.benchmark.recipe import Benchmark
from flawscope.benchmark.results import MODEL, RESULT, SCORES, RunResult, Scores
from flawscope.benchmark.rows import Row
from flawscope.data.samples import Dataset
from flawscope.errors import DataError, FlawscopeError, OptionError
from flawscope.files import digest
from flawscope.methods.registry import method_class, options_of, parse_options
from flawscope.nn.run import Run
from flawscope.training.pack import LOSSES
from flawscope.training.recipe import Recipe

ROWS, TRAINED = "rows", "trained"
Losses = list[dict[str, float]]
Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """One training to come, or finished earlier.

    Attributes:
        dataset: what is tested on: the row's pictures without those that some row of this seed learns from;
            kinds that the recipe withholds are not `seen`.
        options: of the method, all of them.
        folder: of the run's model and figures.
        seed: what differs from the row's other runs.
    """

    row: Row
    recipe: Recipe
    dataset: Dataset
    options: Mapping[str, Any]
    folder: Path
    seed: int

    @property
    def name(self) -> str:
        """Row and seed, for people."""
        return f"{self.row.label}, seed {self.seed}"

    @property
    def result(self) -> RunResult | None:
        """The figures, once they are measured on these very pictures."""
        found = RunResult.read(self.folder / RESULT)
        published = all(sample.split == "test" for sample in self.dataset.select(defective=False))
        known = (self.tested, None) if published else (self.tested,)  # earlier files do not tell
        return found if found is not None and found.tested in known else None

    @property
    def tested(self) -> str:
        """Which pictures are tested on, as a digest: another row may take some away later."""
        names = sorted(os.path.relpath(sample.path, self.dataset.root) for sample in self.dataset)
        return digest("\n".join(names).encode(errors="surrogatepass"))

    @property
    def scores(self) -> Scores | None:
        """The test pictures' scores, once they are measured."""
        return Scores.read(self.folder / SCORES)

    @property
    def losses(self) -> Losses:
        """The losses noted in training; empty before, and for a method that has none.

        They lie beside the model's folder where the benchmark does not keep that.
        """
        own, kept = self.folder / MODEL / LOSSES, self.folder / LOSSES
        try:
            place = own if own.is_file() else kept
            return list(json.loads(place.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return []


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller changes in a benchmark.

    Attributes:
        settings: `key=value` over the base recipe; a row's own changes stay.
        steps: training steps of every method that counts steps, in place of the recipe's.
        seeds: each row is run with each; none: those of the benchmark.
        only: labels of the rows to run; all where empty.
        natural: folder of natural pictures, for the rows that need one.
    """

    settings: tuple[str, ...] = ()
    steps: int | None = None
    seeds: tuple[int, ...] = ()
    only: tuple[str, ...] = ()
    natural: Path | None = None


@dataclass(slots=True)
class Outcome:
    """A benchmark on one folder of pictures.

    Attributes:
        trained: folder of the detectors that rows share; None where no row builds on others.
        planned: the runs, by row and seed.
        left_out: why rows cannot run here, by label.
        failed: errors of runs that were tried, by row and seed.
    """

    benchmark: Benchmark
    wishes: Wishes
    trained: Path | None = None
    planned: list[Planned] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, FlawscopeError] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that each row is run with."""
        return self.wishes.seeds or self.benchmark.seeds

    def of(self, row: Row) -> list[Planned]:
        """The runs of one row, by seed; none for a mean of rows."""
        return [planned for planned in self.planned if planned.row.label == row.label]


def plan(benchmark: Benchmark, data: Path, out: Path, wishes: Wishes, run: Run) -> Outcome:
    """Resolve every row and read its data set, before any work starts.

    A row whose pictures are not in `data`, or are too few, is left out, with the reason.

    Raises:
        OptionError: an unknown row, key, method or option, or a wrong value.
        DataError: no row's pictures are there.
    """
    benchmark.choose(wishes.only)
    outcome = Outcome(benchmark, wishes)
    rows = [(row, _recipes(outcome, row, data, run)) for row in benchmark.runs]
    firsts = [next(iter(recipes.values())) for _, recipes in rows]
    resolved = [resolved_options(recipe) for recipe in firsts]
    if wishes.steps is not None:
        _check_steps(firsts, resolved, wishes.steps)
    reader, runnable = DatasetReader(wishes.natural), list[RowPictures]()
    problem: FlawscopeError | None = None
    for (row, recipes), options in zip(rows, resolved, strict=True):
        try:
            runnable.append(reader.read(row, recipes, options))
        except (DataError, OptionError) as error:
            problem = problem or error
            outcome.left_out[row.label] = str(error)
    if problem is not None and not runnable:
        raise problem
    if any(list(built_on(entry.options)) for entry in runnable):
        outcome.trained = out / TRAINED
    for entry in runnable:
        for seed, recipe in entry.recipes.items():
            folder = out / ROWS / f"{entry.row.name}-seed{seed}-{entry.digest(recipe)}"
            tested = entry.tested(recipe, runnable)
            outcome.planned.append(Planned(entry.row, recipe, tested, entry.options, folder, seed))
    return outcome


def _recipes(outcome: Outcome, row: Row, data: Path, run: Run) -> dict[int, Recipe]:
    """The row's recipe for each seed."""
    benchmark, wishes = outcome.benchmark, outcome.wishes
    over: dict[str, Any] = {"device": run.device, "precision": run.precision}
    if row.natural and wishes.natural:
        over["data.natural"] = str(wishes.natural)
    key = "seed" if benchmark.seeds_vary == "everything" else "split.draw"
    recipes = {
        seed: benchmark.resolve(row, data, settings=wishes.settings, over={**over, key: seed})
        for seed in outcome.seeds
    }
    if wishes.steps is None:
        return recipes
    return {seed: shortened(recipe, wishes.steps) for seed, recipe in recipes.items()}


def _check_steps(recipes: Sequence[Recipe], resolved: Sequence[dict[str, Any]], steps: int) -> None:
    """Refuse `--steps` where no row's method counts steps, in the words of the first one."""
    if not any(counted(recipe.method, options) for recipe, options in zip(recipes, resolved, strict=True)):
        options = {**recipes[0].options, "steps": steps}
        resolved_options(recipes[0].model_copy(update={"options": options}))


def resolved_options(recipe: Recipe) -> dict[str, Any]:
    """Every option of the recipe's method.

    Raises:
        OptionError: an unknown method, preset or option, or a wrong value.
    """
    given = options_of(recipe.method, recipe.preset, recipe.tiling.sized(recipe.options))
    parsed = parse_options(recipe.method, method_class(recipe.method).Options, given)
    return parsed.model_dump(mode="json")


def counted(method: str, options: Options) -> dict[str, int | None]:
    """The option `steps` of the method and of those that it builds on, by name, where they have one."""
    steps = {method: options["steps"]} if "steps" in options else {}
    for base in built_on(options):
        steps |= counted(base["method"], base["options"])
    return steps


def built_on(options: Options) -> Iterator[dict[str, Any]]:
    """Method and options of the detectors and the classifier that a method builds on."""
    yield from options.get("detectors") or ()
    if options.get("classifier"):
        yield options["classifier"]


def shortened(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with so many steps in every method of it that counts steps.

    Raises:
        OptionError: as `resolved_options`.
    """
    whole = resolved_options(recipe)
    changes: dict[str, Any] = {"steps": steps} if "steps" in whole else {}
    for base in built_on(whole):
        if "steps" in base["options"]:
            base["options"]["steps"] = steps
    changes |= {name: whole[name] for name in ("detectors", "classifier") if name in whole}
    return recipe.model_copy(update={"options": {**recipe.options, **changes}})


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from text such as "0,1,2".

    Raises:
        OptionError: no whole numbers from 0, or one comes twice.

    >>> parse_seeds("0, 1,2")
    (0, 1, 2)
    """
    seeds = [seed.strip() for seed in text.split(",")]
    whole = all(seed.isascii() and seed.isdigit() for seed in seeds)
    if not whole or len(set(map(int, seeds))) < len(seeds):
        wanted = "different whole numbers such as 0,1,2"
        raise OptionError("--seeds", expected=wanted, got=repr(text), fix="Use --seeds 0,1,2.")
    return tuple(int(seed) for seed in seeds)
