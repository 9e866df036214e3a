"""Learn known defects on top of a trained model: its detector stays, a SegAD forest joins it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.data.defects import read_defects, refuse_repeated
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.splits import FEWEST_HELD_OUT, NormalSplit, split_normals
from flawscope.data.survey import require_spread
from flawscope.data.tiles import sources
from flawscope.errors import BundleError, DataError, OptionError
from flawscope.files import remembered_sha256, writable_folder
from flawscope.methods.segad import SegAD
from flawscope.methods.segad.reading import folds_by_kind
from flawscope.nn.backbones.weights import read_weights
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.calibration import Promise, normals_needed
from flawscope.runtime.engines import Pair
from flawscope.runtime.images import check_image
from flawscope.runtime.manifest import Manifest, Provenance
from flawscope.station.sources import collect_good
from flawscope.training.candidates import FRAME, Choice, Trained, Tried, candidates, choose
from flawscope.training.fold_scores import HeldOut, score_by_itself
from flawscope.training.gain import Gain, gains
from flawscope.training.pack import Contents, Wish, pack
from flawscope.training.recipe import LearnCalibration, LearnRecipe
from flawscope.training.selection import Selection

FOLDS = 5
FEWEST_NORMALS = 10
FEWEST_OF_A_KIND = 2
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
    regression. Pictures that calibrate have no part in the choice; where they must, in folds, nothing is
    chosen. The gain is that of choosing and learning, on folds that had no part in either;
    on kinds that are not learnt from, that of learning alone, the way having been chosen with all kinds.

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
    fresh = _unseen(manifest, normals)
    wish = _wish(manifest, recipe.calibration)
    chosen = _select(fresh, _defective(manifest, recipe.defects, fresh), wish, run.seed)
    tiling = manifest.tiling and manifest.tiling.model_copy(update={"overview": None})
    chosen = replace(chosen, tiling=tiling)
    engines = _engines(recipe, few=bool(chosen.split.folds))
    options = trained.options(recipe.options)
    if manifest.tiling is not None and options.segments.placed:
        raise OptionError(
            "option 'segments'",
            expected="a kind that is found in tiles (one, object, clusters, components)",
            got=options.segments.kind,
            fix="Leave it out; that kind lies in whole pictures, and the model sees tiles.",
        )
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
    choice = choose(open_ways, folds_by_kind(table.kinds, folds, run.seed, table.owners), run, watch)
    gained = gains(choice, run, watch=watch)
    detector = choice.best.detector(trained, run.seed)
    held_out = None
    if few:
        levels = score_by_itself(detector, chosen.apart(frame), run, watch).levels
        held_out = HeldOut(_good_by_fold(choice), levels, in_folds=True)

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
        recipe=_resolved(recipe, detector, wish).to_yaml(),
        tiling=tiling,
        files={GAIN: json.dumps(told, indent=1) + "\n"},
    )
    made = pack(out, detector, run, contents, watch)
    grown, calibrated = len(chosen.split.tuning), len(set(sources(contents.apart)))
    counts = {"forest": grown, "calibration": calibrated, "defective": len(chosen.defective)}
    return LearnResult(made, counts, len(normals) - len(fresh), choice.tried, tuple(gained))


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


def _wish(manifest: Manifest, wanted: LearnCalibration) -> Wish:
    """The promise wanted, where the recipe names none that of the model."""
    own = manifest.calibration
    promise: Promise = "with_confidence" if own.cross_conformal else own.promise
    return Wish(
        own.alpha if wanted.false_rejects is None else wanted.false_rejects,
        own.delta if wanted.confidence is None else 1 - wanted.confidence,
        promise,
    )


def _select(normals: tuple[Sample, ...], defective: tuple[Sample, ...], wish: Wish, seed: int) -> Selection:
    """Good pictures to learn from, as tuning ones, and to calibrate on; few do both, in folds."""
    needed = normals_needed(wish.alpha, wish.delta)
    held_out = min(len(normals) // 2, needed)
    in_folds = held_out < min(FEWEST_HELD_OUT, needed)
    drawn = split_normals(normals, seed=seed, calibration=0 if in_folds else held_out)
    split = NormalSplit((), drawn.training, drawn.calibration, test=(), folds=FOLDS if in_folds else 0)
    return Selection(split, defective)


def _good_by_fold(choice: Choice) -> tuple[NDArray[np.float32], ...]:
    """Scores of the good pictures, by the fold whose classifier had not learnt from them."""
    table, fold_of = choice.best.table, choice.fold_of
    good = ~table.of_pictures(table.defective)
    by_fold = (choice.margins[good & (fold_of == fold)] for fold in range(int(fold_of.max()) + 1))
    return tuple(fold for fold in by_fold if len(fold))


def _resolved(recipe: LearnRecipe, detector: SegAD, wish: Wish) -> LearnRecipe:
    """The recipe with every option and the promise written out, so that it makes the same model again."""
    options = detector.options.model_dump(mode="json", exclude=RESERVED)
    promise = LearnCalibration(false_rejects=wish.alpha, confidence=1 - wish.delta)
    return recipe.model_copy(update={"options": options, "calibration": promise})


def trained_of(opened: Bundle, options: Mapping[str, Any]) -> Trained:
    """The model's trained detector; refuses a model or an option that `learn` cannot take."""
    manifest, weights = opened.manifest, opened.weights
    base = f"model {opened.folder}"
    if manifest.method == SegAD.name or manifest.output("heatmap") is None:
        raise BundleError(
            base,
            expected="a model of good pictures alone, with a heatmap",
            got=f"one of method {manifest.method}",
            fix="Name the model that `flawscope train` made from good pictures; learn all defects at once.",
        )
    if weights is None:
        raise BundleError(
            base,
            expected=f"a model with {bundle.WEIGHTS}",
            got="a copy for the station, without them",
            fix="Name the model folder that `flawscope train` made.",
        )
    reserved = sorted(options.keys() & RESERVED)
    if reserved:
        raise OptionError(
            f"option {reserved[0]!r}",
            expected="the model's own",
            got="another",
            fix=f"Leave it out, or train anew with: flawscope train --method {SegAD.name}.",
        )
    turned = {name: value for name, value in manifest.scalar_values().items() if name in manifest.options}
    own = {**manifest.options, **turned}
    return Trained({"method": manifest.method, "options": own}, manifest.learnt, read_weights(weights))


def _unseen(manifest: Manifest, normals: Sequence[Path]) -> tuple[Sample, ...]:
    """Good pictures that fit has not seen, each content once."""
    taken = {picture.sha256 for picture in manifest.provenance.pictures if picture.role != "calibration"}
    fresh = []
    for path in normals:
        check_image(path)
        digest = remembered_sha256(path)
        if digest not in taken:
            taken.add(digest)
            fresh.append(Sample(path, "train", defective=False))
    if len(fresh) < FEWEST_NORMALS:
        raise DataError(
            "good pictures",
            expected=f"at least {FEWEST_NORMALS} that the model has not learnt from",
            got=f"{len(fresh)}, and {len(normals) - len(fresh)} that it has or that came twice",
            fix="Take new pictures of good parts.",
        )
    return tuple(fresh)


def _marked(found: Sequence[Sample], folder: Path) -> tuple[Sample, ...]:
    """Those with masks, which alone tell defective tiles from good ones."""
    marked = tuple(sample for sample in found if sample.masks)
    if len(marked) < len(found):
        raise DataError(
            f"defective pictures in {folder}",
            expected="marked areas (masks) beside each, for the model sees tiles",
            got=f"{len(found) - len(marked)} of {len(found)} without",
            fix="Add masks, or remove the others from the folder.",
        )
    return marked


def _defective(manifest: Manifest, folder: Path, normals: Sequence[Sample]) -> tuple[Sample, ...]:
    """Defective pictures with at least two of each kind, none of them a good picture."""
    found = read_defects(folder)
    for sample in found:
        check_image(sample.path)
    if manifest.tiling is not None:
        found = _marked(found, folder)
    counts = Counter(sample.kind for sample in found)
    kind, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < FEWEST_OF_A_KIND:
        raise DataError(
            f"defect kind {kind!r}" if len(counts) > 1 else f"defective pictures in {folder}",
            expected=f"at least {FEWEST_OF_A_KIND} pictures, one to learn from and one to judge by",
            got=str(fewest),
            fix="Add a picture of it, or put it into the folder of another kind.",
        )
    refuse_repeated(normals, found)
    known = {picture.sha256: picture.name for picture in manifest.provenance.pictures}
    for sample in found:
        name = known.get(remembered_sha256(sample.path))
        if name is not None:
            raise DataError(
                f"defective picture {sample.path}",
                expected="a picture that the model does not know as good",
                got=f"the content of {name}, from which it was made",
                fix="Remove it; if the part is defective, train the model again without it.",
            )
    return found
