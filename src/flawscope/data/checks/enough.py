"""Whether a data set has good pictures enough for training, and for the promise that is wanted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from flawscope.data.checks.issues import Issue, found
from flawscope.data.samples import Dataset, Sample
from flawscope.data.splits import (
    FEWEST_HELD_OUT,
    FEWEST_NORMALS,
    HELD_OUT_SHARE,
    TEST_SHARE,
    NormalSplit,
    split_dataset,
)
from flawscope.data.tiles import units_of
from flawscope.errors import DataError
from flawscope.runtime.calibration import normals_needed


def good_pictures_issues(usable: Dataset, false_rejects: float, confidence: float) -> Iterator[Issue]:
    """Too few good pictures to train, or to calibrate; of what can be read."""
    things = "pictures" if all(sample.group is None for sample in usable) else "parts"
    try:
        split = split_dataset(usable, seed=0, false_rejects=false_rejects, confidence=confidence)
    except DataError:
        count = _count(sample for sample in usable if not sample.defective and sample.split != "test")
        message = f"Good {things} for training that can be read: {count}, fewer than {FEWEST_NORMALS}."
        yield found("too-few-normals", usable.root, message)
        return
    needed = normals_needed(false_rejects, 1.0 - confidence)
    held_out, way = _count(split.calibration), "from training"
    if split.folds:
        held_out = _count(split.training) + _count(split.tuning)
        way = "in turn, which keeps the weaker promise"
    elif held_out >= needed:
        return
    message = (
        f"A false-reject rate of {false_rejects:.3g} with confidence {confidence:.3g} needs {needed} "
        f"calibration {things}; {held_out} can be held out {way}."
    )
    yield found("few-normals", usable.root, message, _fix(usable, split, needed, confidence, things))


def _fix(usable: Dataset, split: NormalSplit, needed: int, confidence: float, things: str) -> str:
    """What keeps a promise with confidence: more good pictures, or a higher rate where some are set aside."""
    if split.folds:
        return f"Have {_in_all(usable, needed)} good {things} in all."
    held_out = _count(split.calibration)
    lowest = -math.expm1(math.log1p(-confidence) / held_out)
    lower = f", or ask for a false-reject rate of {_rounded_up(lowest):g}" if lowest < 0.5 else ""
    validation = usable.select(split="validation", defective=False)
    if _count(validation) >= FEWEST_NORMALS:
        wanted = f"{math.ceil(needed * _count(validation) / held_out)} good validation {things}"
    else:
        wanted = f"{_in_all(usable, needed)} good {things} in all"
    return f"Have {wanted}{lower}."


def _in_all(usable: Dataset, needed: int) -> int:
    """How many good pictures it takes to set `needed` aside, as `split_dataset` divides them."""
    training = math.ceil(max(needed, FEWEST_HELD_OUT) / HELD_OUT_SHARE)
    tested = usable.select(defective=True) and not usable.select(split="test", defective=False)
    return math.ceil(training / (1 - TEST_SHARE) - 1e-9) if tested else training


def _rounded_up(rate: float) -> float:
    """To two digits that count, upwards, so that it is supported."""
    scale = math.pow(10.0, 1 - math.floor(math.log10(rate)))
    return math.ceil(rate * scale - 1e-9) / scale


def _count(samples: Iterable[Sample]) -> int:
    """How many parts, or pictures where they have no groups."""
    return len(set(units_of(samples)))
