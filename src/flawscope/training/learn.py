"""Learn known defects on top of a trained model: its detector stays, a SegAD forest joins it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.data.groups import GroupChoice
from flawscope.data.pictures import PictureFiles
from flawscope.data.survey import require_spread
from flawscope.data.tiles import sources
from flawscope.errors import BundleError, OptionError
from flawscope.files import writable_folder
from flawscope.methods.segad import SegAD, SegADOptions
from flawscope.methods.segad.final import undivided
from flawscope.methods.segad.table import folds_by_kind
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.calibration import Promise
from flawscope.runtime.engines import Pair
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.provenance import Provenance
from flawscope.station.sources import collect_good
from flawscope.training.candidates import FRAME, Choice, Trained, Tried, candidates, choose
from flawscope.training.fold_scores import HeldOut, score_by_itself
from flawscope.training.gain import Gain, gains
from flawscope.training.learn_pictures import FOLDS, pictures_to_learn
from flawscope.training.pack import Contents, Wish, pack
from flawscope.training.recipe import LearnCalibration, LearnRecipe
from flawscope.training.trained import options_in_force, tensors_of

GAIN = "gain.json"
RESERVED = {"detectors", *FRAME}


@dataclass(frozen=True, slots=True)
class LearnResult:
    """The new model, pictures by role, those of `normals` left out, what was tried, and the gain."""

    bundle: Bundle
    counts: dict[str, int]
    known: int
    tried: tuple[Tried, ...]
    gains: tuple[Gain, ...]


def learn(
    recipe: LearnRecipe,
    out: Path,
    run: Run | None = None,
    watch: Watch = UNWATCHED,
    *,
    overwrite: bool = False,
) -> LearnResult:
    """Make a SegAD model in `out` from the recipe's model, good pictures it has not seen, and defects.

    Good pictures that the detector learnt from or was scaled on are left out by content; those that only
    calibrated it may serve. The final classifier learns from some of the others, the rest calibrate; with
    few, all do both, in folds (the weaker promise).

    What the options leave open is chosen in cross-validation: statistics alone, with the detector's score,
    and of its map before smoothing; of the whole picture or over a drafted map; a forest or a logistic
    regression; or score and likeness to known defects, summed. Pictures that calibrate have no part in the
    choice; where they must, in folds, nothing is chosen. The gain is that of choosing and learning, on folds
    that had no part in either; on kinds that are not learnt from, that of learning alone, the way having
    been chosen with all kinds. Beside a supervised classifier, which has learnt all kinds, nothing is told
    of the latter.

    Args:
        run: by default the recipe's seed, device and precision.
        watch: sees how far it is, is told what the user should read, and may end it.

    Raises:
        BundleError: a damaged model, or one without training weights or without a heatmap.
        DataError: too few pictures or some that are all alike, a kind with one picture, a defective picture
            that is a good one.
        MissingExtraError: the recipe's engine is not installed.
        OptionError: `out` holds a model and `overwrite` is off; a wrong option; an engine or precision that
            this machine lacks.
        Stopped: the stop signal was set; the model folder is not touched.
    """
    out = Path(out)
    opened = bundle.load(recipe.model)
    manifest = opened.manifest
    bundle.refuse_existing(out, overwrite=overwrite, source=opened.folder)
    run = run or Run(seed=recipe.seed, device=recipe.device, precision=recipe.precision)
    recipe.engine.candidates()
    trained = trained_of(opened, recipe.options)
    normals = collect_good(recipe.normals, tell=watch.say)
    found = pictures_to_learn(recipe, manifest, normals, watch.say)
    wish = _wish(manifest, recipe.calibration, found.grouped_by)
    chosen = found.select(wish, run.seed)
    tiling = manifest.tiling and manifest.tiling.model_copy(update={"overview": None})
    chosen = replace(chosen, tiling=tiling)
    engines = _engines(recipe, few=bool(chosen.split.folds))
    options = trained.options(recipe.options)
    _refuse(options, manifest)
    frame = manifest.frame.reading(options.frame)
    require_spread(PictureFiles(chosen.good, frame))
    writable_folder(out)

    data, few = chosen.data(frame), bool(chosen.split.folds)
    if said := chosen.about_defective(data):
        watch.say(said)
    unseen = data.unseen()
    open_ways = candidates(trained, recipe.options, unseen, run, watch, several=not few)
    folds = max(2, min(FOLDS, len(chosen.defective), len(chosen.split.tuning)))
    table = open_ways[0].table
    choice = choose(open_ways, folds_by_kind(table.kinds, folds, run.seed, table.units), run, watch)
    gained = gains(choice, run, watch=watch)
    detector = choice.best.detector(trained, run.seed)
    if said := undivided(detector.final, choice.best.table):
        watch.say(said)
    held_out = None
    if few:
        levels = score_by_itself(detector, chosen.apart(frame), run, watch).levels
        scores, groups = _good_by_fold(choice)
        held_out = HeldOut(scores, levels, in_folds=True, groups=groups)

    before = [picture for picture in manifest.provenance.pictures if picture.role != "calibration"]
    told = {
        "tried": [tried.to_json() for tried in choice.tried],
        "gains": [gain.to_json() for gain in gained],
    }
    contents = Contents(
        engines=engines,
        apart=chosen.apart(frame),
        held_out=held_out,
        wish=wish,
        provenance=Provenance.now(run.seed, [*before, *chosen.seen()]),
        recipe=_resolved(recipe, found.choice, detector, wish).to_yaml(),
        tiling=tiling,
        files={GAIN: json.dumps(told, indent=1) + "\n"},
    )
    made = pack(out, detector, run, contents, watch)
    grown, calibrated = len(chosen.split.tuning), len(set(sources(contents.apart)))
    counts = {"forest": grown, "calibration": calibrated, "defective": len(chosen.defective)}
    return LearnResult(made, counts, len(normals) - len(found.normals), choice.tried, tuple(gained))


def _refuse(options: SegADOptions, manifest: Manifest) -> None:
    """Refuse segments that tiles do not have, and scores of a classifier that has learnt from the picture."""
    if manifest.tiling is not None and options.segments.placed:
        raise OptionError(
            "option 'segments'",
            expected="a kind that is found in tiles (one, object, clusters, components)",
            got=options.segments.kind,
            fix="Leave it out; that kind lies in whole pictures, and the model sees tiles.",
        )
    if options.classifier is not None and not options.classifier_folds:
        raise OptionError(
            "option 'classifier_folds'",
            expected="at least 2, for `learn` judges by pictures that have not been learnt from",
            got="0",
            fix=f"Leave it out, or train anew with: flawscope train --method {SegAD.name}.",
        )


def _engines(recipe: LearnRecipe, *, few: bool) -> tuple[Pair, ...]:
    """What may run the model; the scores of few pictures are made before there is a graph, in float32."""
    engines = recipe.engine.candidates(in_folds=few)
    if few and engines[0][1] != "fp32":
        raise OptionError(
            "engine precision",
            expected="fp32 with so few good pictures, which calibrate in folds",
            got=engines[0][1],
            fix="Name more good pictures, or leave the precision out.",
        )
    return engines


def _wish(manifest: Manifest, wanted: LearnCalibration, grouped_by: str) -> Wish:
    """The promise wanted, where the recipe names none that of the model."""
    own = manifest.calibration
    promise: Promise = "with_confidence" if own.cross_conformal else own.promise
    return Wish(
        own.alpha if wanted.false_rejects is None else wanted.false_rejects,
        own.delta if wanted.confidence is None else 1 - wanted.confidence,
        promise,
        (wanted.judge or own.judge) if grouped_by else "picture",
        grouped_by,
    )


def _good_by_fold(choice: Choice) -> tuple[tuple[NDArray[np.float32], ...], tuple[tuple[str, ...], ...]]:
    """Scores and parts of the good pictures, by the fold whose classifier had not learnt from them."""
    table, fold_of = choice.best.table, choice.fold_of
    good, firsts = ~table.of_pictures(table.defective), table.firsts
    parts = np.array(table.parts, object)[firsts]
    rows = [good & (fold_of == fold) for fold in range(int(fold_of.max()) + 1)]
    scores = tuple(choice.margins[row] for row in rows if row.any())
    return scores, tuple(tuple(parts[row].tolist()) for row in rows if row.any())


def _resolved(recipe: LearnRecipe, groups: GroupChoice | None, detector: SegAD, wish: Wish) -> LearnRecipe:
    """The recipe with options, groups and promise written out, so that it makes the same model again."""
    options = detector.options.model_dump(mode="json", exclude=RESERVED)
    promise = LearnCalibration(false_rejects=wish.alpha, confidence=1 - wish.delta, judge=wish.judge)
    return recipe.model_copy(update={"options": options, "groups": groups, "calibration": promise})


def trained_of(opened: Bundle, options: Mapping[str, Any]) -> Trained:
    """The model's trained detector; refuses a model or an option that `learn` cannot take."""
    manifest = opened.manifest
    if manifest.method == SegAD.name or manifest.output("heatmap") is None:
        raise BundleError(
            f"model {opened.folder}",
            expected="a model of good pictures alone, with a heatmap",
            got=f"one of method {manifest.method}",
            fix="Name the model that `flawscope train` made from good pictures; learn all defects at once.",
        )
    tensors = tensors_of(opened)
    reserved = sorted(options.keys() & RESERVED)
    if reserved:
        raise OptionError(
            f"option {reserved[0]!r}",
            expected="the model's own",
            got="another",
            fix=f"Leave it out, or train anew with: flawscope train --method {SegAD.name}.",
        )
    spec = {"method": manifest.method, "options": options_in_force(manifest)}
    return Trained(spec, manifest.learnt, tensors)
