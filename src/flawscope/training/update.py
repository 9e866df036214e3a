"""Teach a trained model good pictures that it rejects wrongly, and calibrate it again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flawscope.data.groups import GroupChoice
from flawscope.data.tiles import cut
from flawscope.errors import DataError, OptionError
from flawscope.files import typed
from flawscope.methods.detector import Teachable
from flawscope.methods.registry import method_class
from flawscope.nn.run import GROWTH, Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime import bundle, versions
from flawscope.runtime.bundle import Bundle
from flawscope.station.gate import Gate
from flawscope.station.gated import Gated, require_same, switch_if_it_passes
from flawscope.station.sources import collect_good
from flawscope.training.at_hand import at_hand
from flawscope.training.lessons import lessons
from flawscope.training.recalibrating import calibrating
from flawscope.training.recipe import Recipe
from flawscope.training.settings import read_recipe
from flawscope.training.teaching import rejected, retrained, teach
from flawscope.training.trained import weights_of


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """What teaching changed.

    Attributes:
        bundle: the model as it is now.
        taught: good pictures that it has learnt.
        known: pictures that it had learnt or been scaled on before, or that came twice; left out.
        calibrating: pictures that calibrate it, which may not teach; left out.
        rejected: of the taught pictures, how many the model rejected before, and how many it rejects now. It
            has learnt from these very pictures, so that the second says little of others like them.
        normal: good pictures that it has learnt from, before and now.
        banks: members of each memory bank, before and now, by its place in the detector.
        calibrated: good pictures that it is calibrated on.
        missing: pictures that calibrated it before and count no more: not at hand, or added to folds.
        retrained: whether it was trained again.
        unsigned: whether the model bore a signature, which holds for it no more.
        seconds: what it took.
        gated: what a gate made of the taught model; None where there was none. One that did not pass is not
            in use: `bundle` is then the candidate.
    """

    bundle: Bundle
    taught: int
    known: int
    calibrating: int
    rejected: tuple[int, int]
    normal: tuple[int, int]
    banks: dict[str, tuple[int, int]]
    calibrated: int
    missing: int
    retrained: bool
    unsigned: bool
    seconds: float
    gated: Gated | None = None

    @property
    def statement(self) -> str:
        """The promise that the model's verdicts keep, in words."""
        return self.bundle.manifest.calibration.statement()


def update(
    model: Path,
    normals: Sequence[str | Path],
    out: Path | None = None,
    *,
    calibration: Sequence[str | Path] = (),
    groups: GroupChoice | None = None,
    growth: float = GROWTH,
    retrain: bool = False,
    device: str | None = None,
    watch: Watch = UNWATCHED,
    overwrite: bool = False,
    gate: Gate | None = None,
) -> UpdateResult:
    """Teach the model in `model` good pictures, and calibrate it again, for every score changes.

    Memory banks grow, as far as `growth` lets them, by what they do not cover; statistics are merged.
    What calibrates may not teach and is left out by content, as is what the model learnt before. The pictures
    that calibrated the model are found in its recipe's folder; a model of few pictures, which calibrated in
    folds, is fitted and taught in folds again. Its engine, the promise and the knobs stay.

    Args:
        model: a model folder that `train` or `update` made.
        normals: good pictures: folders, files or patterns.
        out: where the new model goes; None: in the place of `model`, whose present version is kept beside it
            (`flawscope.runtime.versions`).
        calibration: further good pictures that calibrate, wherever they lie, and where others may be found
            again; for a model that calibrated in folds, all that do.
        groups: which pictures of `normals` and `calibration` show one part; None: as the model has it. Others
            of parts that calibrate may not teach. With `retrain` they hold for the old pictures, too.
        growth: share of its own limit by which a memory bank may grow.
        retrain: train again on the old pictures and the new ones, by the model's recipe: the only way for
            methods that are not `Teachable`.
        device: by default the recipe's, as the precision is; the seed is the model's.
        watch: sees how far it is, is told what the user should read, and may end it.
        overwrite: replace the model in `out`.
        gate: what the taught model must hold to take the place of `model`; there is no `out` then.

    Raises:
        BundleError: a damaged model, one without training weights, or one that changed meanwhile; engines
            that disagree with it.
        CalibrationError: pictures that support no rate below one half.
        DataError: no new picture, pictures that are all alike, or none at hand to calibrate on.
        InputError: a picture that cannot be read.
        MissingExtraError: the model's engine is not installed.
        OptionError: a method that can only be trained again, without `retrain`; `out` holds a model; groups
            that cannot be made, that are needed, as the model counts parts, or that it does not count.
        OutputError: the disk is full; the model in use stays.
        Stopped: the stop signal was set; the model in use stays.
    """
    started, opened = time.perf_counter(), bundle.load(Path(model))
    if gate is not None:
        _require_place(out)
        gate.dataset()  # before anything is taught
    if out is not None:
        bundle.refuse_existing(Path(out), overwrite=overwrite, source=opened.folder)
    weights_of(opened)
    recipe = _recipe_of(opened)
    _require_way(opened, recipe, retrain=retrain)
    recipe = _in_groups(opened, recipe, groups, retrain=retrain)
    run = Run(opened.manifest.provenance.seed, device or recipe.device, recipe.precision, growth=growth)
    found = lessons(opened.manifest, collect_good(normals, tell=watch.say), groups)
    if found.said:
        watch.say(found.said)
    held = None if retrain else calibrating(opened.manifest, recipe, calibration, found, groups)
    recipe = recipe.teaching([str(sample.path) for sample in found.samples])
    place = versions.candidate_place(opened.folder) if out is None else Path(out)
    pictures = cut(found.samples, opened.manifest.frame, opened.manifest.tiling)
    before = rejected(opened, pictures, watch)
    if held is None:
        made = retrained(opened, recipe, place, run, watch)
    else:
        made = teach(opened, recipe, found, held, place=place, run=run, watch=watch)
    after = rejected(made.bundle, pictures, watch)
    event, gated = {"event": "update", "pictures": len(found.samples), "retrained": retrain}, None
    if out is None:
        require_same(opened)
        require_same(made.bundle)
    if gate is not None:
        gated = switch_if_it_passes(opened.folder, place, gate, event, progress=watch.progress)
    elif out is None:
        versions.switch(opened.folder, place, event)
    in_use = out is None and (gated is None or gated.passed)
    current = bundle.load(opened.folder) if in_use else made.bundle
    learnt = (opened.manifest.provenance.count("normal"), current.manifest.provenance.count("normal"))
    return UpdateResult(
        bundle=current,
        taught=len(found.samples),
        known=found.known,
        calibrating=found.calibrating,
        rejected=(before, after),
        normal=learnt,
        banks=made.banks,
        calibrated=len(current.manifest.calibration.scores),
        missing=made.missing,
        retrained=retrain,
        unsigned=opened.signed,
        seconds=time.perf_counter() - started,
        gated=gated,
    )


def _require_place(out: Path | None) -> None:
    if out is not None:
        raise OptionError(
            f"--out {out}",
            expected="none, since with a --gate the model itself is replaced",
            got="a folder",
            fix="Leave --gate out and judge by: flawscope compare MODEL NEW --gate FILE.",
        )


def _recipe_of(opened: Bundle) -> Recipe:
    """The recipe that made the model.

    Raises:
        OptionError: `learn` made it.
    """
    values = read_recipe(opened.folder / bundle.RECIPE)
    if "model" in values:
        below, learn = values["model"], f"--recipe {typed(opened.folder / bundle.RECIPE)} --out NEW"
        fix = f"Update {below}, then: flawscope learn {learn}"
        if versions.is_version(Path(below)):  # which stays as it is
            update = f"flawscope update {typed(below)} --normals FOLDER --out BASE"
            fix = f"Run: {update}; flawscope learn BASE {learn}"
        raise OptionError(
            f"model {opened.folder}",
            expected="one that learnt from good pictures alone",
            got="one that learnt defects on top of another",
            fix=fix,
        )
    return Recipe.parse(values)


def _in_groups(opened: Bundle, recipe: Recipe, groups: GroupChoice | None, *, retrain: bool) -> Recipe:
    """The recipe with the groups that are named, where all pictures are trained on again.

    Raises:
        OptionError: the model counts pictures, and is not trained again.
    """
    if groups is None or not groups.model_dump():
        return recipe
    if retrain:
        return recipe.model_copy(update={"data": recipe.data.model_copy(update={"groups": groups})})
    if not opened.manifest.calibration.grouped_by:
        raise OptionError(
            f"--groups {groups}",
            expected="a model that counts parts",
            got="one that counts pictures",
            fix="Leave it out; or calibrate it on parts first: flawscope calibrate MODEL --normals FOLDER "
            "--groups PATTERN",
        )
    return recipe


def _missing(opened: Bundle, recipe: Recipe) -> str:
    """How many of the pictures that the model learnt from are gone or changed, where most are; else empty."""
    pictures = opened.manifest.provenance.pictures
    contents = {one.sha256 for one in pictures if one.role == "normal"}
    missing = at_hand(pictures, "normal", (recipe.data.folder, *recipe.data.taught)).missing
    return f"{missing} of {len(contents)} gone or changed" if 2 * missing > len(contents) else ""


def _require_way(opened: Bundle, recipe: Recipe, *, retrain: bool) -> None:
    """Refuse a method that can only be trained again, unless that is asked for and its pictures are there.

    Raises:
        DataError, OptionError: what to do instead.
    """
    folder, method = recipe.data.folder.absolute(), opened.manifest.method
    there = folder.exists()
    missing = _missing(opened, recipe) if retrain and there else ""
    if missing or (retrain and not there):
        raise DataError(
            f"pictures of the first training in {folder}",
            expected="to be there, to train again on them and the new ones",
            got=missing or "no such folder",
            fix="Put them back, or train a new model from other pictures.",
        )
    if not retrain and not issubclass(method_class(method), Teachable):
        raise OptionError(
            f"method {method}",
            expected="one that can be taught further good pictures",
            got="one that can only be trained again",
            fix=f"{'' if there else f'Put its pictures back to {folder}, and a'}"
            f"{'A' if there else ''}dd --retrain, which trains on the old pictures and the new ones.",
        )
