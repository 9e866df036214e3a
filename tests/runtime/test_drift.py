"""Drift of a stream: what alarms say, when they come, and that a stream goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from flawscope.errors import OptionError
from flawscope.runtime.alarm import SCORES, Alarm, Moment
from flawscope.runtime.drift import Drift
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.prediction import Decision
from flawscope.runtime.record import Record
from trained import Trained

NAMES = ("brightness", "contrast", "sharpness")
START = 1_764_252_000_000_000_000  # ns; a picture a minute from here on
Change = Mapping[str, float]


def values(random: np.random.Generator) -> dict[str, float]:
    return {name: float(random.normal(5, 1)) for name in (SCORES, *NAMES)}


def references(count: int = 200) -> dict[str, list[float]]:
    random = np.random.default_rng(0)
    drawn = [values(random) for _ in range(count)]
    return {name: [one[name] for one in drawn] for name in (SCORES, *NAMES)}


def record(number: int, told: Mapping[str, float]) -> Record:
    conditions = {name: value for name, value in told.items() if name != SCORES}
    return Record(
        path=f"line/{number}.png",
        state=(9, START + number * 60_000_000_000),
        score=told[SCORES],
        p_value=0.5,
        decision=Decision.ACCEPT,
        conditions=conditions,
    )


def stream(count: int, change: Change, after: int = 100, seed: int = 1) -> Iterator[Record]:
    random = np.random.default_rng(seed)
    for number in range(1, count + 1):
        told = values(random)
        moved = {name: told[name] + change.get(name, 0.0) * (number > after) for name in told}
        yield record(number, moved)


def alarms_of(drift: Drift, records: Iterator[Record]) -> list[Alarm]:
    return [alarm for one in records for alarm in drift.see(one)]


def test_an_unchanged_stream_raises_none() -> None:
    drift = Drift(references())
    assert alarms_of(drift, stream(300, {})) == []
    assert drift.pictures == 300
    assert (drift.logs < drift.limits).all()


def test_an_alarm_names_what_changed_since_when_and_what_to_do() -> None:
    (alarm,) = alarms_of(Drift(references()), stream(130, {"sharpness": -3.0}))
    assert (alarm.about, alarm.way) == ("sharpness", "fallen")
    assert 96 <= alarm.since.picture <= 103 < alarm.at.picture <= 110
    assert alarm.since.path == f"line/{alarm.since.picture}.png"
    assert (alarm.usual, alarm.now) == (pytest.approx(5, abs=0.2), pytest.approx(2, abs=0.8))
    assert alarm.text.startswith("Sharpness has fallen since ")
    assert f"(picture {alarm.since.picture}, {alarm.since.picture}.png), from " in alarm.text
    assert alarm.text.endswith(
        "Refocus or clean the lens, and check for vibration. The scores have raised no alarm so far."
    )


def test_scores_that_rise_with_a_condition_are_told_together() -> None:
    first, second = alarms_of(Drift(references()), stream(160, {"brightness": -3.0, SCORES: 1.5}))
    assert (first.about, second.about) == ("brightness", SCORES)
    assert "Check the lamps" in first.text
    assert "Scores have risen since" in second.text
    assert "with brightness, which has fallen since" in second.text
    later, scores = alarms_of(Drift(references()), stream(160, {SCORES: 4.0, "contrast": -1.5}))[::-1]
    assert (scores.about, later.about) == (SCORES, "contrast")
    assert later.text.endswith("The scores rose with it.")


def test_scores_that_rise_alone_are_told_apart_from_more_defects() -> None:
    (risen,) = alarms_of(Drift(references()), stream(200, {SCORES: 1.0}))
    assert (risen.about, risen.way) == (SCORES, "risen")
    assert "no condition of the pictures has raised an alarm so far: more defects than usual" in risen.text
    drift = Drift({SCORES: references()[SCORES]})
    for one in stream(600, {}, seed=5):
        drift.see(one.model_copy(update={"conditions": {}}))
    random, found = np.random.default_rng(6), list[Alarm]()
    for number in range(600, 1200):
        defective = random.random() < 0.06
        found += drift.see(record(number, {SCORES: float(random.normal(5, 1)) + 20 * defective}))
    (more,) = found
    assert more.way == "more"
    assert more.text.startswith("More pictures than usual score beyond nearly all good ones since ")
    assert more.text.endswith("The model knows no conditions of its pictures, so the cause is not told.")


def test_an_alarm_is_latched() -> None:
    drift = Drift(references())
    alarms = alarms_of(drift, stream(300, {"contrast": -2.0}))
    assert [alarm.about for alarm in alarms] == ["contrast"]
    assert drift.alarms == alarms


def test_a_stream_goes_on_where_it_stopped() -> None:
    whole, before = Drift(references()), Drift(references())
    records = list(stream(140, {"sharpness": -2.0}))
    for one in records[:90]:
        whole.see(one)
        before.see(one)
    after = Drift(references())
    after.restore(json.loads(json.dumps(before.to_json())))
    for one in records[90:]:
        assert after.see(one) == whole.see(one)
    assert after.alarms
    assert after.to_json() == whole.to_json()
    assert after.logs.tolist() == whole.logs.tolist()


def test_the_same_stream_gives_the_same_answer_and_ties_are_broken() -> None:
    tied = {SCORES: [1.0] * 50, "brightness": [0.5] * 50}
    first, second = Drift(tied), Drift(tied)
    for number in range(200):
        one = record(number, {SCORES: 1.0, "brightness": 0.5})
        assert first.see(one) == second.see(one) == ()
    assert first.logs.tolist() == second.logs.tolist()
    for number in range(200, 215):
        first.see(record(number, {SCORES: 1.0, "brightness": 0.4}))
    assert [alarm.about for alarm in first.alarms] == ["brightness"]


def test_pictures_that_tell_nothing_have_no_part() -> None:
    drift = Drift(references())
    unread = Record(path="a.png", error="truncated")
    assert drift.see(unread) == ()
    assert drift.pictures == 0
    for number in range(60):
        drift.see(record(number, {SCORES: 5.0 + 0.01 * number}))
    assert drift.logs[1:].tolist() == [0.0, 0.0, 0.0]


def test_scores_of_folds_are_no_reference(trained: Trained) -> None:
    with Inspector.load(trained.folder, threads=1) as inspector:
        manifest = inspector.bundle.manifest
    calibration = manifest.calibration.model_copy(update={"cross_conformal": True})
    folds = Drift.of(manifest.model_copy(update={"calibration": calibration}))
    assert folds.names == Drift.of(manifest).names == (SCORES, *manifest.conditions)
    for number in range(40):  # far above those of the folds, and yet alike
        folds.see(record(number, {SCORES: 1e6 + number * 7919 % 40}))
    assert folds.alarms == []


def test_alone_scores_have_all_of_alpha() -> None:
    alone, beside = Drift({SCORES: [1.0]}, 0.02), Drift(references(), 0.02)
    assert alone.limits == pytest.approx([-np.log(0.02)])
    assert beside.limits == pytest.approx(-np.log([0.01] + [0.01 / 8] * 3))
    with pytest.raises(OptionError, match=r"chance of a false alarm of drift: expected .* less than 50 %"):
        Drift(references(), 0.7)


def test_times_are_told_as_people_do() -> None:
    day = 24 * 3600 * 10**9
    first, later = (Moment(picture=3, path="a/b.png", time=START + days * day) for days in (0, 1))
    assert first.told(first).endswith("(picture 3, b.png)")
    assert len(first.told(first)) < len(first.told(later)) == len(first.told())
    assert Moment(picture=3, path="a/b.png").told() == "picture 3, b.png"
