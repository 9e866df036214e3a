"""Which of a data set's pictures a recipe lets a method see, and for what."""

from __future__ import annotations

from flawscope.data.defects import draw_defects, read_defects, withhold
from flawscope.data.samples import Dataset, Sample
from flawscope.data.splits import (
    HELD_OUT_SHARE,
    TUNING_SHARE,
    NormalSplit,
    limit_training,
    scale_within,
    split_dataset,
)
from flawscope.errors import DataError
from flawscope.methods.detector import Detector
from flawscope.runtime.images import check_image
from flawscope.station.sources import collect
from flawscope.training.recipe import Recipe


def split_for(detector: Detector, dataset: Dataset, recipe: Recipe) -> NormalSplit:
    """Good pictures by what they are for, as recipe and detector wish."""
    wish = recipe.split
    tuning = wish.tuning if detector.uses_tuning else 0.0
    if tuning is None and detector.tuning_share is not None:
        tuning = detector.tuning_share * (1 - (wish.calibration or HELD_OUT_SHARE))
    if wish.aside is not None:
        tuning = wish.aside
    split = split_dataset(
        dataset,
        seed=recipe.seed,
        false_rejects=recipe.calibration.false_rejects,
        confidence=recipe.calibration.confidence,
        tuning=tuning,
        calibration=wish.calibration,
        folds=wish.folds,
    )
    if wish.training is not None:
        split = limit_training(split, wish.training, seed=recipe.seed)
    if wish.aside is None:
        return split
    scaled = TUNING_SHARE if wish.tuning is None else wish.tuning
    return scale_within(split, scaled if detector.uses_tuning else 0.0)


def defects_of(dataset: Dataset, recipe: Recipe) -> tuple[Sample, ...]:
    """Defective pictures that the recipe lets a method learn from: of a folder, of the data set, or none.

    Raises:
        DataError: a folder without pictures.
        OptionError: more pictures, or other kinds, than the data set has.
    """
    wish, folder = recipe.split, recipe.data.defects
    if folder is not None:
        return read_defects(folder)
    if wish.defective == 0:
        return ()
    if wish.defective is None and not dataset.select(split="train", defective=True):
        return ()
    seed = recipe.seed if wish.draw is None else wish.draw
    return draw_defects(withhold(dataset, wish.withheld), wish.defective, seed)


def natural_of(recipe: Recipe) -> tuple[Sample, ...]:
    """Natural pictures of the recipe's folder, or none."""
    folder = recipe.data.natural
    return tuple(Sample(path, "train", defective=False) for path in collect([folder])) if folder else ()


def check_readable(split: NormalSplit, others: tuple[Sample, ...]) -> None:
    """Read every header before long work starts."""
    samples = (*split.training, *split.tuning, *split.calibration)
    if not samples:
        raise DataError(
            "training pictures", expected="good pictures", got="none", fix="Add good pictures to the folder."
        )
    for sample in (*samples, *others):
        check_image(sample.path)
