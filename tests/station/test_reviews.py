"""Reviews: what a person found a part to be is entered beside the record, which stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from flawscope.errors import InputError, OptionError
from flawscope.runtime.prediction import Decision, Prediction
from flawscope.runtime.record import Record
from flawscope.station.audit import audit
from flawscope.station.picture import Inspected
from flawscope.station.results import Results, read_records
from flawscope.station.reviews import review, reviewed, reviews
from in_force import in_force

MODEL = in_force()


def inspected(name: str, picture: str = "1" * 64) -> Inspected:
    answer = Prediction(1.0, 0.5, Decision.REJECT)
    return Inspected(Record.of(Path(name), answer, model=MODEL.identity, picture=picture))


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with Results(tmp_path, model=MODEL) as results:
        results.add(*map(inspected, ("line1/a.png", "line2/a.png", "line1/b.png", "line1/ba.png")))
    return tmp_path


def test_a_review_is_an_entry_of_the_chain(out: Path) -> None:
    made = review(out, "line1/a.png", "good", by="Ana", note="a shadow")
    assert (made.number, made.of, made.path, made.picture) == (7, 3, "line1/a.png", "1" * 64)
    again = review(out, "line1/a.png", "defective")
    assert reviews(out) == [made, again]
    assert made.to_json() | {"at": ""} == {
        "number": 7, "at": "", "path": "line1/a.png", "of": 3, "picture": "1" * 64, "verdict": "good",
        "by": "Ana", "note": "a shadow",
    }  # fmt: skip
    found = audit(out)
    assert (found.whole, found.rows["review"]) == (True, 2)


def test_the_last_review_of_a_picture_is_its_truth(out: Path) -> None:
    for verdict in ("defective", "good"):
        review(out, "line1/a.png", verdict)
    review(out, "line1/b.png", "defective")
    truths = [record.defective for record in reviewed(read_records(out), reviews(out))]
    assert truths == [False, None, True, None]


def test_a_review_is_not_of_another_picture_in_the_same_place(out: Path) -> None:
    made = review(out, "b.png", "good")
    with Results(out, model=MODEL) as results:
        results.add(inspected("line1/b.png", "2" * 64))
    records = list(reviewed(read_records(out), reviews(out)))
    assert [record.truth for record in records] == [None] * 4
    assert not any(made.is_of(record) for record in records)


def test_pictures_are_known_by_the_end_of_their_name_and_by_their_place(out: Path) -> None:
    named = ("b.png", "./line1/b.png", "ba.png", str(out / "line2" / "a.png"))
    assert [review(out, name, "good").of for name in named] == [5, 5, 6, 4]
    with pytest.raises(InputError, match="got a name that 2 of them have"):
        review(out, "a.png", "good")
    with pytest.raises(InputError, match="got a name that none of them has"):
        review(out, "c.png", "good")


def test_other_verdicts_and_folders_are_one_clear_line(out: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match='Did you mean "good"'):
        review(out, "b.png", "goood")
    with pytest.raises(InputError, match="expected a folder with results"):
        review(tmp_path / "elsewhere", "b.png", "good")
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(InputError, match="expected a folder with results"):
        reviews(tmp_path / "elsewhere")
