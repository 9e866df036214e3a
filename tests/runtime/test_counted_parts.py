"""Parts in a stream: each counts once, as in calibration, and alarms keep their promise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flawscope.runtime import bundle
from flawscope.runtime.alarm import SCORES, Moment
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.counted_parts import RECENT, CountedParts, Counting
from flawscope.runtime.drift import Drift, Reference
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.martingale import OF_SCORES
from flawscope.runtime.prediction import Decision
from flawscope.runtime.record import Record
from flawscope.runtime.watched import Watched
from trained import Trained

VIEWS, PATTERN = 5, r"part(\d+)_"
COUNTING = Counting(pattern=PATTERN, judge="picture", pictures=VIEWS)


def record(part: int, view: int, score: float, **conditions: float) -> Record:
    return Record(
        path=f"line/part{part:04d}_v{view}.png",
        state=(9, 60_000_000_000 * (VIEWS * part + view)),
        score=score,
        p_value=0.5,
        decision=Decision.ACCEPT,
        picture=f"{(7919 * part + 31 * view) % 997:064x}",
        conditions=conditions,
    )


def seen(parts: CountedParts, records: Sequence[Record]) -> list[tuple[int, float, dict[str, float]]]:
    """Number of the first picture, score and conditions of what counts."""
    return [
        (counted.first.picture, counted.score, dict(counted.conditions))
        for number, one in enumerate(records, 1)
        for counted in parts.see(one, Moment(picture=number, path=one.path))
    ]


@dataclass(frozen=True)
class Shot:
    """What `CountedParts` reads of a record, made faster than one."""

    path: str
    score: float
    state: tuple[int, int] = (1, 1)
    picture: str = "0"
    conditions: tuple[()] = ()


def streams(count: int, parts: int, seed: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each stream scores of 60 calibration parts and of as many others, five nearly equal ones each."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        of_parts = random.normal(size=60 + parts)[:, None]
        values = of_parts + 0.01 * random.normal(size=(60 + parts, VIEWS))
        yield values[:60], values[60:]


def share_of_alarms(count: int, parts: int, alpha: float, counting: Counting | None) -> float:
    """Of so many streams of unchanged good parts the share that raises an alarm of scores."""
    references, values = dict[str, Sequence[float]](), dict[str, list[float]]()
    first = Moment(picture=1, path="")
    for number, (calibration, stream) in enumerate(streams(count, parts, seed=7)):
        order = np.argsort(calibration.ravel())
        scores, groups = calibration.ravel()[order].tolist(), (order // VIEWS).tolist()
        references[str(number)] = scores if counting is None else counting.scores(scores, groups)
        taken, own = CountedParts(counting), values.setdefault(str(number), [])
        for index, score in enumerate(stream.ravel().tolist()):
            shot: Any = Shot(f"part{index // VIEWS}_{index % VIEWS}.png", score)
            own += [one.score for one in taken.see(shot, first)]
    watched = Watched(OF_SCORES, references, dict.fromkeys(references, alpha))
    random, raised = np.random.default_rng(8), set[str]()
    for place in range(len(values["0"])):
        draws = dict(zip(values, random.random(count).tolist(), strict=True))
        now = {name: own[place] for name, own in values.items()}
        raised |= {one.name for one in watched.see(now, draws, place + 1)}
    return len(raised) / count


@pytest.mark.parametrize(
    ("count", "judge"),
    [
        (100, "picture"),
        pytest.param(2000, "picture", marks=pytest.mark.slow),
        pytest.param(2000, "part", marks=pytest.mark.slow),
    ],
)
def test_unchanged_parts_raise_no_more_alarms_than_promised(count: int, judge: Any) -> None:
    counting = COUNTING.model_copy(update={"judge": judge})
    assert share_of_alarms(count, 60, 0.1, counting) <= 0.1 + 3 * np.sqrt(0.09 / count)


def test_counted_each_by_itself_their_pictures_break_the_promise() -> None:
    assert share_of_alarms(30, 60, 0.1, None) > 0.3


@pytest.mark.parametrize("judge", ["picture", "part"])
def test_a_part_counts_by_the_same_whatever_the_order_of_its_pictures(judge: Any) -> None:
    views = [record(3, view, float(view), brightness=view / 10) for view in range(VIEWS)]
    counting, found = COUNTING.model_copy(update={"judge": judge}), set()
    for order in permutations(views):
        ((first, score, conditions),) = seen(CountedParts(counting), order)
        found.add((first, score, conditions["brightness"]))
    (one,) = found
    lowest = min(views, key=lambda view: view.picture or "")
    assert one == (1, 4.0 if judge == "part" else lowest.score, lowest.conditions["brightness"])


def test_parts_of_equal_scores_draw_each_for_itself_in_a_stream_too() -> None:
    """Of parts with a score of 1 and two of 0 a third counts by the 1, in calibration as in the stream."""
    calibration = COUNTING.scores([0.0] * 600 + [1.0] * 300, [*range(300), *range(300), *range(300)])
    counting = COUNTING.model_copy(update={"pictures": 3})
    shots = [
        record(part, view, float(view == 1)).model_copy(
            update={"picture": hashlib.sha256(f"{part} {view}".encode()).hexdigest()}
        )
        for part in range(300)
        for view in range(3)
    ]
    stream = [score for _, score, _ in seen(CountedParts(counting), shots)]
    assert np.mean(calibration) == pytest.approx(1 / 3, abs=0.09)
    assert np.mean(stream) == pytest.approx(1 / 3, abs=0.09)


def test_parts_may_be_photographed_in_turn_and_count_once() -> None:
    pairs = [record(part, view, part + 0.0) for view in range(VIEWS) for part in (1, 2)]
    further = [record(1, 7, 9.0), record(2, 7, 9.0)]
    assert [one[:2] for one in seen(CountedParts(COUNTING), [*pairs, *further])] == [(1, 1.0), (2, 2.0)]


def test_a_part_that_lacks_pictures_counts_when_others_have_come() -> None:
    parts = CountedParts(COUNTING)
    few = [record(0, view, 0.0) for view in range(2)]
    others = [record(part, view, part + 0.0) for part in range(1, RECENT + 1) for view in range(VIEWS)]
    found = seen(parts, [*few, *others])
    assert [one[1] for one in found] == [*map(float, range(1, RECENT)), 0.0, float(RECENT)]
    assert found[-2][0] == 1
    later = seen(parts, [record(0, view, 5.0) for view in range(VIEWS)])  # another part of that name
    assert [one[1] for one in later] == [5.0]


def test_pictures_whose_names_tell_no_part_count_each() -> None:
    plain = [record(1, view, 1.0).model_copy(update={"path": f"{view}.png"}) for view in range(3)]
    assert len(seen(CountedParts(COUNTING), plain)) == len(seen(CountedParts(None), plain)) == 3
    unknown = COUNTING.model_copy(update={"pattern": ""})
    assert len(seen(CountedParts(unknown), plain)) == 3


def test_a_stream_goes_on_with_parts_that_are_not_complete() -> None:
    random = np.random.default_rng(1)
    reference = random.normal(5, 1, 60).tolist()
    whole, before = (Drift({SCORES: reference, "brightness": reference}, 0.1, COUNTING) for _ in range(2))
    shots = [
        record(part, view, float(random.normal(5, 1)), brightness=float(random.normal(5, 1)) - 4 * (part > 9))
        for part in range(40)
        for view in range(VIEWS)
    ]
    for one in shots[:93]:
        whole.see(one)
        before.see(one)
    after = Drift({SCORES: reference, "brightness": reference}, 0.1, COUNTING)
    after.restore(json.loads(json.dumps(before.to_json())))
    alarms = [alarm for one in shots[93:] for alarm in after.see(one)]
    assert alarms == [alarm for one in shots[93:] for alarm in whole.see(one)]
    assert [alarm.about for alarm in after.alarms] == ["brightness"]
    assert after.alarms[0].since.picture % VIEWS == 1  # the first picture of a part
    assert after.to_json() == whole.to_json()
    assert (after.pictures, after.promised) == (200, True)


def grouped(manifest: Manifest, **changes: Any) -> Manifest:
    """With 40 parts of five pictures that calibrate, and conditions of one each."""
    scores, numbers = np.arange(200.0), np.arange(200) % 40
    calibration = Calibration(
        scores=tuple(scores), groups=tuple(numbers), alpha=0.2, **{"grouped_by": PATTERN, **changes}
    )
    values = {"brightness": tuple(range(40)), "contrast": tuple(range(200))}
    return manifest.model_copy(update={"calibration": calibration, "conditions": values})


def test_a_model_that_counts_parts_is_compared_with_a_value_of_each(trained: Trained) -> None:
    manifest = bundle.load(trained.folder).manifest
    found = Reference.of(grouped(manifest))
    assert (len(found.values[SCORES]), len(found.values["brightness"])) == (40, 40)
    assert found.values["contrast"] == ()  # of each picture, as models that were made earlier have them
    assert found.counting == COUNTING
    again = Reference.of_json(json.loads(json.dumps(found.to_json())))
    assert again.counting == COUNTING
    assert list(again.values[SCORES]) == list(found.values[SCORES])
    parts = Reference.of(grouped(manifest, judge="part"))
    assert list(parts.values[SCORES]) == list(range(160, 200))
    table = Drift.of(grouped(manifest, grouped_by="parts.csv:part"))
    assert not table.promised
    assert len(Reference.of(grouped(manifest, grouped_by="layout")).values[SCORES]) == 200
    alone = Reference.of(manifest)
    assert alone.counting is None
    assert "parts" not in alone.to_json()
    assert Drift.of(manifest).promised
