"""The pictures of a benchmark's rows: which are there, and on which all rows of one seed are tested."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flawscope.benchmark.rows import Row
from flawscope.data.annotations.attach import attach
from flawscope.data.annotations.reading import annotation_files
from flawscope.data.defects import read_defects, withhold, without
from flawscope.data.groups import group_dataset
from flawscope.data.layouts import read_dataset
from flawscope.data.samples import Dataset, Sample, paths_of
from flawscope.data.splits import split_dataset
from flawscope.data.survey import each_once
from flawscope.errors import DataError
from flawscope.files import sha256
from flawscope.methods.registry import create
from flawscope.training.recipe import DataChoice, Recipe
from flawscope.training.selection import defects_of, learnt_whatever


@dataclass(frozen=True, slots=True)
class RowPictures:
    """A row with its pictures.

    Attributes:
        recipes: the row's training recipe by seed.
        options: of the method, all of them.
        dataset: the row's pictures; kinds that the recipe withholds are not `seen`.
        state: digest of names, sizes and times of pictures, masks, annotations and known defects.
    """

    row: Row
    recipes: Mapping[int, Recipe]
    options: Mapping[str, Any]
    dataset: Dataset
    state: str

    @property
    def most(self) -> int | None:
        """How many defective pictures of the data set the row learns from; None: all for training."""
        return next(iter(self.recipes.values())).split.defective

    def digest(self, recipe: Recipe) -> str:
        """Of everything that decides the figures: recipe with every option, and all picture files."""
        values = recipe.model_dump(mode="json")
        values["options"], values["preset"] = _by_content(self.options), None
        values["data"]["folder"] = self.row.data.folder  # relative: results survive a move of the data
        if recipe.tiling.size == "none":
            del values["tiling"]  # as in recipes from before there were tiles
        text = json.dumps(values, sort_keys=True) + self.state
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def tested(self, recipe: Recipe, others: Iterable[RowPictures]) -> Dataset:
        """The row's pictures without those that some row on the same pictures learns from.

        Of the defective ones the largest draw is left out, in which smaller ones lie. Where the data set has
        no good test pictures, those stay that every row sets aside for testing.
        """
        dataset = self.dataset
        same = [other for other in others if other.state == self.state]
        draws = [other.most for other in same if other.most is not None]
        wish = recipe.split.model_copy(update={"defective": max(draws, default=recipe.split.defective)})
        dataset = without(dataset, defects_of(dataset, recipe.model_copy(update={"split": wish})))
        if dataset.select(split="test", defective=False):
            return dataset
        (seed,) = (seed for seed, own in self.recipes.items() if own is recipe)
        held_out = set.intersection(*(other.set_aside(other.recipes[seed]) for other in same))
        tested = [sample for sample in dataset if sample.defective or sample.path in held_out]
        return replace(dataset, samples=tuple(tested)) if held_out else dataset

    def set_aside(self, recipe: Recipe) -> set[Path]:
        """Good pictures that training by the recipe leaves for testing."""
        dataset, learnt = self.dataset, tuple[Sample, ...]()
        if any(sample.group is not None for sample in dataset):
            detector = create(recipe.method, dict(self.options))
            learnt = defects_of(dataset, recipe) if detector.needs().defective else ()
        drawn = without(dataset, learnt_whatever(dataset, learnt))
        wish = recipe.split
        split = split_dataset(drawn, seed=recipe.seed, calibration=wish.calibration, folds=wish.folds)
        return set(paths_of(split.test))


@dataclass(slots=True)
class DatasetReader:
    """Reads the data sets of rows, each once."""

    natural: Path | None
    known: dict[DataChoice, tuple[Dataset, str]] = field(default_factory=dict)

    def read(self, row: Row, recipes: Mapping[int, Recipe], options: Mapping[str, Any]) -> RowPictures:
        """The row with its pictures.

        Raises:
            DataError: they are not there, or too few.
            OptionError: fewer defective pictures, or other kinds, than the recipe names.
        """
        if row.natural and self.natural is None:
            raise DataError(
                f"row {row.label}",
                expected="a folder of natural pictures",
                got="none",
                fix="Name it with --natural FOLDER.",
            )
        recipe = next(iter(recipes.values()))
        data = recipe.data
        if data not in self.known:
            whole = read_dataset(data.folder, layout=data.layout, product=data.product)
            state = _state(whole, data)
            whole, _ = group_dataset(whole, data.groups)
            if data.annotations is not None:
                whole = attach(whole, data.annotations).require().dataset
            self.known[data] = (each_once(whole)[0], state)
        dataset, state = self.known[data]
        dataset = withhold(dataset, recipe.split.withheld)
        good, wanted = len(dataset.select(split="train", defective=False)), row.training_pictures or 0
        if wanted > good:
            raise DataError(
                f"row {row.label}",
                expected=f"{wanted} good training pictures",
                got=str(good),
                fix="Take a larger data set, or a benchmark with fewer pictures.",
            )
        defects_of(dataset, recipe)
        return RowPictures(row, recipes, options, dataset, state)


def _state(dataset: Dataset, data: DataChoice) -> str:
    """Of the pictures, their masks, and what lies in the folders of annotations and of known defects."""
    defects = read_defects(data.defects) if data.defects else ()
    masks = [getattr(mask, "path", None) for sample in (*dataset, *defects) for mask in sample.masks]
    beside = annotation_files(data.annotations) if data.annotations else ()
    digest = hashlib.sha256()
    for path in (*paths_of(dataset.samples), *filter(None, masks), *paths_of(defects), *beside):
        inside = path.is_relative_to(dataset.root)  # the rest may lie anywhere, by whatever name
        digest.update(os.fsencode(path.relative_to(dataset.root) if inside else path.name))
        try:
            status = path.stat()
            digest.update(f":{status.st_size}:{status.st_mtime_ns}\n".encode())
        except FileNotFoundError:  # a mask that a table names
            digest.update(b":absent\n")
    return digest.hexdigest()


def _by_content(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with a segment map's content in place of its path."""
    segments: dict[str, Any] = options.get("segments") or {}
    path = segments.get("map")
    if path is None or not Path(path).is_file():
        return dict(options)
    return {**options, "segments": {**segments, "map": sha256(Path(path))}}
