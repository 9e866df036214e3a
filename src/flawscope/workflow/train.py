"""Train: read, split, fit, export, calibrate on the engine that will run, save one model folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file

import flawscope
from flawscope import bundle
from flawscope.bundle import Bundle, Manifest
from flawscope.calibration import Calibration
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import Pictures
from flawscope.data.samples import Dataset, Sample, TrainingData, paths_of
from flawscope.data.splits import NormalSplit, folds, limit_training, split_dataset
from flawscope.engines import open_engine, require_engine
from flawscope.errors import DataError, OptionError
from flawscope.files import writable_folder, write_text, write_with
from flawscope.images import check_image
from flawscope.manifest import Role
from flawscope.methods.detector import Detector
from flawscope.methods.presets import options_of
from flawscope.methods.registry import create
from flawscope.nn.run import Checkpoints, Run
from flawscope.workflow.export import export_onnx, manifest_outputs, manifest_scalars, parity_of_engines
from flawscope.workflow.held_out import HeldOut, score_apart, score_in_folds
from flawscope.workflow.recipe import EnginePart, Recipe
from flawscope.workflow.sources import collect

PARITY_PICTURES = 100
UNFINISHED = ".unfinished"
LOSSES = "losses.json"


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
    split, natural = _split(dataset, recipe, detector), _natural(recipe)
    _check_readable(split, natural)
    writable_folder(out)
    _announce_cost(detector, split, announce)
    run = _with_checkpoints(run, recipe, dataset, out)
    return _Training(recipe, split, natural, run, detector, started).into(out)


@dataclass(slots=True)
class _Training:
    recipe: Recipe
    split: NormalSplit
    natural: tuple[Sample, ...]
    run: Run
    detector: Detector
    started: float

    def into(self, out: Path) -> TrainResult:
        held_out = self._fold_outputs() if self.split.folds else None
        folded = time.perf_counter()
        self.detector.fit(self._data(self.split.training), self.run)
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

    def _fill(self, folder: Path, held_out: HeldOut | None) -> Manifest:
        """Write graph, weights and recipe into `folder`, then measure parity and calibrate on the engine."""
        detector, run = self.detector, self.run
        with run.progress.stage("exporting", 1) as stage:
            export_onnx(detector, folder / bundle.GRAPH)
            tensors = {name: value.contiguous() for name, value in detector.state_dict().items()}
            write_with(folder / bundle.WEIGHTS, lambda path: save_file(tensors, path))
            write_text(folder / bundle.RECIPE, self._resolved().to_yaml())
            if detector.history:
                write_text(folder / LOSSES, json.dumps(detector.history) + "\n")
            stage.advance()
        graph = folder / bundle.GRAPH
        calibration = self._pictures(self.split.calibration or self.split.training)
        compared = calibration.subset(range(min(PARITY_PICTURES, len(calibration))))
        name, precision = pair = self.recipe.engine.pair
        figures = parity_of_engines(detector, graph, compared, run, calibrated=pair)
        if held_out is None:
            engine = open_engine(name, graph, precision=precision)
            held_out = score_apart(detector, engine, calibration, run)
        return Manifest(
            flawscope=flawscope.__version__,
            method=self.recipe.method,
            options=detector.options.model_dump(mode="json"),
            frame=bundle.FrameSpec(**dataclasses.asdict(detector.frame)),
            outputs=manifest_outputs(detector),
            scalars=manifest_scalars(detector),
            engine=name,
            precision=precision,
            calibration=self._calibration(held_out),
            heatmap=None if held_out.heatmaps is None else bundle.heatmap_range(held_out.heatmaps),
            parity=figures,
            provenance=self._provenance(),
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
        }

    def _provenance(self) -> bundle.Provenance:
        split = self.split
        roles: tuple[tuple[Role, tuple[Sample, ...]], ...] = (
            ("normal", split.training),
            ("tuning", split.tuning),
            ("calibration", split.calibration),
        )
        pictures = [picture for role, samples in roles for picture in bundle.seen(paths_of(samples), role)]
        return bundle.Provenance.now(self.recipe.seed, pictures)


def _split(dataset: Dataset, recipe: Recipe, detector: Detector) -> NormalSplit:
    wish = recipe.split
    tuning = wish.tuning if detector.uses_tuning else 0.0
    split = split_dataset(
        dataset,
        seed=recipe.seed,
        false_rejects=recipe.calibration.false_rejects,
        confidence=recipe.calibration.confidence,
        tuning=tuning,
        calibration=wish.calibration,
        folds=wish.folds,
    )
    return split if wish.training is None else limit_training(split, wish.training, seed=recipe.seed)


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


def _natural(recipe: Recipe) -> tuple[Sample, ...]:
    folder = recipe.data.natural
    return tuple(Sample(path, "train", defective=False) for path in collect([folder])) if folder else ()


def _check_readable(split: NormalSplit, natural: tuple[Sample, ...]) -> None:
    """Read every header before long work starts."""
    samples = (*split.training, *split.tuning, *split.calibration)
    if not samples:
        raise DataError(
            "training pictures", expected="good pictures", got="none", fix="Add good pictures to the folder."
        )
    for sample in (*samples, *natural):
        check_image(sample.path)


def _with_checkpoints(run: Run, recipe: Recipe, dataset: Dataset, out: Path) -> Run:
    """Checkpoints of this very recipe on these very files; work on anything else is not taken up.

    The engine has no part in what is learned: where one is refused, another takes up the work.
    """
    learned = recipe.model_copy(update={"engine": EnginePart()})
    digest = hashlib.sha256(learned.to_yaml().encode())
    for sample in dataset.select(split="train", defective=False):
        status = sample.path.stat()
        digest.update(os.fsencode(sample.path.name) + f":{status.st_size}:{status.st_mtime_ns}".encode())
    folder = out / UNFINISHED / digest.hexdigest()[:16]
    return dataclasses.replace(run, checkpoints=Checkpoints(folder))
