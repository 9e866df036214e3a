"""Results go on with another engine or a later version of the model, as the chain tells; with no other."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model
from flawscope.errors import OutputError
from flawscope.report.build import inspection_report
from flawscope.runtime import versions
from flawscope.runtime.chain import Row, following
from flawscope.runtime.in_force import InForce
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.prediction import Decision, Prediction
from flawscope.runtime.record import Record
from flawscope.station.audit import audit, audit_log
from flawscope.station.inspection import inspect_pictures
from flawscope.station.picture import Inspected
from flawscope.station.results import Results, read_records
from flawscope.station.store import STORE
from in_force import in_force


def version(folder: Path, name: str, **changes: Any) -> InForce:
    """A version of the model in `folder`, whose name in the log is `name` twelve times."""
    return in_force(name, folder=str(folder / "model"), manifest=64 * name, **changes)


def log(folder: Path, *events: dict[str, Any]) -> list[Row]:
    """The log of the versions of the model in `folder`."""
    rows: list[Row] = []
    for event in events:
        rows.append(following(rows[-1] if rows else None, event))
    place = folder / "model.versions"
    place.mkdir(exist_ok=True)
    (place / "log.jsonl").write_text("".join(f"{row.to_line()}\n" for row in rows))
    return rows


def change(before: str, after: str, event: str = "switch") -> dict[str, Any]:
    return {"event": event, "from": 12 * before, "to": 12 * after}


def record(results: Results, name: str) -> None:
    answer = Prediction(1.0, 0.5, Decision.ACCEPT)
    results.add(Inspected(Record.of(Path(name), answer, model=results.model.identity)))


def inspect(folder: Path, model: InForce, *names: str) -> None:
    with Results(folder / "out", model=model) as results:
        for name in names:
            record(results, name)


def models_of(folder: Path) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(folder / "out" / STORE)) as base:
        found = base.execute("SELECT entry FROM chain WHERE kind = 'model' ORDER BY seq")
        return [json.loads(text) for (text,) in found]


def test_what_is_in_force_is_told_once(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        inspect(tmp_path, version(tmp_path, "1"), name)
    (entry,) = models_of(tmp_path)
    assert InForce(**{name: entry[name] for name in InForce.model_fields}) == version(tmp_path, "1")


def test_another_engine_goes_on_beside_and_after(tmp_path: Path) -> None:
    first, second = version(tmp_path, "1"), version(tmp_path, "1", engine="slide rule 2 fp32")
    with Results(tmp_path / "out", model=first) as one:
        record(one, "a.png")
        with Results(tmp_path / "out", model=second) as other:
            for name in "bc":
                record(other, f"{name}1.png")
                record(one, f"{name}2.png")
    assert [entry["engine"] for entry in models_of(tmp_path)] == [first.engine, second.engine]
    made = [record.model for record in read_records(tmp_path / "out")]
    assert made == [first.identity, *2 * [second.identity, first.identity]]
    assert audit(tmp_path / "out").whole


def test_a_folder_without_records_takes_any_model(tmp_path: Path) -> None:
    inspect(tmp_path, version(tmp_path, "1"))
    inspect(tmp_path, version(tmp_path, "2"), "a.png")
    assert len(models_of(tmp_path)) == 2


def test_a_later_version_goes_on_and_the_chain_tells_how_it_became(tmp_path: Path) -> None:
    rows = log(
        tmp_path, change("0", "1"), change("1", "2", "update"), {"event": "note"}, change("2", "3", "learn")
    )
    inspect(tmp_path, version(tmp_path, "1"), "a.png")
    inspect(tmp_path, version(tmp_path, "3"), "b.png")
    through = models_of(tmp_path)[1]["through"]
    assert through == [{**rows[1].entry, "hash": rows[1].hash}, {**rows[3].entry, "hash": rows[3].hash}]
    assert [record.name for record in read_records(tmp_path / "out")] == ["a.png", "b.png"]
    rolled_back = log(
        tmp_path, *(row.entry for row in rows), change("3", "2", "rollback"), change("2", "1", "rollback")
    )
    inspect(tmp_path, version(tmp_path, "1"), "c.png")
    assert [event["hash"] for event in models_of(tmp_path)[2]["through"]] == [
        row.hash for row in rolled_back[-2:]
    ]
    assert audit(tmp_path / "out").whole


def test_an_inspection_that_a_later_version_has_overtaken_ends(tmp_path: Path) -> None:
    log(tmp_path, change("1", "2"))
    with Results(tmp_path / "out", model=version(tmp_path, "1")) as earlier:
        record(earlier, "a.png")
        inspect(tmp_path, version(tmp_path, "2"), "b.png")
        with pytest.raises(OutputError, match="another model"):
            record(earlier, "c.png")
    assert audit(tmp_path / "out").whole


@pytest.mark.parametrize(
    "events",
    [
        [],
        [change("1", "2")],
        [change("3", "1")],
        [change("1", "2", "found"), change("2", "3")],
        [change("1", "2"), change("2", "3", "found")],
    ],
)
def test_a_model_that_did_not_follow_from_the_other_is_refused(
    events: list[dict[str, Any]], tmp_path: Path
) -> None:
    if events:
        log(tmp_path, *events)
    inspect(tmp_path, version(tmp_path, "1"), "a.png")
    with pytest.raises(OutputError, match="results of another model or calibration"):
        inspect(tmp_path, version(tmp_path, "3"), "b.png")
    assert len(models_of(tmp_path)) == 1


def test_a_log_that_was_tampered_with_leads_nowhere(tmp_path: Path) -> None:
    log(tmp_path, change("0", "1"), change("4", "3"))
    place = tmp_path / "model.versions" / "log.jsonl"
    place.write_text(place.read_text().replace(12 * "4", 12 * "1"))
    inspect(tmp_path, version(tmp_path, "1"), "a.png")
    with pytest.raises(OutputError, match="another model"):
        inspect(tmp_path, version(tmp_path, "3"), "b.png")


def test_results_go_on_through_a_switch_and_a_rollback_of_their_model(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model").folder
    Image.fromarray(np.full((20, 20), 60, np.uint8)).save(tmp_path / "a.png")

    def inspect_with_it() -> None:
        (tmp_path / f"{len(list(tmp_path.glob('*.png')))}.png").write_bytes((tmp_path / "a.png").read_bytes())
        inspector = Inspector.load(model, engine="onnxruntime", threads=1)
        inspect_pictures(inspector, sorted(tmp_path.glob("*.png")), out=tmp_path / "out")

    inspect_with_it()
    save_model(versions.candidate_place(model), divide_by=2.0)
    versions.switch(model, versions.candidate_place(model), {"event": "update", "pictures": 20})
    inspect_with_it()
    versions.rollback(model)
    inspect_with_it()
    first, second, third = models_of(tmp_path)
    assert [event["event"] for entry in (second, third) for event in entry["through"]] == [
        "update",
        "rollback",
    ]
    assert (first["model"], first["manifest"]) == (third["model"], third["manifest"])
    found = audit(tmp_path / "out")
    assert (found.whole, found.rows["picture"]) == (True, 4)
    log = audit_log(found)
    assert log is not None
    assert (log.folder, log.rows, log.problem) == (model, 2, None)
    assert len(versions.remove_but(model, 0)) == 1  # its results go on, and verify, as the log tells of it
    inspect_with_it()
    found = audit(tmp_path / "out")
    after = audit_log(found)
    assert after is not None
    assert (found.whole, found.rows["picture"], after.rows, after.problem) == (True, 5, 3, None)
    (versions.folder_of(model) / "log.jsonl").write_text("")
    save_model(versions.candidate_place(model), divide_by=4.0)
    versions.switch(model, versions.candidate_place(model))
    lacking = audit_log(found)
    assert lacking is not None
    assert lacking.problem == "a change is missing by which the results went on in their row 4"
    report = inspection_report(Inspector.load(model).bundle, tmp_path / "out").read_text(encoding="utf-8")
    assert "5 of 5 pictures were judged by another version of the model" in report
