"""Drift in a store: the stream is one, whoever adds to it, wherever it stopped, and whatever was lost."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flawscope.cli.app import app
from flawscope.errors import DataError, InputError, OptionError, OutputError
from flawscope.report.build import inspection_report
from flawscope.report.drift_chart import write_drift
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.drift import Reference
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.record import Record
from flawscope.station import drifting
from flawscope.station.audit import audit
from flawscope.station.drifting import Drifting
from flawscope.station.inspection import inspect_pictures
from flawscope.station.picture import Inspected
from flawscope.station.replay import Replay, replay, restart
from flawscope.station.results import Results, read_records
from streams import MODEL, add, inspected, opened, raised
from trained import Trained, write_pictures


@pytest.fixture(scope="module")
def inspector(trained: Trained) -> Iterator[Inspector]:
    with Inspector.load(trained.folder, threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def manifest(inspector: Inspector) -> Manifest:
    """The small model's, with conditions of 100 pictures."""
    random = np.random.default_rng(0)
    values = {name: tuple(random.normal(5, 1, 100).tolist()) for name in ("brightness", "sharpness")}
    return inspector.bundle.manifest.model_copy(update={"conditions": values})


def test_an_alarm_stands_in_the_record_that_raised_it_and_in_the_chain(
    tmp_path: Path, manifest: Manifest
) -> None:
    with opened(tmp_path, manifest) as results:
        add(results, 0, 90)
        results.export()
    ((name, about),) = raised(read_records(tmp_path))
    assert about == "brightness"
    assert 60 < int(name.removesuffix(".png")) < 75
    assert audit(tmp_path).whole
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    (alarm,) = [alarm for line in lines for alarm in line.get("drift", ())]
    assert alarm["text"].startswith("Brightness has fallen since")


@pytest.mark.parametrize("kept", [7, 1000])
def test_inspections_that_stop_and_take_turns_are_one_stream(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(drifting, "KEPT", kept)
    with opened(tmp_path / "whole", manifest) as whole:
        add(whole, 0, 90)
    with opened(tmp_path / "parts", manifest) as results:
        add(results, 0, 20)
    with opened(tmp_path / "parts", manifest) as one, opened(tmp_path / "parts", manifest) as other:
        for number in range(20, 90):
            (one if number % 3 else other).add(inspected(number, dark=number >= 60))
    expected = raised(read_records(tmp_path / "whole"))
    assert raised(read_records(tmp_path / "parts")) == expected
    with_state, again = (replay(tmp_path / name) for name in ("whole", "parts"))
    assert with_state.logs.tolist() == again.logs.tolist()
    assert [(Path(one.at.path).name, one.about) for one in again.alarms] == expected


def test_a_picture_that_was_not_written_has_not_been_seen(tmp_path: Path, manifest: Manifest) -> None:
    with opened(tmp_path, manifest) as results, opened(tmp_path / "other", manifest) as untroubled:
        add(results, 0, 30)
        broken = Inspected(replace_path(inspected(31).record), views=object())  # type: ignore[arg-type]
        for _ in range(3):
            with pytest.raises(AttributeError):
                results.add(broken)
        add(results, 30, 90)
        add(untroubled, 0, 90)
    assert replay(tmp_path).logs.tolist() == replay(tmp_path / "other").logs.tolist()
    assert raised(read_records(tmp_path)) == raised(read_records(tmp_path / "other"))


def replace_path(record: Record) -> Record:
    return record.model_copy(update={"path": "line/broken.png"})


def test_each_inspection_of_one_file_counts(tmp_path: Path, manifest: Manifest, inspector: Inspector) -> None:
    with opened(tmp_path, manifest) as results:
        for number in range(80):
            results.add(inspected(number, dark=number >= 60, path="line/latest.png"))
    found = replay(tmp_path)
    assert found.drift.pictures == 80
    assert [alarm.about for alarm in found.alarms] == ["brightness"]
    assert raised(read_records(tmp_path)) == []  # the last record of the file is another picture's
    page = inspection_report(inspector.bundle, tmp_path).read_text(encoding="utf-8")
    assert page.count("Drift: Brightness has fallen since") == 1
    restart(tmp_path)
    assert "Drift: " not in inspection_report(inspector.bundle, tmp_path).read_text(encoding="utf-8")


def test_a_restart_begins_a_new_stream_also_for_those_that_run(tmp_path: Path, manifest: Manifest) -> None:
    with opened(tmp_path, manifest) as results:
        add(results, 0, 80)
        assert len(replay(tmp_path).alarms) == len(drifting.raised(tmp_path)) == 1
        restart(tmp_path)
        assert (replay(tmp_path).drift.pictures, drifting.raised(tmp_path)) == (0, [])
        add(results, 80, 95, change=1000)
        assert (replay(tmp_path).drift.pictures, replay(tmp_path).alarms) == (15, ())
        add(results, 95, 130, change=100)
    assert [alarm.about for alarm in replay(tmp_path).alarms] == ["brightness"]
    assert len(raised(read_records(tmp_path))) == 2
    assert audit(tmp_path).whole
    watch = Drifting(manifest)
    with Results(tmp_path, model=MODEL, drifting=watch):
        assert watch.drift.pictures == 50


def test_another_alpha_follows_the_stream_anew(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drifting, "KEPT", 10)
    with opened(tmp_path, manifest, alpha=1e-6) as results:
        add(results, 0, 66)
    assert raised(read_records(tmp_path)) == []
    watch = Drifting(manifest, 0.2)
    with Results(tmp_path, model=MODEL, drifting=watch) as results:
        assert [alarm.about for alarm in watch.drift.alarms] == ["brightness"]
        add(results, 66, 70)
    assert raised(read_records(tmp_path)) == []
    assert replay(tmp_path, 1e-9).alarms == ()


def test_a_kept_state_that_is_damaged_is_followed_anew(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drifting, "KEPT", 10)
    with opened(tmp_path, manifest) as results:
        add(results, 0, 40)
    with contextlib.closing(sqlite3.connect(tmp_path / "results.sqlite")) as base:
        known = json.loads(zlib.decompress(base.execute("SELECT state FROM drift").fetchone()[0]))
    known["scores"]["capital"]["stakes"][0].pop()  # of an earlier version, which bet otherwise
    earlier, other = (
        zlib.compress(json.dumps(one).encode()) for one in (known, {"pictures": 3, "marks": []})
    )
    for state in (b"", b"no state", zlib.compress(b"[]"), other, earlier):
        with contextlib.closing(sqlite3.connect(tmp_path / "results.sqlite")) as base, base:
            base.execute("UPDATE drift SET state = ?", (state,))
        watch = Drifting(manifest)
        with Results(tmp_path, model=MODEL, drifting=watch):
            assert watch.drift.pictures == 40
            assert watch.drift.logs.tolist() == pytest.approx(replay(tmp_path).drift.logs.tolist())


def test_a_model_that_counts_parts_watches_parts(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drifting, "KEPT", 10)
    numbers = tuple(index // 2 for index in range(200))
    calibration = Calibration(
        scores=tuple(np.linspace(0, 1, 200)), alpha=0.2, groups=numbers, grouped_by=r"part(\d+)_"
    )
    parts = manifest.model_copy(update={"calibration": calibration})
    views = [(number, f"line/part{number // 2}_{number % 2}.png") for number in range(120)]
    with opened(tmp_path, parts) as results:
        for number, path in views[:71]:
            results.add(inspected(number // 2, dark=number >= 80, path=path))
    watch = Drifting(parts)
    with Results(tmp_path, model=MODEL, drifting=watch) as results:
        for number, path in views[71:]:
            results.add(inspected(number // 2, dark=number >= 80, path=path))
    found = replay(tmp_path)
    assert (found.drift.pictures, [alarm.about for alarm in found.alarms]) == (120, ["brightness"])
    assert found.alarms[0].since.path.endswith("_0.png")
    assert found.logs[-1].tolist() == watch.drift.logs.astype(np.float32).tolist()
    assert found.to_json()["promised"]
    earlier = json.dumps(Reference.of(parts).to_json() | {"parts": None})
    with contextlib.closing(sqlite3.connect(tmp_path / "results.sqlite")) as base, base:
        base.execute("UPDATE drift SET reference = ?", (earlier,))
    assert replay(tmp_path).logs[-1].tolist() != found.logs[-1].tolist()
    watch = Drifting(parts)
    with Results(tmp_path, model=MODEL, drifting=watch):  # the stream is followed anew as it counts now
        assert watch.drift.logs.astype(np.float32).tolist() == found.logs[-1].tolist()
    assert replay(tmp_path).logs.tolist() == found.logs.tolist()
    hint = calibration.model_copy(update={"grouped_by": "parts.csv:part"})
    with opened(tmp_path / "table", manifest.model_copy(update={"calibration": hint})) as results:
        add(results, 0, 10)
    ended = CliRunner().invoke(app, ["drift", str(tmp_path / "table"), "--out", str(tmp_path / "drift.html")])
    assert "They are hints: the model counts parts, which its pictures' names do not tell." in ended.output
    assert "alarms are hints" in (tmp_path / "drift.html").read_text(encoding="utf-8")


def test_what_cannot_be_followed_is_said(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(InputError, match=r"results\.sqlite"):
        replay(tmp_path)
    with pytest.raises(InputError):
        restart(tmp_path)
    with Results(tmp_path, model=MODEL) as results:
        results.add(inspected(1))
    with pytest.raises(DataError, match="without --drift off"):
        replay(tmp_path)
    with opened(tmp_path / "b", manifest):
        pass
    with pytest.raises(OptionError, match=r"\.svg"):
        write_drift(tmp_path / "a.png", replay(tmp_path / "b"), title="b")


def test_the_chart_shows_alarms_and_no_name_breaks_out(tmp_path: Path, manifest: Manifest) -> None:
    with opened(tmp_path, manifest) as results:
        for number in range(90):
            results.add(inspected(number, dark=number >= 60, path=f"<b>&{'of_a_name_' * 7}{number}.png"))
    found = replay(tmp_path)
    picture = ET.fromstring(write_drift(tmp_path / "a.svg", found, title="x").read_text())  # noqa: S314 - our own
    words = " ".join(picture.itertext())
    assert "brightness, 1: has fallen since" in words
    assert "<b>&" in words
    rows = [text for text in picture.itertext() if "since" in text or "of_a_name" in text]
    assert len(rows) >= 2
    assert max(map(len, rows)) <= 112  # what is as wide as the chart
    page = write_drift(tmp_path / "a.html", found, title="<i>line").read_text()
    assert "<i>line" not in page
    assert "<b>&" not in page
    assert "at most 1 %" in page
    empty = Replay(0.01, found.drift, found.logs[:0])
    ET.fromstring(write_drift(tmp_path / "a.svg", empty, title="x").read_text())  # noqa: S314


def _full(*_: object) -> None:
    raise OutputError("results", expected="a folder that can be written", got="a full disk", fix="Make room.")


def test_inspect_tells_drift_once_and_the_command_tells_it_again(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_pictures(tmp_path / "in", 36, seed=7)
    for path in sorted(folder.iterdir())[12:]:
        pixels = np.asarray(Image.open(path)) * 0.6
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    runner, out = CliRunner(), tmp_path / "out"
    arguments = ["inspect", str(trained.folder), str(folder), "--out", str(out), "--json", "--drift", "20%"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    alarms = [line["drift"] for line in lines if line.keys() == {"drift"}]
    told = [alarm for line in lines if "path" in line for alarm in line.get("drift", ())]
    assert alarms == told
    assert "brightness" in [alarm["about"] for alarm in alarms]
    assert "Drift: Brightness has fallen" in (out / "report.html").read_text()
    again = runner.invoke(app, arguments)
    assert again.stdout == ""
    said = runner.invoke(app, [*arguments[:-3], "--drift", "20%"])
    assert said.output.count("drift, raised before: Brightness has fallen") == 1
    chart = tmp_path / "drift.html"
    shown = runner.invoke(app, ["drift", str(out), "--alpha", "20%", "--out", str(chart)])
    assert shown.exit_code == 0, shown.output
    assert "Brightness has fallen since" in shown.output
    assert "36 pictures" in shown.output
    assert chart.is_file()
    values = json.loads(runner.invoke(app, ["drift", str(out), "--alpha", "20%", "--json"]).stdout)
    assert [alarm["text"] for alarm in values["alarms"]] == [alarm["text"] for alarm in alarms]
    with monkeypatch.context() as patch:
        patch.setattr("flawscope.station.chained.append", _full)
        refused = runner.invoke(app, ["drift", str(out), "--restart"])
    assert (type(refused.exception), refused.stdout) == (OutputError, "")
    assert runner.invoke(app, ["drift", str(out), "--restart"]).exit_code == 0
    assert json.loads(runner.invoke(app, ["drift", str(out), "--json"]).stdout)["pictures"] == 0


def test_without_results_and_switched_off(inspector: Inspector, tmp_path: Path) -> None:
    paths = sorted(write_pictures(tmp_path / "in", 2).iterdir())
    dark = tmp_path / "dark"
    dark.mkdir()
    for number in range(30):
        pixels = np.asarray(Image.open(paths[0])) * (0.5 - number / 100)  # no ties, which chance breaks
        Image.fromarray(pixels.astype(np.uint8)).save(dark / f"{number:02}.png")
    many = [*paths, *sorted(dark.iterdir())]
    seen = list[Record]()
    inspect_pictures(inspector, many, emit=seen.append, drift=0.2)
    assert raised(iter(seen))
    seen.clear()
    inspect_pictures(inspector, many, emit=seen.append, drift=None, out=tmp_path / "out")
    assert not raised(iter(seen))
    assert not raised(read_records(tmp_path / "out"))
