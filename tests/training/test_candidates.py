"""Which way to learn known defects is taken, and that the choice is not judged on what it was made on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.training import Unseen
from flawscope.methods.registry import MethodSpec
from flawscope.methods.segad import SegADOptions
from flawscope.methods.segad.logistic import LogisticOptions
from flawscope.methods.segad.table import Table, folds_by_kind
from flawscope.metrics import auroc
from flawscope.nn.backbones.weights import read_weights
from flawscope.nn.run import Run
from flawscope.runtime import bundle
from flawscope.runtime.images import Frame
from flawscope.training import ways as ways_to_learn
from flawscope.training.candidates import Candidate, Choice, Trained, candidates, choose
from flawscope.training.gain import gains
from trained import Trained as Model
from trained import write_pictures

OPTIONS = SegADOptions(logistic=LogisticOptions())
KINDS = ("good",) * 40 + ("hole",) * 20 + ("spot",) * 20
DEFECTIVE = np.array([kind != "good" for kind in KINDS])


def _candidate(features: NDArray[np.floating]) -> Candidate:
    scores = np.zeros((len(KINDS), 1), np.float32)
    table = Table(features.astype(np.float32), DEFECTIVE, KINDS, scores, np.arange(len(KINDS)))
    return Candidate(cast(Any, None), OPTIONS, table)


def _noise(seed: int) -> NDArray[np.floating]:
    return np.random.default_rng(seed).normal(size=(len(KINDS), 3))


def test_the_one_that_tells_defects_apart_is_taken() -> None:
    ways = [_candidate(_noise(0)), _candidate(_noise(1) + DEFECTIVE[:, None]), _candidate(_noise(2))]
    choice = choose(ways, folds_by_kind(KINDS, 5, 0), Run())
    assert choice.best is ways[1]
    assert [one.chosen for one in choice.tried] == [False, True, False]
    assert choice.tried[1].auroc == auroc(DEFECTIVE.astype(int), choice.margins)
    found = gains(choice, Run())
    assert [gain.verdict for gain in found] == ["gain", "gain"]  # before, scores tell nothing apart
    assert found[0].after == pytest.approx(choice.tried[1].auroc)


def test_the_gain_is_of_folds_that_had_no_part_in_the_choice() -> None:
    ways = [_candidate(_noise(seed)) for seed in range(12)]
    choice = choose(ways, folds_by_kind(KINDS, 5, 0), Run())
    lucky = max(one.auroc for one in choice.tried)
    assert lucky > 0.6
    assert auroc(DEFECTIVE.astype(int), choice.judged) < lucky - 0.05


def test_tiles_are_judged_by_picture() -> None:
    """Two tiles a picture, of which one tells: margins, folds and gain are those of pictures."""
    owners, kinds = np.repeat(np.arange(len(KINDS)), 2), tuple(np.repeat(KINDS, 2).tolist())
    features = np.random.default_rng(0).normal(size=(len(owners), 3))
    features[::2] += 4 * np.repeat(DEFECTIVE, 2)[::2, None]
    scores = np.zeros((len(owners), 1), np.float32)
    table = Table(features.astype(np.float32), np.repeat(DEFECTIVE, 2), kinds, scores, owners)
    folds = folds_by_kind(kinds, 5, 0, owners)
    assert np.array_equal(folds, np.repeat(folds_by_kind(KINDS, 5, 0), 2))
    choice = choose([Candidate(cast(Any, None), OPTIONS, table)], folds, Run())
    assert choice.margins.shape == choice.fold_of.shape == (len(KINDS),)
    assert auroc(DEFECTIVE.astype(int), choice.margins) > 0.95
    assert [gain.pictures for gain in gains(choice, Run())] == [(40, 40)] * 2
    beside = OPTIONS.model_copy(update={"classifier": MethodSpec(method="classifier")})
    one = choose([Candidate(cast(Any, None), beside, table)], folds, Run())
    assert len(gains(one, Run())) == 1  # for a classifier has learnt all kinds
    kinds = tuple(kind.replace("spot", "synthetic") for kind in table.kinds)
    made = choose([Candidate(cast(Any, None), OPTIONS, replace(table, kinds=kinds))], folds, Run())
    assert [gain.synthetic for gain in gains(made, Run())] == [20, 20]
    assert table.joined(table).owners.tolist() == [*owners, *(owners + len(KINDS))]


def test_alike_pictures_of_one_part_tell_of_the_gain_once() -> None:
    """The interval is as wide as that of one picture of each part, not of five times as many pictures."""
    random, defective = np.random.default_rng(0), np.repeat([False, True], 12)
    before, after = random.normal(size=(2, 24)) + defective

    def width(views: int, *, named: bool) -> float:
        of = np.repeat(np.arange(24), views)
        parts, kinds = (
            tuple(f"part {part}" for part in of),
            tuple("spot" if defective[one] else "good" for one in of),
        )
        features, scores = np.zeros((len(of), 1), np.float32), before[of, None].astype(np.float32)
        owners = np.arange(len(of))
        table = Table(features, defective[of], kinds, scores, owners, parts if named else ())
        margins, folds = after[of].astype(np.float32), np.zeros(len(of), np.int64)
        choice = Choice(Candidate(cast(Any, None), OPTIONS, table), margins, margins, folds, ())
        (found,) = gains(choice, Run())
        return found.difference.high - found.difference.low

    once = width(1, named=False)
    assert width(5, named=True) == pytest.approx(once, rel=0.15)
    assert width(5, named=False) < 0.6 * once


def test_among_equals_the_first_is_taken() -> None:
    same = _noise(0) + DEFECTIVE[:, None]
    ways = [_candidate(same), _candidate(same)]
    assert choose(ways, folds_by_kind(KINDS, 5, 0), Run()).best is ways[0]


def test_all_that_the_options_leave_open_is_tried(
    trained: Model, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = trained.result.bundle.manifest
    weights = read_weights(trained.folder / bundle.WEIGHTS)
    detector = Trained({"method": manifest.method, "options": manifest.options}, manifest.learnt, weights)
    good = PictureFiles(_samples(write_pictures(tmp_path / "good", 3), defective=False), Frame(64, 64))
    spots = _samples(write_pictures(tmp_path / "hole", 2, spot=True), defective=True)
    bad = PictureFiles(spots, Frame(64, 64))
    unseen = Unseen(good, bad, good.subset([]))
    ways = candidates(detector, {}, unseen, Run(), several=True)
    one = [way for way in ways if way.options.segments.kind == "one"]
    assert [(way.names[1], way.names[2], way.table.features.shape[1]) for way in one] == [
        ("statistics", "boosted random forest", 4),
        ("statistics + score", "boosted random forest", 5),
        ("statistics + unsmoothed + score", "boosted random forest", 9),
        ("statistics + score", "logistic regression", 5),
        ("score + likeness", "sum", 5),
        ("statistics + unsmoothed + score", "logistic regression", 9),
    ]
    drafted = ways[6:]
    assert [way.names[1:] for way in drafted] == [way.names[1:] for way in one if way.names[2] != "sum"]
    segments = drafted[0].reader.reader.segmenter.count
    assert drafted[0].table.features.shape == (5, 4 * segments)
    np.testing.assert_array_equal(one[1].table.features[:, 4], one[0].table.scores[:, 0])
    assert one[4].table.seen().shape == (5, 2 * sum(one[4].reader.bases[0].backbone.channels.values()))
    wished = {"segments": {"kind": "one"}, "logistic": None, "unsmoothed": False}
    left = candidates(detector, wished, unseen, Run(), several=True)
    assert [way.names[1] for way in left] == ["statistics", "statistics + score"]
    plain = candidates(
        detector, {"segments": {"kind": "one"}, "detector_scores": False}, unseen, Run(), several=True
    )
    assert all(not way.options.detector_scores for way in plain)
    with monkeypatch.context() as patch:
        patch.setattr(ways_to_learn, "MOST_ROWS", 4)
        fewer = candidates(detector, {"segments": {"kind": "one"}}, unseen, Run(), several=True)
    assert all(way.options.appearance is None and way.table.looks is None for way in fewer)
    wished = {"segments": {"kind": "one"}, "logistic": {"weights": "alike"}}
    summed = candidates(detector, wished, unseen, Run(), several=True)
    assert {way.names[1:] for way in summed} == {("score", "sum")}
    wished = {"segments": {"kind": "one"}, "appearance": None}
    assert len(candidates(detector, wished, unseen, Run(), several=True)) == len(one) - 1
    (only,) = candidates(detector, {}, unseen, Run(), several=False)
    assert only.names == ("one", "statistics + unsmoothed + score", "logistic regression")


def _samples(folder: Any, *, defective: bool) -> list[Sample]:
    kind = "hole" if defective else "good"
    return [Sample(path, "train", defective=defective, kind=kind) for path in sorted(folder.iterdir())]
