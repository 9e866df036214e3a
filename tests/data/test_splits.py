"""Splits lose nothing, double nothing, keep views together, and repeat."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flawscope.data.samples import Dataset, Sample, Split
from flawscope.data.splits import folds, limit_training, plan_split, split_dataset, split_normals
from flawscope.errors import DataError, OptionError

seeds = st.integers(0, 2**32)


def parts(count: int, *, views: int = 1, root: str = "/data", split: Split = "train") -> list[Sample]:
    return [
        Sample(
            Path(PurePosixPath(root) / f"{split}/{part:03d}_{view}.png"),
            split,
            defective=False,
            group=f"part{part}" if views > 1 else None,
        )
        for part in range(count)
        for view in range(views)
    ]


def names(samples: tuple[Sample, ...]) -> list[str]:
    return [sample.path.name for sample in samples]


@settings(deadline=None)
@given(
    count=st.integers(4, 60),
    views=st.integers(1, 5),
    seed=seeds,
    shares=st.tuples(*[st.floats(0, 0.3, allow_subnormal=False)] * 3),
)
def test_each_sample_lands_in_one_part(count: int, views: int, seed: int, shares: tuple[float, ...]) -> None:
    samples = parts(count, views=views)
    tuning, calibration, test = shares
    split = split_normals(samples, seed=seed, tuning=tuning, calibration=calibration, test=test)
    pieces = (split.training, split.tuning, split.calibration, split.test)
    assert sorted(names(sum(pieces, ()))) == sorted(names(tuple(samples)))
    assert split.training
    for piece, share in zip(pieces[1:], shares, strict=True):
        assert bool(piece) == (share > 0)
        assert abs(len(piece) - share * len(samples)) <= max(views, 1)
    if views > 1:
        owners = [{sample.group for sample in piece} for piece in pieces]
        assert sum(map(len, owners)) == len(set().union(*owners)) == count


@settings(deadline=None)
@given(count=st.integers(5, 60), views=st.integers(1, 4), k=st.integers(2, 5), seed=seeds)
def test_folds_hold_each_sample_out_once(count: int, views: int, k: int, seed: int) -> None:
    samples = parts(count, views=views)
    pairs = folds(samples, k, seed)
    assert len(pairs) == k
    assert sorted(name for _, held_out in pairs for name in names(held_out)) == sorted(names(tuple(samples)))
    for train, held_out in pairs:
        assert len(train) + len(held_out) == len(samples)
        assert not set(names(train)) & set(names(held_out))
        if views > 1:
            assert not {sample.group for sample in train} & {sample.group for sample in held_out}
    sizes = [len(held_out) for _, held_out in pairs]
    assert max(sizes) - min(sizes) <= views


@settings(deadline=None)
@given(seed=seeds)
def test_a_split_depends_on_names_and_seed_alone(seed: int) -> None:
    here, there = parts(30), parts(30, root="/elsewhere/deeper")
    first = split_normals(here, seed=seed, tuning=0.1, calibration=0.3)
    again = split_normals(reversed(there), seed=seed, tuning=0.1, calibration=0.3)
    for part in ("training", "tuning", "calibration"):
        assert names(getattr(first, part)) == names(getattr(again, part))
    assert [names(held_out) for _, held_out in folds(here, 5, seed)] == [
        names(held_out) for _, held_out in folds(there, 5, seed)
    ]


def test_a_split_is_the_same_on_every_machine() -> None:
    split = split_normals(parts(10), seed=7, calibration=3)
    assert names(split.calibration) == ["002_0.png", "004_0.png", "007_0.png"]


def test_seeds_differ() -> None:
    drawn = {
        tuple(names(split_normals(parts(30), seed=seed, calibration=10).calibration)) for seed in range(20)
    }
    assert len(drawn) == 20


def test_a_copy_of_a_sample_is_kept() -> None:
    samples = parts(6) + parts(1)
    split = split_normals(samples, seed=0, calibration=2)
    assert len(split.training) + len(split.calibration) == 7


def test_numbers_are_numbers_and_shares_are_shares() -> None:
    split = split_normals(parts(40), seed=0, tuning=3, calibration=0.25, test=1)
    assert [len(split.training), len(split.tuning), len(split.calibration), len(split.test)] == [26, 3, 10, 1]


@pytest.mark.parametrize(
    "shares", [{"tuning": -0.1}, {"test": 1.0}, {"tuning": 0.5, "test": 0.5}, {"test": 10}]
)
def test_shares_out_of_range(shares: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        split_normals(parts(10), seed=0, **shares)


def test_too_few_pictures() -> None:
    with pytest.raises(DataError, match="at least 3 to divide, got 2"):
        split_normals(parts(2), seed=0, tuning=0.1, calibration=0.1)
    with pytest.raises(DataError, match="at least 2 to divide, got 1"):
        split_normals(parts(1, views=5), seed=0, tuning=0.1)
    with pytest.raises(DataError, match="at least 5, got 4"):
        plan_split(4)
    with pytest.raises(DataError, match="at least 5, one a fold, got 4"):
        folds(parts(4), 5, 0)
    with pytest.raises(OptionError, match="at least 2, got 1"):
        folds(parts(4), 1, 0)


@settings(deadline=None)
@given(n=st.integers(5, 5000), alpha=st.floats(0.001, 0.4))
def test_a_plan_leaves_most_for_training(n: int, alpha: float) -> None:
    plan = plan_split(n, false_rejects=alpha)
    assert plan.tuning >= 2
    assert (plan.folds == 0) == (plan.calibration > 0) == (n >= 76)
    assert n - plan.tuning - plan.calibration >= 0.55 * n


def test_a_plan_sets_no_more_aside_than_the_promise_needs() -> None:
    assert plan_split(10_000).calibration == 299
    assert plan_split(10_000, false_rejects=0.05).calibration == 59
    assert plan_split(10_000, confidence=0.99).calibration == 459


def dataset(*samples: Sample) -> Dataset:
    return Dataset("x", "folder", Path("/data"), samples)


def bad() -> Sample:
    return Sample(Path("/data/dent/0.png"), "test", defective=True, kind="dent")


def test_good_pictures_alone_are_not_set_aside_for_testing() -> None:
    split = split_dataset(dataset(*parts(100)), seed=0)
    assert [len(split.training), len(split.tuning), len(split.calibration), split.folds] == [65, 10, 25, 0]
    assert split.test == ()


def test_defects_without_good_test_pictures_take_a_fifth() -> None:
    split = split_dataset(dataset(*parts(100), bad()), seed=0)
    assert len(split.test) == 20
    assert len(split_dataset(dataset(*parts(100), bad()), seed=0, test=0.0).test) == 0


def test_published_test_pictures_stay_test_pictures() -> None:
    published = parts(7, split="test")
    split = split_dataset(dataset(*parts(100), *published, bad()), seed=0)
    assert list(split.test) == published
    assert len(split.training) == 65


def test_a_validation_split_serves_tuning_and_calibration() -> None:
    split = split_dataset(dataset(*parts(30), *parts(20, split="validation")), seed=0)
    assert list(split.training) == parts(30)
    assert [len(split.tuning), len(split.calibration), split.folds] == [5, 15, 0]
    assert {sample.split for sample in split.tuning + split.calibration} == {"validation"}


def test_a_tiny_validation_split_joins_the_training_pictures() -> None:
    split = split_dataset(dataset(*parts(30), *parts(2, split="validation")), seed=0)
    assert len(split.training) + len(split.tuning) == 32
    assert split.folds == 5


def test_few_pictures_are_calibrated_in_turn() -> None:
    split = split_dataset(dataset(*parts(30)), seed=0)
    assert [len(split.training), len(split.tuning), len(split.calibration), split.folds] == [27, 3, 0, 5]


def test_a_caller_can_set_shares() -> None:
    split = split_dataset(dataset(*parts(100)), seed=0, tuning=0.0, calibration=0.5)
    assert [len(split.training), len(split.tuning), len(split.calibration), split.folds] == [50, 0, 50, 0]


@pytest.mark.parametrize(("wish", "k"), [({"folds": 3}, 3), ({"calibration": 0.0}, 5)])
def test_a_caller_can_ask_for_folds(wish: dict[str, int], k: int) -> None:
    split = split_dataset(dataset(*parts(90), *parts(20, split="validation")), seed=0, **wish)
    assert [len(split.training), len(split.tuning), len(split.calibration), split.folds] == [99, 11, 0, k]


def test_validation_without_tuning_is_all_for_calibration() -> None:
    split = split_dataset(dataset(*parts(30), *parts(20, split="validation")), seed=0, tuning=0.0)
    assert [len(split.training), len(split.tuning), len(split.calibration)] == [30, 0, 20]


@pytest.mark.parametrize("wish", [{"folds": 1}, {"folds": 5, "calibration": 0.2}])
def test_folds_and_a_held_out_part_exclude_each_other(wish: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="two or more folds, or a held-out part"):
        split_dataset(dataset(*parts(90)), seed=0, **wish)


def test_a_limit_takes_from_training_alone_and_a_smaller_one_lies_within() -> None:
    split = split_normals(parts(100), seed=3, tuning=10, calibration=20)
    fewer, more = (limit_training(split, count, seed=3) for count in (10, 40))
    assert (len(fewer.training), len(more.training)) == (10, 40)
    assert set(fewer.training) < set(more.training) < set(split.training)
    assert (fewer.tuning, fewer.calibration) == (split.tuning, split.calibration)
    assert limit_training(split, 10, seed=4).training != fewer.training
    assert limit_training(split, 70, seed=3).training == split.training


def test_a_limit_keeps_the_views_of_a_part_together() -> None:
    split = split_normals(parts(10, views=5), seed=0)
    training = limit_training(split, 23, seed=0).training
    assert len(training) == 20
    assert len({sample.group for sample in training}) == 4


@pytest.mark.parametrize("count", [0, 4, 51])
def test_a_limit_beyond_the_pictures_or_below_one_part_is_an_error(count: int) -> None:
    with pytest.raises(OptionError, match="50 at most"):
        limit_training(split_normals(parts(10, views=5), seed=0), count, seed=0)
