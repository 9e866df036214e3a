"""The good pictures on which a changed model is calibrated again: those of before, or given ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flawscope.data.groups import GroupChoice
from flawscope.data.groups_as_before import group_further
from flawscope.data.samples import Sample, paths_of
from flawscope.data.splits import FOLDS, NormalSplit
from flawscope.data.tiles import units_of
from flawscope.errors import DataError
from flawscope.files import remembered_sha256
from flawscope.runtime.calibration import normals_needed
from flawscope.runtime.images import check_image
from flawscope.runtime.manifest import Manifest
from flawscope.station.sources import collect_good
from flawscope.training.at_hand import AtHand, at_hand
from flawscope.training.lessons import Lessons
from flawscope.training.pack import Wish
from flawscope.training.recipe import Recipe
from flawscope.training.selection import Selection, natural_of

_NAME = "Name a folder of good pictures that the model has not learnt from: --calibration FOLDER."


@dataclass(frozen=True, slots=True)
class Calibrating:
    """What calibrates a changed model.

    Attributes:
        samples: good pictures that nothing learns from; empty where `folds` stands in for them.
        folds: few pictures that both teach and calibrate, as the first fit had them; or None.
        missing: how many pictures that calibrated the model before count no more, being not at hand, or added
            to folds by `calibrate`.
        wish: the promise.
    """

    samples: tuple[Sample, ...]
    folds: Selection | None
    missing: int
    wish: Wish


def calibrating(
    manifest: Manifest,
    recipe: Recipe,
    sources: Sequence[str | Path],
    found: Lessons,
    groups: GroupChoice | None = None,
) -> Calibrating:
    """Find the pictures: of `sources`, and those that calibrated before, by content.

    A model whose scores came from folds is calibrated on pictures of `sources` alone where there are any:
    they are held out, and their scores are this model's. Else its own pictures are fitted in folds again,
    which takes all of them.

    Args:
        manifest: of the model before it is changed.
        recipe: of that model.
        sources: folders, files or patterns of good pictures; those that fit has seen are left out.
        found: what it learns now, which is left out too, as are other pictures of the same parts.
        groups: which pictures of `sources` show one part; None: as the model has it.

    Raises:
        DataError: none is at hand; for folds, one is missing.
        InputError: a picture that cannot be read.
        OptionError: groups of `sources` that cannot be made, or are needed, as the model counts parts.
    """
    own, pictures = manifest.calibration, manifest.provenance.pictures
    seen = [picture for picture in pictures if picture.role != "calibration"]
    learnt = {picture.sha256 for picture in seen} | found.contents
    parts = {picture.group for picture in seen} | {sample.group for sample in found.samples}
    given = dict[str, Sample]()
    paths = collect_good(sources, tell=lambda line: None) if sources else []
    named = [Sample(path, "train", defective=False) for path in paths]
    for sample in group_further(named, own.grouped_by, groups).samples if named else ():
        check_image(sample.path)
        if (digest := remembered_sha256(sample.path)) not in learnt and sample.group not in parts - {None}:
            given.setdefault(digest, sample)
    wish = Wish(own.alpha, own.delta, own.promise, own.judge, own.grouped_by)
    if own.cross_conformal:
        added = manifest.provenance.count("calibration")
        if not sources:
            return Calibrating((), _in_folds(manifest, recipe), added, wish)
        before = AtHand((), at_hand(pictures, "calibration", sources).missing)
        if len(set(units_of(given.values()))) >= normals_needed(own.alpha, own.delta):
            wish = replace(wish, promise="with_confidence")
    else:
        before = at_hand(pictures, "calibration", (recipe.data.folder, *sources))
    known = {remembered_sha256(path) for path in paths_of(before.samples)}
    samples = (*before.samples, *(sample for digest, sample in given.items() if digest not in known))
    if not samples:
        raise DataError(
            "pictures to calibrate the taught model on, whose scores all change",
            expected=f"the {before.missing} that calibrated it, in {recipe.data.folder.absolute()}"
            if before.missing and not own.cross_conformal
            else "good pictures that it has not learnt from",
            got="those alone that it has learnt from, or that show the same parts" if named else "none",
            fix=_NAME,
        )
    return Calibrating(samples, None, before.missing, wish)


def _in_folds(manifest: Manifest, recipe: Recipe) -> Selection:
    """All pictures of the fit, to be fitted in folds again; those taught before are learnt in every fold."""
    pictures, folder = manifest.provenance.pictures, recipe.data.folder
    earlier = at_hand(pictures, "normal", recipe.data.taught).samples
    every = at_hand(pictures, "normal", (folder, *recipe.data.taught))
    gone = [source for source in recipe.data.taught if not Path(source).exists()]
    if every.missing or recipe.data.annotations is not None:
        places = f"{folder.absolute()}{f', and in {gone[0]} and such' if gone else ''}"
        raise DataError(
            "calibration of a model of few pictures, which served to train and to calibrate in folds",
            expected=f"all of them in {places}, to be fitted in folds again",
            got=f"{every.missing} missing" if every.missing else "annotated ones, whose parts are lost",
            fix=_NAME,
        )
    contents = {remembered_sha256(sample.path) for sample in earlier}
    first = tuple(one for one in every.samples if remembered_sha256(one.path) not in contents)
    tuning = at_hand(pictures, "tuning", (folder,)).samples
    return Selection(
        NormalSplit(first, tuning, calibration=(), test=(), folds=recipe.split.folds or FOLDS),
        natural=natural_of(recipe),
        annotated=earlier,
        tiling=manifest.tiling,
        learn_from=recipe.tiling.learn_from,
    )
