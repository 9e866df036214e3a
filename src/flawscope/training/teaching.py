"""The steps of an update: teach or train again, calibrate, write; what a model says of the new pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample, paths_of
from flawscope.data.tiles import cut, tiles_of
from flawscope.data.training import TrainingData
from flawscope.files import writable_folder
from flawscope.methods.detector import Detector
from flawscope.methods.registry import create
from flawscope.methods.running import taught
from flawscope.nn.banks.neighbours import MemoryBank
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.progress import counted
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.engines import DEFAULT, Pair
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.pipeline import Pipeline, scores_and_levels
from flawscope.runtime.prediction import Decision
from flawscope.runtime.provenance import Provenance, Role, SeenPicture, seen
from flawscope.runtime.tiling import Tiling, of_pictures
from flawscope.training.at_hand import at_hand
from flawscope.training.fold_scores import score_in_folds
from flawscope.training.lessons import Lessons
from flawscope.training.overview import tiling_after
from flawscope.training.pack import LOSSES, Contents, pack
from flawscope.training.recalibrating import Calibrating
from flawscope.training.recipe import CalibrationChoice, Recipe
from flawscope.training.train import train
from flawscope.training.trained import detector_of, options_in_force


@dataclass(frozen=True, slots=True)
class Made:
    """The new model; see `UpdateResult`."""

    bundle: Bundle
    banks: dict[str, tuple[int, int]]
    missing: int


def teach(
    opened: Bundle,
    recipe: Recipe,
    found: Lessons,
    held: Calibrating,
    *,
    place: Path,
    run: Run,
    watch: Watch,
) -> Made:
    """Teach, export, calibrate, write."""
    manifest = opened.manifest
    detector, frame, tiling = detector_of(opened), manifest.frame, manifest.tiling
    if held.missing:
        watch.say(
            f"{held.missing} pictures that calibrated the model are not in {recipe.data.folder}; "
            "--calibration names further folders."
        )
    writable_folder(place.parent)
    tuning = at_hand(manifest.provenance.pictures, "tuning", (recipe.data.folder,))
    scaled = () if tuning.missing else tuning.samples  # of some of them scales would be worse than the old
    learnt = tiling if recipe.tiling.learn_from == "tiles" else None
    data = TrainingData(cut(found.samples, frame, learnt), tuning=cut(scaled, frame, learnt))
    sizes = _banks(detector)
    detector = taught(detector, data, run, watch)
    tiling = tiling_after(detector, data.tuning, run, tiling) if scaled else tiling
    pair: Pair = (manifest.engine, manifest.precision)
    held_out = None
    if held.folds is not None:
        watch.say("The model's few pictures are fitted and taught in folds again, to calibrate it.")
        folds = replace(held.folds, most_tiles=detector.needs().most_tiles, seed=recipe.seed)
        held_out = score_in_folds(
            folds.folds(frame, recipe.seed),
            lambda: create(manifest.method, options_in_force(manifest)),
            run,
            watch,
            engine=pair,
            further=data,
        )
    contents = Contents(
        engines=tuple(dict.fromkeys((pair, (DEFAULT, "fp32")))),
        apart=cut(held.samples, frame, tiling) if held.folds is None else held.folds.apart(frame),
        held_out=held_out,
        wish=held.wish,
        provenance=Provenance.now(run.seed, _seen(manifest, found, held, learnt)),
        recipe=recipe.to_yaml(),
        tiling=tiling,
        files=_kept(opened),
        timed=manifest.speeds,
    )
    made = pack(place, detector, run, contents, watch)
    grown = _banks(detector)
    return Made(made, {name: (size, grown[name]) for name, size in sizes.items()}, held.missing)


def retrained(opened: Bundle, recipe: Recipe, place: Path, run: Run, watch: Watch) -> Made:
    """Train again by the recipe, whose pictures are the old ones and those taught now."""
    own = opened.manifest.calibration
    promise = recipe.calibration.promise if own.cross_conformal else own.promise
    wish = CalibrationChoice(
        false_rejects=own.alpha, confidence=round(1 - own.delta, 12), promise=promise, judge=own.judge
    )
    anew = recipe.model_copy(update={"calibration": wish})
    return Made(train(anew, place, run, watch, overwrite=True).bundle, {}, 0)


def _seen(manifest: Manifest, found: Lessons, held: Calibrating, learnt: Tiling | None) -> list[SeenPicture]:
    """Old roles, those taught now in the tiles `learnt`, and what calibrates now."""
    before = [picture for picture in manifest.provenance.pictures if picture.role != "calibration"]
    return [*before, *_named(found.samples, "normal", learnt), *_named(held.samples, "calibration", None)]


def _named(samples: Sequence[Sample], role: Role, tiling: Tiling | None) -> tuple[SeenPicture, ...]:
    return seen(paths_of(samples), role, [sample.group for sample in samples], tiling)


def _kept(opened: Bundle) -> dict[str, str]:
    """Losses of the first training, which teaching has none of its own for."""
    if LOSSES not in opened.manifest.files:
        return {}
    return {LOSSES: (opened.folder / LOSSES).read_text(encoding="utf-8")}


def rejected(opened: Bundle, pictures: PictureFiles, watch: Watch) -> int:
    """How many of good pictures, or of those that the tiles come from, a model rejects."""
    pipeline, calibration = Pipeline.open(opened), opened.manifest.calibration
    with watch.stage("inspecting the new pictures", len(pictures)) as stage:
        stream = pipeline.score(counted(pictures, stage), pipeline.judged)
        answers = of_pictures(stream, tiles_of(pictures), pipeline.judged)
        scores, _ = scores_and_levels(answers, pipeline.judged)
    return sum(calibration.decide(score) is Decision.REJECT for score in scores)


def _banks(detector: Detector) -> dict[str, int]:
    """Members of each memory bank, by its place in the detector."""
    return {
        name.removesuffix(".memory"): len(module.bank)
        for name, module in detector.named_modules()
        if isinstance(module, MemoryBank)
    }
