"""Inspecting many pictures: interrupted, watched, with pictures that vanish, change or cannot be read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flawscope.errors import Stopped
from flawscope.runtime.images import read_image
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.record import Record
from flawscope.station.inspection import inspect_pictures
from flawscope.station.picture import inspect_one
from flawscope.station.results import read_records
from flawscope.station.sources import collect, watch
from trained import Trained, write_pictures


@pytest.fixture(scope="module")
def inspector(trained: Trained) -> Inspector:
    return Inspector.load(trained.folder, threads=1)


def test_a_stop_keeps_what_is_done_and_the_next_call_goes_on(inspector: Inspector, tmp_path: Path) -> None:
    paths = collect([write_pictures(tmp_path / "in", 5, spot=True)])
    done: list[Record] = []
    with pytest.raises(Stopped, match="Run the same command again"):
        inspect_pictures(
            inspector, paths, out=tmp_path / "out", stopped=lambda: len(done) == 2, emit=done.append
        )
    assert len(list(read_records(tmp_path / "out"))) == 2
    summary = inspect_pictures(inspector, paths, out=tmp_path / "out")
    assert (summary.skipped, summary.reject) == (2, 3)
    assert len(list(read_records(tmp_path / "out"))) == 5


def test_a_picture_that_vanishes_after_its_verdict_ends_nothing(inspector: Inspector, tmp_path: Path) -> None:
    paths = collect([write_pictures(tmp_path / "in", 3, spot=True)])

    def vanishing() -> Iterator[Path]:
        for path in paths:
            yield path
            path.unlink(missing_ok=True)

    summary = inspect_pictures(inspector, vanishing(), out=tmp_path / "out", overlays="all", batch=1)
    assert summary.reject + summary.failed == 3
    assert len(list(read_records(tmp_path / "out"))) == 3


def test_a_picture_that_is_replaced_is_inspected_again(inspector: Inspector, tmp_path: Path) -> None:
    good = write_pictures(tmp_path / "good", 1, seed=8) / "000.png"
    latest = write_pictures(tmp_path / "in", 1, spot=True) / "000.png"
    inspect_pictures(inspector, [latest], out=tmp_path / "out")
    assert len(list((tmp_path / "out" / "overlays" / "reject").iterdir())) == 1
    latest.write_bytes(good.read_bytes())
    inspect_pictures(inspector, [latest], out=tmp_path / "out", overlays="all")
    (record,) = read_records(tmp_path / "out")
    assert record.decision != "reject"
    assert not list((tmp_path / "out" / "overlays" / "reject").iterdir())


def test_a_watched_folder_is_answered_picture_by_picture_and_not_its_results(
    inspector: Inspector, tmp_path: Path
) -> None:
    folder = write_pictures(tmp_path / "in", 2, spot=True)
    stop = threading.Event()
    seen: list[Record] = []

    def emit(record: Record) -> None:
        seen.append(record)
        if len(seen) == 2:
            write_pictures(folder / "later", 1, seed=4)
        if len(seen) == 3:
            stop.set()

    arriving = watch(folder, stopped=stop.is_set, besides=folder / "out", interval=0.01, settle=0.02)
    inspect_pictures(inspector, arriving, out=folder / "out", overlays="all", batch=1, emit=emit)
    assert [Path(record.path).parent.name for record in seen] == ["in", "in", "later"]


def test_results_inside_the_inspected_folder_are_left_out(inspector: Inspector, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "in", 2, spot=True)
    for _ in range(2):
        paths = collect([folder], besides=folder / "results")
        inspect_pictures(inspector, paths, out=folder / "results")
    assert len(list(read_records(folder / "results"))) == 2


def test_names_that_are_no_text_are_survived(inspector: Inspector, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "in", 1)
    odd = folder / "Pr\udcfcfteil.png"
    odd.write_bytes((folder / "000.png").read_bytes())
    for skipped in (0, 1):
        assert inspect_pictures(inspector, [odd], out=tmp_path / "out", overlays="all").skipped == skipped
    assert [record.path for record in read_records(tmp_path / "out")] == [str(odd)]


def test_one_picture_is_inspected_without_keeping_anything(inspector: Inspector, tmp_path: Path) -> None:
    (path,) = collect([write_pictures(tmp_path / "in", 1, spot=True)])
    plain = inspect_one(inspector, path)
    assert (plain.views, plain.overlay) == (None, b"")
    assert plain.record.model == inspector.identity
    assert plain.record.score == inspector.inspect(path).score
    drawn = inspect_one(inspector, path, views=lambda record: record.flagged, overlay=lambda record: True)
    assert drawn.record == plain.record
    assert drawn.views is not None
    assert read_image(drawn.views.thumbnail).shape == read_image(drawn.overlay).shape == (64, 64, 3)
    missing = inspect_one(inspector, tmp_path / "absent.png", views=lambda record: True)
    assert (missing.record.state, missing.views) == (None, None)
    assert "absent.png" in (missing.record.error or "")
