"""Train: read, split, fit, export, calibrate on the engine that will run, save one model folder."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flawscope.data.defects import refuse_repeated
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import Pictures
from flawscope.data.samples import Dataset, Sample, paths_of
from flawscope.data.splits import NormalSplit, folds
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.files import writable_folder
from flawscope.methods.detector import Detector
from flawscope.methods.fingerprint import fit_once
from flawscope.methods.presets import options_of
from flawscope.methods.registry import create
from flawscope.nn.run import Checkpoints, Run
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle, Manifest
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.engines import require_engine
from flawscope.runtime.manifest import Role
from flawscope.training.assemble import assemble
from flawscope.training.held_out import HeldOut, score_in_folds
from flawscope.training.recipe import EnginePart, Recipe
from flawscope.training.selection import check_readable, defects_of, natural_of, split_for

UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What training made.

    Attributes:
        bundle: the model folder.
        counts: pictures by role.
        seconds: duration of each stretch.
    """

    bundle: Bundle
    counts: dict[str, int]
    seconds: dict[str, float]

    @property
    def statement(self) -> str:
        """The promise that the model's verdicts keep, in words."""
        return self.bundle.manifest.calibration.statement()


def train(
    recipe: Recipe,
    out: Path,
    run: Run,
    *,
    overwrite: bool = False,
    announce: Callable[[str], None] = lambda text: None,
) -> TrainResult:
    """Train `recipe` into the model folder `out`.

    Unfinished work is kept in `out/.unfinished`; the same recipe on the same pictures resumes there.

    Raises:
        BundleError: the graph differs from the trained network on the engine by more than the bound.
        DataError: no or too few good pictures, an unreadable one.
        MissingExtraError: the recipe's engine is not installed.
        OptionError: `out` already holds a model and `overwrite` is off; unknown method or option;
            an engine or precision that this machine lacks.
        Stopped: `run.stop` was set.
    """
    if (out / bundle.MANIFEST).exists() and not overwrite:
        raise OptionError(
            f"model folder {out}",
            expected="a new or empty folder",
            got="a trained model",
            fix="Choose another --out, or replace the model with --overwrite.",
        )
    started = time.perf_counter()
    require_engine(*recipe.engine.pair)
    detector = create(recipe.method, options_of(recipe.method, recipe.preset, recipe.options))
    dataset = read_dataset(recipe.data.folder, layout=recipe.data.layout, product=recipe.data.product)
    split, natural = split_for(detector, dataset, recipe), natural_of(recipe)
    defective = defects_of(dataset, recipe) if detector.uses_defects else ()
    check_readable(split, (*natural, *defective))
    refuse_repeated((*split.training, *split.tuning, *split.calibration), defective)
    writable_folder(out)
    _announce_cost(detector, split, announce)
    run = _with_checkpoints(run, recipe, dataset, defective, out)
    made = _Training(recipe, split, natural, defective, run, detector, started).into(out)
    for remark in detector.remarks:
        announce(remark)
    return made


@dataclass(slots=True)
class _Training:
    recipe: Recipe
    split: NormalSplit
    natural: tuple[Sample, ...]
    defective: tuple[Sample, ...]
    run: Run
    detector: Detector
    started: float

    def into(self, out: Path) -> TrainResult:
        held_out = self._fold_outputs() if self.split.folds else None
        folded = time.perf_counter()
        self._fit(self._data(self.split.training))
        fitted = time.perf_counter()
        made = bundle.save(out, lambda folder: self._fill(folder, held_out))
        shutil.rmtree(out / UNFINISHED, ignore_errors=True)
        seconds = {
            "folds": folded - self.started if self.split.folds else 0.0,
            "fit": fitted - folded,
            "export_and_calibrate": time.perf_counter() - fitted,
            "total": time.perf_counter() - self.started,
        }
        return TrainResult(made, self._counts(), seconds)

    def _fit(self, data: TrainingData) -> None:
        """Fit, or take over a detector that an earlier run has trained on the same."""
        if self.run.trained is None or self.detector.uses_defects:
            self.detector.fit(data, self.run)
        else:
            fit_once(self.detector, self.recipe.method, data, self.run)

    def _fill(self, folder: Path, held_out: HeldOut | None) -> Manifest:
        """Write the model into `folder`, measure parity, and calibrate on the engine."""
        return assemble(
            folder,
            self.detector,
            self.run,
            method=self.recipe.method,
            engine=self.recipe.engine.pair,
            apart=self._pictures(self.split.calibration or self.split.training),
            held_out=held_out,
            calibrate=self._calibration,
            provenance=self._provenance(),
            recipe=self._resolved(),
        )

    def _resolved(self) -> Recipe:
        """The recipe with every option of the method written out, so that later presets change nothing."""
        options = self.detector.options.model_dump(mode="json")
        return self.recipe.model_copy(update={"options": options, "preset": None})

    def _fold_outputs(self) -> HeldOut:
        """Scores of every good picture by a model that has not seen it (K-fold cross-conformal)."""
        parts = folds(self.split.training, self.split.folds, seed=self.recipe.seed)
        return score_in_folds(
            [(self._data(training), self._pictures(held_out)) for training, held_out in parts],
            lambda: create(self.recipe.method, self.detector.options.model_dump()),
            self.run,
            engine=self.recipe.engine.pair,
        )

    def _calibration(self, held_out: HeldOut) -> Calibration:
        wish = self.recipe.calibration
        alpha, delta = wish.false_rejects, 1 - wish.confidence
        if self.split.folds:
            return Calibration.from_folds([list(fold) for fold in held_out.scores], alpha=alpha, delta=delta)
        (scores,) = held_out.scores
        return Calibration(scores=tuple(scores), alpha=alpha, delta=delta, promise=wish.promise)

    def _data(self, training: tuple[Sample, ...]) -> TrainingData:
        return TrainingData(
            normal=self._pictures(training),
            tuning=self._pictures(self.split.tuning),
            natural=self._pictures(self.natural) if self.natural else None,
            defective=self._pictures(self.defective) if self.defective else None,
        )

    def _pictures(self, samples: tuple[Sample, ...]) -> Pictures:
        return Pictures(samples, self.detector.frame)

    def _counts(self) -> dict[str, int]:
        split = self.split
        return {
            "training": len(split.training),
            "tuning": len(split.tuning),
            "calibration": len(split.training) if self.split.folds else len(split.calibration),
            "held_out_test": len(split.test),
            **({"defective": len(self.defective)} if self.defective else {}),
        }

    def _provenance(self) -> bundle.Provenance:
        split = self.split
        roles: tuple[tuple[Role, tuple[Sample, ...]], ...] = (
            ("normal", split.training),
            ("tuning", split.tuning),
            ("calibration", split.calibration),
            ("defective", self.defective),
        )
        pictures = [picture for role, samples in roles for picture in bundle.seen(paths_of(samples), role)]
        return bundle.Provenance.now(self.recipe.seed, pictures)


def _announce_cost(detector: Detector, split: NormalSplit, announce: Callable[[str], None]) -> None:
    expected = detector.preflight(len(split.training))
    fits = split.folds + 1 if split.folds else 1
    often = f", in {split.folds} folds and once more" if split.folds else ""
    steps = getattr(detector.options, "steps", None)
    if steps is not None:
        announce(f"{steps} training steps{often}. Ctrl-C keeps what is done; the same command goes on.")
    if expected is None:
        return
    expected.require()
    announce(
        f"Expected: about {fits * expected.seconds:.0f} s of fitting and {expected.bytes / 2**30:.1f} GiB of "
        f"memory for {len(split.training)} pictures{often}."
    )


def _with_checkpoints(
    run: Run, recipe: Recipe, dataset: Dataset, defective: tuple[Sample, ...], out: Path
) -> Run:
    """Checkpoints of this very recipe on these very files; work on anything else is not taken up.

    The engine has no part in what is learned: where one is refused, another takes up the work.
    """
    learned = recipe.model_copy(update={"engine": EnginePart()})
    digest = hashlib.sha256(learned.to_yaml().encode())
    for sample in (*dataset.select(split="train", defective=False), *defective):
        status = sample.path.stat()
        digest.update(os.fsencode(sample.path.name) + f":{status.st_size}:{status.st_mtime_ns}".encode())
    folder = out / UNFINISHED / digest.hexdigest()[:16]
    return dataclasses.replace(run, checkpoints=Checkpoints(folder))
