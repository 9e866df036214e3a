"""Seeded splits of good pictures into training, tuning, calibration and test.

The order of drawing depends on the seed and on the sorted paths alone, never on file contents or on the
folder's place, so that the same data set splits the same way on every machine. The views of one part
(`Sample.group`) always stay together, and where there are any, numbers and shares count parts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from flawscope.data.samples import Dataset, Sample, ordered
from flawscope.data.split_counts import counts_of
from flawscope.data.tiles import units_of
from flawscope.data.training import evenly
from flawscope.errors import DataError, OptionError
from flawscope.runtime.calibration import normals_needed

Samples = tuple[Sample, ...]
HELD_OUT_SHARE = 0.25
TUNING_SHARE = 0.1
TEST_SHARE = 0.2
FEWEST_HELD_OUT = 19  # a conformal p-value of 5 % needs 19 calibration scores
FEWEST_NORMALS = 5
FEWEST_TUNING = 2  # a spread needs two
MAX_TUNING = 100
FOLDS = 5


@dataclass(frozen=True, slots=True)
class NormalSplit:
    """Good pictures by what they are for; no picture has two roles.

    Attributes:
        training: what fit learns from.
        tuning: what fit may scale on.
        calibration: what fit never sees; empty where `folds` is set.
        test: good test pictures, for figures.
        folds: 0, or the number of folds whose held-out scores stand in for calibration (cross-conformal).
    """

    training: Samples
    tuning: Samples
    calibration: Samples
    test: Samples
    folds: int = 0


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """How many of n good pictures go where; the rest is for training."""

    tuning: int
    calibration: int
    folds: int


def plan_split(n: int, *, false_rejects: float = 0.01, confidence: float = 0.95) -> SplitPlan:
    """How to divide `n` good pictures, or parts where pictures have groups, when nobody says otherwise.

    A tenth, from 2 to 100 pictures, is for tuning. A quarter is for calibration, or less where fewer
    pictures already keep the wanted false-reject rate with confidence. Where a quarter is under 19 pictures
    (n < 76), which is what a 5 % false-reject rate needs even on average, no picture is set aside: five folds
    then give every picture a score from a detector that has not seen it.

    Raises:
        DataError: fewer than five good pictures.

    >>> plan_split(320)
    SplitPlan(tuning=32, calibration=80, folds=0)
    >>> plan_split(30)
    SplitPlan(tuning=3, calibration=0, folds=5)
    >>> plan_split(2000).calibration
    299
    """
    if n < FEWEST_NORMALS:
        raise _too_few(f"at least {FEWEST_NORMALS}", [[]] * n)
    tuning = min(max(round(n * TUNING_SHARE), FEWEST_TUNING), MAX_TUNING)
    held_out = math.floor(n * HELD_OUT_SHARE)
    if held_out < FEWEST_HELD_OUT:
        return SplitPlan(tuning, 0, FOLDS)
    wanted = normals_needed(false_rejects, 1.0 - confidence)
    return SplitPlan(tuning, min(held_out, wanted), 0)


def split_dataset(
    dataset: Dataset,
    *,
    seed: int,
    false_rejects: float = 0.01,
    confidence: float = 0.95,
    tuning: float | None = None,
    calibration: float | None = None,
    folds: int | None = None,
    test: float | None = None,
) -> NormalSplit:
    """Divide a data set's good pictures as its layout and `plan_split` say, or as told.

    Where the layout has a validation split (MVTec LOCO), a quarter of it is for tuning, the rest for
    calibration, and all training pictures are for training. Good test pictures of the layout stay test
    pictures. Where the layout has defective pictures but no good test pictures (a plain folder), a fifth of
    the good ones, if ten or more, is for testing, so that there is something to compare with.

    Args:
        tuning, calibration, test: shares or numbers as in `split_normals`, in place of the rules above.
            With `calibration` or `folds` given, validation pictures count as training pictures.
        folds: calibrate in so many folds, in place of a held-out part; `calibration=0` asks for five.

    Raises:
        DataError: no, or fewer than five, good training pictures.
        OptionError: a share or number out of range, or both folds and a held-out part.
    """
    normals = dataset.select(split="train", defective=False)
    validation = dataset.select(split="validation", defective=False)
    published = dataset.select(split="test", defective=False)
    normals, validation = _parts_together(normals, validation)
    if not normals and not validation:
        kinds = ", ".join(dataset.kinds())
        raise DataError(
            str(dataset.root),
            expected="good pictures to learn from",
            got=f"none; {kinds} count as defective" if kinds else "none",
            fix="Point at the folder that holds the good pictures.",
        )
    told = calibration is not None or folds is not None
    if told or len(_units(validation, seed)) < FEWEST_NORMALS:
        normals, validation = normals + validation, ()
    if test is None:
        enough = len(_units(normals, seed)) >= 2 * FEWEST_NORMALS
        test = TEST_SHARE if enough and dataset.select(defective=True) and not published else 0.0
    first = split_normals(normals, seed=seed, test=test, parts=True)
    tested = published + first.test
    if validation:
        tuned = 0.25 if tuning is None else tuning
        divided = split_normals(validation, seed=seed, tuning=tuned, parts=True)
        return NormalSplit(first.training, divided.tuning, divided.training, tested)
    units = _units(first.training, seed)
    if len(units) < FEWEST_NORMALS:
        raise _too_few(f"at least {FEWEST_NORMALS}", units)
    plan = plan_split(len(units), false_rejects=false_rejects, confidence=confidence)
    held_out, turns = _told(calibration, folds) if told else (plan.calibration, plan.folds)
    tuned = plan.tuning if tuning is None else tuning
    divided = split_normals(first.training, seed=seed, tuning=tuned, calibration=held_out, parts=True)
    return NormalSplit(divided.training, divided.tuning, divided.calibration, tested, turns)


def _told(calibration: float | None, folds: int | None) -> tuple[float, int]:
    """The held-out part and the folds that a caller asked for; one of them is 0."""
    if folds is None:
        return (calibration, 0) if calibration else (0, FOLDS)
    if calibration or folds < 2:
        raise OptionError(
            "folds",
            expected="two or more folds, or a held-out part for calibration",
            got=f"folds {folds}, calibration {calibration or 0:g}",
            fix="Give one of the two.",
        )
    return 0, folds


def split_normals(
    samples: Iterable[Sample],
    *,
    seed: int,
    tuning: float = 0.0,
    calibration: float = 0.0,
    test: float = 0.0,
    parts: bool = False,
) -> NormalSplit:
    """Divide samples by a seeded draw; each gets exactly one role.

    Args:
        tuning, calibration, test: a share below 1 (float) or a number of pictures (int). A share above 0
            gets at least one picture (or one group of views), and training keeps at least one.
        parts: whether shares and numbers count groups of views, each once, and not pictures.

    Raises:
        OptionError: a share or number out of range, or roles that leave nothing for training.
        DataError: fewer pictures (or groups) than roles that want one.
    """
    units = _units(samples, seed)
    total = len(units) if parts else sum(map(len, units))
    wanted = counts_of({"test": test, "calibration": calibration, "tuning": tuning}, total)
    needed = sum(count > 0 for count in wanted) + 1
    if len(units) < needed:
        raise _too_few(f"at least {needed} to divide", units)
    chosen: list[Samples] = []
    for index, count in enumerate(wanted):
        kept_for_others = sum(other > 0 for other in wanted[index + 1 :]) + 1
        drawn: list[list[Sample]] = []
        while len(units) > kept_for_others and (len(drawn) if parts else sum(map(len, drawn))) < count:
            drawn.append(units.pop())
        chosen.append(ordered(sample for unit in drawn for sample in unit))
    training = ordered(sample for unit in units for sample in unit)
    return NormalSplit(training, tuning=chosen[2], calibration=chosen[1], test=chosen[0])


def limit_training(split: NormalSplit, pictures: int, *, seed: int) -> NormalSplit:
    """The split with only so many of its training pictures, by a seeded draw; the other parts stay.

    Without views a smaller draw of the same seed lies within a larger one. Views of one part come whole, so
    that with them a few pictures less may be drawn.

    Raises:
        OptionError: the split has fewer training pictures, or no part's views fit in.
    """
    drawn: list[Sample] = []
    for unit in _units(split.training, seed):
        if len(drawn) + len(unit) <= pictures:
            drawn += unit
    if not drawn or pictures > len(split.training):
        raise OptionError(
            "split.training",
            expected=f"a number of training pictures, {len(split.training)} at most",
            got=str(pictures),
            fix="Ask for fewer, add good pictures, or set less aside for tuning and calibration.",
        )
    return replace(split, training=ordered(drawn))


def scale_within(split: NormalSplit, share: float) -> NormalSplit:
    """The split whose tuning pictures are a share of its training pictures, evenly spread; the old ones drop.

    Views of one part stay together.

    A detector then learns what it learns inside a method that takes the old tuning pictures for itself (see
    `flawscope.data.training.TrainingData.for_detector`).
    """
    numbers = units_of(split.training)
    chosen = set(evenly(len(set(numbers)), share))
    training, tuning = (
        tuple(
            sample
            for sample, number in zip(split.training, numbers, strict=True)
            if (number in chosen) is scales
        )
        for scales in (False, True)
    )
    return replace(split, training=training, tuning=tuning)


def folds(samples: Iterable[Sample], k: int, seed: int) -> list[tuple[Samples, Samples]]:
    """Divide samples into `k` folds: pairs of (the others, the held-out ones), each held out once.

    Raises:
        OptionError: fewer than two folds.
        DataError: fewer pictures (or groups of views) than folds.
    """
    units = _units(samples, seed)
    if k < 2:
        raise OptionError("folds", expected="at least 2", got=str(k), fix=f"Use {FOLDS}.")
    if len(units) < k:
        raise _too_few(f"at least {k}, one a fold", units)
    held_out = [ordered(sample for unit in units[index::k] for sample in unit) for index in range(k)]
    return [
        (ordered(sample for other in held_out if other is not fold for sample in other), fold)
        for fold in held_out
    ]


def _too_few(expected: str, units: Sequence[Sequence[Sample]]) -> DataError:
    pictures, count = sum(map(len, units)), len(units)
    if pictures > count:
        fix = "Add pictures of other good parts, or let fewer pictures be in one group."
        return DataError("good parts", expected=expected, got=f"{count} ({pictures} pictures)", fix=fix)
    fix = "Add more pictures of good parts; 30 make a start, a few hundred a reliable inspection."
    return DataError("good pictures", expected=expected, got=str(count), fix=fix)


def _parts_together(normals: Samples, validation: Samples) -> tuple[Samples, Samples]:
    """Both, after pictures for validation whose part training has too have gone there."""
    learnt = {sample.group for sample in normals if sample.group is not None}
    moved = tuple(sample for sample in validation if sample.group in learnt)
    return normals + moved, tuple(sample for sample in validation if sample.group not in learnt)


def _units(samples: Iterable[Sample], seed: int) -> list[list[Sample]]:
    """Samples that must stay together, in seeded order."""
    units: dict[str | int, list[Sample]] = {}
    for index, sample in enumerate(ordered(samples)):
        units.setdefault(index if sample.group is None else sample.group, []).append(sample)
    draw = random.Random(seed)
    keys = [draw.random() for _ in units]
    return [unit for _, unit in sorted(zip(keys, units.values(), strict=True), key=lambda pair: pair[0])]
