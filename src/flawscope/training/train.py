"""Train: read, select, fit, export, choose an engine, calibrate on it, save one model folder."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flawscope.data.annotations.attach import attach
from flawscope.data.annotations.reading import annotation_files
from flawscope.data.checks.kinds import told_of
from flawscope.data.checks.unnamed import about_groups
from flawscope.data.groups import group_dataset, grouped_by, require_groups
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset, paths_of
from flawscope.data.survey import about_values, each_once, require_spread
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.files import writable_folder
from flawscope.folders import claimed
from flawscope.methods.detector import Detector
from flawscope.methods.fit_once import fit_once
from flawscope.methods.registry import create
from flawscope.nn.run import Checkpoints, Run, telling_what_is_kept
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.engines import Pair
from flawscope.runtime.provenance import Provenance
from flawscope.training.budget import has_budget, within_budget
from flawscope.training.cost import say_cost, say_unused
from flawscope.training.fold_scores import score_in_folds
from flawscope.training.overview import tiling_after
from flawscope.training.pack import Contents, Wish, pack
from flawscope.training.product import Start, finer, start, unfitted, upright, with_components
from flawscope.training.recipe import EngineChoice, Recipe
from flawscope.training.selection import Selection
from flawscope.training.tiling import Proposal

UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What training made.

    Attributes:
        bundle: the model folder.
        counts: pictures by role.
        seconds: duration of each stretch.
        proposal: the tiles in which pictures are seen, and what is said of them.
    """

    bundle: Bundle
    counts: dict[str, int]
    seconds: dict[str, float]
    proposal: Proposal

    @property
    def statement(self) -> str:
        """The promise that the model's verdicts keep, in words."""
        return self.bundle.manifest.calibration.statement()


def train(
    recipe: Recipe,
    out: Path,
    run: Run | None = None,
    watch: Watch = UNWATCHED,
    *,
    overwrite: bool = False,
) -> TrainResult:
    """Train `recipe` into the model folder `out`.

    Unfinished work is kept in `out/.unfinished`; the same recipe on the same pictures resumes there.

    Args:
        run: by default the recipe's seed, device and precision.
        watch: sees how far it is, is told what the user should read, and may end it.

    Raises:
        BundleError: the graph differs from the trained network on the engines by more than the bound.
        CalibrationError: too few pictures to calibrate on for any rate below one half; nothing is trained.
        DataError: no or too few good pictures, an unreadable one, or some that are all alike;
            annotations that cannot be used, or that belong to no good training picture.
        MissingExtraError: the recipe's engine is not installed.
        OptionError: `out` already holds a model and `overwrite` is off, or another training is at work there;
            unknown method or option; options with which no model folder can be made; an engine or precision
            that this machine lacks.
        OutputError: the disk is full, or `out` cannot be written; what was learnt stays in `out/.unfinished`.
        Stopped: the stop signal was set.
    """
    out = Path(out)
    bundle.refuse_existing(out, overwrite=overwrite)
    clock = _Clock()
    run = run or Run(seed=recipe.seed, device=recipe.device, precision=recipe.precision)
    recipe.engine.candidates()
    dataset, begun = _begun(recipe, out, run, watch)
    recipe, detector, chosen, proposal = begun.recipe, begun.detector, begun.chosen, begun.proposal
    intensities, frame, held_out = begun.intensities, begun.frame, None
    engines = recipe.engine.candidates(in_folds=bool(chosen.split.folds))
    wish = _wish(recipe, dataset)
    if not chosen.split.folds:
        wish.require(chosen.apart(frame))
    say_unused(recipe, detector, watch)
    say_cost(detector, chosen, frame, watch)
    run = _with_checkpoints(run, recipe, dataset, chosen, out)
    with _alone(out, overwrite=overwrite), telling_what_is_kept(run):
        fit = partial(_fitted, engines=engines, run=run, watch=watch)
        budgeted = has_budget(detector)
        if budgeted:  # before the folds, whose models then have the same parts
            detector = fit(detector, chosen.data(frame))
        if chosen.split.folds:
            options = detector.options.model_dump()
            held_out = score_in_folds(
                chosen.folds(frame, recipe.seed),
                lambda: create(recipe.method, options),
                run,
                watch,
                engine=engines[0],
            )
            clock.lap("folds")
        if not budgeted:
            detector = fit(detector, chosen.data(frame))
        tiling = tiling_after(detector, chosen.data(frame).tuning, run, chosen.tiling)
        chosen = dataclasses.replace(chosen, tiling=tiling)
        clock.lap("fit")
        written_out = {
            "options": detector.options.model_dump(mode="json"),
            "preset": None,  # so that later presets change nothing
            "data": recipe.data.model_copy(update={"intensities": intensities}),
            "tiling": proposal.written(recipe.tiling),
        }
        contents = Contents(
            engines=engines,
            apart=chosen.apart(frame),
            held_out=held_out,
            wish=wish,
            provenance=Provenance.now(recipe.seed, chosen.seen()),
            recipe=recipe.model_copy(update=written_out).to_yaml(),
            tiling=chosen.tiling,
        )
        made = pack(out, detector, run, contents, watch)
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)
    clock.lap("export_and_calibrate")
    return TrainResult(made, _counts(chosen), clock.seconds(), proposal)


def _begun(recipe: Recipe, out: Path, run: Run, watch: Watch) -> tuple[Dataset, Start]:
    """The data set and what is trained on which of it; the user is told what should be read before."""
    detector = unfitted(recipe)
    dataset, said = _read(recipe)
    once, copies = each_once(dataset)
    if copies:
        watch.say(copies)
    first = start(recipe, detector, once)
    require_spread(PictureFiles(first.chosen.good, first.frame))
    paths = paths_of(first.chosen.good)
    values = "" if recipe.data.intensities is not None else about_values(paths, first.intensities)
    said += filter(None, [values, _about_groups(dataset, recipe)])
    for line in filter(None, (*said, *told_of(dataset))):
        watch.say(line)
    writable_folder(out)
    first = upright(first, once, run, watch)
    if first.proposal.sentence:
        watch.say(first.proposal.sentence)
    return once, with_components(finer(first, run, watch), once, run, watch)


def _wish(recipe: Recipe, dataset: Dataset) -> Wish:
    promise = recipe.calibration
    return Wish(
        promise.false_rejects,
        1 - promise.confidence,
        promise.promise,
        promise.judge,
        grouped_by(recipe.data.groups, dataset.samples),
    )


def _read(recipe: Recipe) -> tuple[Dataset, list[str]]:
    """The recipe's data set, with groups and annotations, and what the user should read of these."""
    wish = recipe.data
    dataset = read_dataset(wish.folder, layout=wish.layout, product=wish.product)
    dataset, said = group_dataset(dataset, wish.groups)
    require_groups(dataset.samples, recipe.calibration.judge)
    if wish.annotations is None:
        return dataset, said
    annotated = attach(dataset, wish.annotations).require_learnt()
    return annotated.dataset, [*said, *annotated.told()]


def _about_groups(dataset: Dataset, recipe: Recipe) -> str | None:
    """What suggests groups that nobody named."""
    if recipe.data.groups is not None:
        return None
    return about_groups([one for one in dataset.select(defective=False) if one.split != "test"])


def _fitted(
    detector: Detector, data: TrainingData, *, engines: Sequence[Pair], run: Run, watch: Watch
) -> Detector:
    """The detector, fitted, or taken from where the run keeps trained ones; its budget is kept."""
    if run.trained is None or detector.needs().defective:
        fitted = detector.fit(data, run, watch)
    else:
        fitted = fit_once(detector, data, run, watch)
    return within_budget(fitted, data.normal, engines, watch)


class _Clock:
    """Durations of the stretches of one training."""

    def __init__(self) -> None:
        self._started = self._before = time.perf_counter()
        self._laps = {"folds": 0.0, "fit": 0.0, "export_and_calibrate": 0.0}

    def lap(self, name: str) -> None:
        """End the stretch `name`, which began with the last one's end."""
        now = time.perf_counter()
        self._laps[name], self._before = now - self._before, now

    def seconds(self) -> dict[str, float]:
        """Each stretch, and all of them."""
        return {**self._laps, "total": self._before - self._started}


def _counts(chosen: Selection) -> dict[str, int]:
    split = chosen.split
    return {
        "training": len(chosen.training),
        "tuning": len(split.tuning),
        "calibration": len(split.training) if split.folds else len(split.calibration),
        "held_out_test": len(split.test),
        **({"defective": len(chosen.defective)} if chosen.defective else {}),
    }


@contextlib.contextmanager
def _alone(out: Path, *, overwrite: bool) -> Iterator[None]:
    """Refuse to train where another training is under way, whose model and unfinished work this would end."""
    with claimed(writable_folder(out / UNFINISHED)) as ours:
        if not ours:
            raise OptionError(
                f"--out {out}",
                expected="a folder that no other training writes into",
                got="one that another training is at work in",
                fix="Wait for it to end, or choose another --out.",
            )
        bundle.refuse_existing(out, overwrite=overwrite)  # which another has made meanwhile
        yield


def _with_checkpoints(run: Run, recipe: Recipe, dataset: Dataset, chosen: Selection, out: Path) -> Run:
    """Checkpoints of this very recipe on these very files; work on anything else is not taken up.

    The engine has no part in what is learned: where one is refused, another takes up the work.
    """
    learned = recipe.model_copy(update={"engine": EngineChoice()})
    digest = hashlib.sha256(learned.to_yaml().encode())
    told = [
        sample for split in ("train", "validation") for sample in dataset.select(split=split, defective=False)
    ]
    groups = [f"{number} {sample.group}" for number, sample in enumerate(told) if sample.group is not None]
    digest.update("\n".join(groups).encode(errors="surrogatepass"))  # a table may tell others than before
    good, split = paths_of(told), chosen.split
    roles = [set(paths_of(one)) for one in (split.training, split.tuning, split.calibration, split.test)]
    drawn = [[path in role for role in roles] for path in good]  # what else lies in the folder may change it
    digest.update(f"{split.folds} {drawn}".encode())
    place = recipe.data.annotations
    sources = [getattr(mask, "path", None) for sample in chosen.defective for mask in sample.masks]
    masks = [path for path in sources if isinstance(path, Path)]
    files = annotation_files(place) if place else ()
    beside = paths_of((*chosen.annotated, *chosen.defective, *chosen.natural))
    for path in (*good, *beside, *masks, *files):
        status = path.stat()
        digest.update(os.fsencode(path.name) + f":{status.st_size}:{status.st_mtime_ns}".encode())
    folder = out / UNFINISHED / digest.hexdigest()[:16]
    shared = chosen.split.folds and chosen.tiling is not None  # each fold would see thousands of tiles again
    maps = Checkpoints(folder / "maps") if shared else None
    return dataclasses.replace(run, checkpoints=Checkpoints(folder), maps=maps)
