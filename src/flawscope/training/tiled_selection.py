"""Which pictures are for what, once it is known from their sizes whether they are cut into tiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flawscope.data.samples import Dataset, Sample
from flawscope.data.survey import Range
from flawscope.data.tiles import units_of
from flawscope.errors import DataError, OptionError
from flawscope.methods.detector import Detector
from flawscope.runtime.calibration import normals_needed
from flawscope.runtime.overview import ENOUGH
from flawscope.training.recipe import Recipe
from flawscope.training.selection import Selection, select
from flawscope.training.tiling import Proposal, propose


def select_tiled(
    dataset: Dataset, detector: Detector, recipe: Recipe
) -> tuple[Selection, Range | None, Proposal]:
    """The pictures that `detector` may see, how they are cut, and which of their values are black and white.

    Tuning pictures are set aside for an overview only where there is one. Where the recipe leaves it open,
    there is one if nothing else learns from the tuning pictures, they are enough to tell its scale, and
    those that are left to calibrate keep what the promise needs.

    Raises:
        DataError, InputError: as `select`, and `Selection.check`.
        OptionError: as `select`, and `propose`.
    """
    asked, needs = "tiling" in recipe.model_fields_set, detector.needs()
    plain = _with_overview(recipe, False)
    chosen = select(dataset, detector, plain)
    intensities = chosen.check(recipe.data.intensities)
    frame, sizes = detector.options.frame, chosen.sizes()
    proposal = propose(plain.tiling, frame, sizes, whole=needs.whole, asked=asked)
    if proposal.tiling is not None and recipe.tiling.overview is not False:
        fuller = _with_overview(recipe, True)
        scaled = select(dataset, detector, fuller) if recipe.tiling.overview else None
        scaled = scaled or _where_it_can_be(dataset, detector, recipe, chosen)
        if scaled is not None:
            chosen, proposal = scaled, propose(fuller.tiling, frame, sizes, asked=asked)
    chosen = replace(
        chosen,
        tiling=proposal.tiling,
        learn_from=recipe.tiling.learn_from,
        most_tiles=needs.most_tiles,
        seed=recipe.seed,
    )
    return chosen, intensities, proposal


def _with_overview(recipe: Recipe, overview: bool) -> Recipe:
    return recipe.model_copy(update={"tiling": recipe.tiling.model_copy(update={"overview": overview})})


def _where_it_can_be(
    dataset: Dataset, detector: Detector, recipe: Recipe, plain: Selection
) -> Selection | None:
    """The pictures with some to scale an overview on; None where it is better left out."""
    learnt = recipe.tiling.learn_from == "whole" or detector.needs().tuning_share is not None
    if learnt or recipe.split.tuning == 0:
        return None
    try:
        found = select(dataset, detector, _with_overview(recipe, True))
    except (DataError, OptionError):  # too few pictures for a further role
        return None
    if _count(found.split.tuning) < ENOUGH:
        return None
    wish = recipe.calibration
    rate, risk = wish.false_rejects, 1 - wish.confidence
    promised = (normals_needed(rate, risk), normals_needed(rate, promise="on_average"))
    before, after = (_calibrating(one) for one in (plain, found))
    return None if any(after < needed <= before for needed in promised) else found


def _calibrating(chosen: Selection) -> int:
    return _count(chosen.split.training if chosen.split.folds else chosen.split.calibration)


def _count(samples: Iterable[Sample]) -> int:
    """How many pictures, or parts where pictures have groups."""
    return len(set(units_of(samples)))
