"""Plan a benchmark: resolve each row for each seed and find its pictures, before any work starts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flawscope.benchmark.kept import MODEL, RESULT, RunResult
from flawscope.benchmark.recipe import Benchmark, Row
from flawscope.data.layouts import read_dataset
from flawscope.data.samples import Dataset
from flawscope.errors import DataError, FlawscopeError, OptionError
from flawscope.methods.presets import options_of
from flawscope.methods.registry import method_class, parse_options
from flawscope.nn.run import Run
from flawscope.workflow.recipe import Recipe
from flawscope.workflow.train import LOSSES

ROWS = "rows"
Losses = list[dict[str, float]]


@dataclass(frozen=True, slots=True)
class Planned:
    """One training to come, or finished earlier: its recipe, its pictures, its folder."""

    row: Row
    recipe: Recipe
    dataset: Dataset
    options: dict[str, Any]
    folder: Path

    @property
    def name(self) -> str:
        """Row and seed, for people."""
        return f"{self.row.label}, seed {self.recipe.seed}"

    @property
    def result(self) -> RunResult | None:
        """The figures, once they are measured."""
        return RunResult.read(self.folder / RESULT)

    @property
    def losses(self) -> Losses:
        """The losses noted in training; empty before, and for a method that has none."""
        try:
            return list(json.loads((self.folder / MODEL / LOSSES).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return []


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller changes in a benchmark.

    Attributes:
        settings: `key=value` over the base recipe; a row's own changes stay.
        steps: training steps of every row, in place of the recipe's.
        seeds: each row is run with each.
        only: labels of the rows to run; all where empty.
        natural: folder of natural pictures, for the rows that need one.
    """

    settings: tuple[str, ...] = ()
    steps: int | None = None
    seeds: tuple[int, ...] = (0,)
    only: tuple[str, ...] = ()
    natural: Path | None = None


@dataclass(slots=True)
class Outcome:
    """A benchmark on one folder of pictures.

    Attributes:
        planned: the runs, by row and seed.
        left_out: why rows cannot run here, by label.
        failed: errors of runs that were tried, by row and seed.
    """

    benchmark: Benchmark
    wishes: Wishes
    planned: list[Planned] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, FlawscopeError] = field(default_factory=dict)

    def of(self, row: Row) -> list[Planned]:
        """The runs of one row, by seed."""
        return [planned for planned in self.planned if planned.row.label == row.label]


def plan(benchmark: Benchmark, data: Path, out: Path, wishes: Wishes, run: Run) -> Outcome:
    """Resolve every row and read its data set, before any work starts.

    A row whose pictures are not in `data` is left out, with the reason.

    Raises:
        OptionError: an unknown row, key, method or option, or a wrong value.
        DataError: no row's pictures are there.
    """
    benchmark.choose(wishes.only)
    outcome = Outcome(benchmark, wishes)
    over: dict[str, Any] = {"device": run.device, "precision": run.precision}
    if wishes.steps is not None:
        over["options.steps"] = wishes.steps
    problem: DataError | None = None
    for row in benchmark.rows:
        natural = {"data.natural": str(wishes.natural)} if row.natural and wishes.natural else {}
        recipes = [
            benchmark.resolve(row, data, settings=wishes.settings, over={**over, **natural, "seed": seed})
            for seed in wishes.seeds
        ]
        options = resolved_options(recipes[0])
        try:
            if row.natural and wishes.natural is None:
                raise _needs_natural(row)
            part = recipes[0].data
            dataset = read_dataset(part.folder, layout=part.layout, product=part.product)
            _check_enough(row, dataset)
        except DataError as error:
            problem = problem or error
            outcome.left_out[row.label] = str(error)
            continue
        for recipe in recipes:
            folder = out / ROWS / f"{row.name}-seed{recipe.seed}-{_digest(recipe, row, options, dataset)}"
            outcome.planned.append(Planned(row, recipe, dataset, options, folder))
    if problem is not None and not outcome.planned:
        raise problem
    return outcome


def resolved_options(recipe: Recipe) -> dict[str, Any]:
    """Every option of the recipe's method.

    Raises:
        OptionError: an unknown method, preset or option, or a wrong value.
    """
    given = options_of(recipe.method, recipe.preset, recipe.options)
    parsed = parse_options(recipe.method, method_class(recipe.method).Options, given)
    return parsed.model_dump(mode="json")


def _digest(recipe: Recipe, row: Row, options: dict[str, Any], dataset: Dataset) -> str:
    """Of everything that decides the figures: recipe with every option, and all picture files."""
    values = recipe.model_dump(mode="json")
    values["options"], values["preset"] = options, None
    values["data"]["folder"] = row.data.folder  # relative, so that results survive a move of the data
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for sample in dataset:
        status = sample.path.stat()
        digest.update(os.fsencode(os.path.relpath(sample.path, dataset.root)))
        digest.update(f":{status.st_size}:{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def _needs_natural(row: Row) -> DataError:
    return DataError(
        f"row {row.label}",
        expected="a folder of natural pictures",
        got="none",
        fix="Name it with --natural FOLDER.",
    )


def _check_enough(row: Row, dataset: Dataset) -> None:
    good = len(dataset.select(split="train", defective=False))
    if row.training_pictures is not None and row.training_pictures > good:
        raise DataError(
            f"row {row.label}",
            expected=f"{row.training_pictures} good training pictures",
            got=str(good),
            fix="Take a larger data set, or a benchmark with fewer pictures.",
        )


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from text such as "0,1,2".

    Raises:
        OptionError: no whole numbers from 0, or one comes twice.

    >>> parse_seeds("0, 1,2")
    (0, 1, 2)
    """
    parts: Sequence[str] = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts) or len(set(map(int, parts))) < len(parts):
        raise OptionError(
            "--seeds",
            expected="different whole numbers such as 0,1,2",
            got=repr(text),
            fix="Use --seeds 0,1,2.",
        )
    return tuple(int(part) for part in parts)
