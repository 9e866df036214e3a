"""Inspecting many pictures: interrupted, watched, with pictures that vanish, change or cannot be read."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flawscope.errors import InputError, OptionError, OutputError, Stopped
from flawscope.files import unwritable, write_atomically
from flawscope.runtime.images import read_image
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.record import Record
from flawscope.station.arrivals import Arrivals
from flawscope.station.inspection import inspect_pictures
from flawscope.station.patience import Patience
from flawscope.station.picture import inspect_one
from flawscope.station.results import read_records
from flawscope.station.sources import collect
from trained import Trained, write_pictures


@pytest.fixture(scope="module")
def inspector(trained: Trained) -> Inspector:
    return Inspector.load(trained.folder, threads=1)


def test_an_unknown_wish_and_one_path_alone_are_refused(inspector: Inspector, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match='Did you mean "flagged"'):
        inspect_pictures(inspector, [], out=tmp_path, overlays="flag")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="expected several paths, got one"):
        inspect_pictures(inspector, "part.png")


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


def test_a_picture_that_cannot_be_read_any_more_has_no_overlay(inspector: Inspector, tmp_path: Path) -> None:
    latest = write_pictures(tmp_path / "in", 1, spot=True) / "000.png"
    inspect_pictures(inspector, [latest], out=tmp_path / "out")
    latest.write_text("half of it")
    assert inspect_pictures(inspector, [latest], out=tmp_path / "out").failed == 1
    assert not list((tmp_path / "out" / "overlays" / "reject").iterdir())


def test_an_overlay_that_could_not_be_written_is_made_by_the_next_call(
    inspector: Inspector, tmp_path: Path
) -> None:
    paths = collect([write_pictures(tmp_path / "in", 2, spot=True)])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "overlays").write_text("in the way")
    with pytest.raises(OutputError, match="overlays"):
        inspect_pictures(inspector, paths, out=tmp_path / "out")
    (tmp_path / "out" / "overlays").unlink()
    assert inspect_pictures(inspector, paths, out=tmp_path / "out").skipped == 0
    assert len(list((tmp_path / "out" / "overlays" / "reject").iterdir())) == 2


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

    arriving = Arrivals(folder, stopped=stop.is_set, besides=folder / "out", interval=0.01, settle=0.02)
    inspect_pictures(inspector, arriving, out=folder / "out", overlays="all", batch=1, emit=emit)
    assert [Path(record.path).parent.name for record in seen] == ["in", "in", "later"]


def ending(counted: list[Record], count: int) -> Callable[[], bool]:
    """Whether `count` answers were given, or ten seconds are over."""
    end = time.monotonic() + 10
    return lambda: len(counted) >= count or time.monotonic() > end


def test_a_picture_that_was_read_after_all_counts_once(inspector: Inspector, tmp_path: Path) -> None:
    path = write_pictures(tmp_path / "in", 1, spot=True) / "000.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    seen: list[Record] = []

    def emit(record: Record) -> None:
        seen.append(record)
        if len(seen) == 1:
            path.write_bytes(whole)

    arriving = Arrivals(tmp_path / "in", stopped=ending(seen, 2), interval=0.01, settle=0.02)
    summary = inspect_pictures(inspector, arriving, out=tmp_path / "out", batch=1, emit=emit)
    assert [record.error is None for record in seen] == [False, True]
    assert (summary.failed, summary.reject) == (0, 1)
    assert [record.error for record in read_records(tmp_path / "out")] == [None]


@pytest.mark.parametrize("refusal", [errno.EIO, errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("step", ["stat", "open"])
def test_a_picture_on_a_share_that_blinks_is_read_again(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int, step: str
) -> None:
    folder = write_pictures(tmp_path / "in", 1, spot=True)
    taken = getattr(Path, step)
    seen: list[Record] = []

    def blinking(path: Path, *how: Any, **more: Any) -> Any:
        if path.parent == folder and not seen:
            raise OSError(refusal, os.strerror(refusal), str(path))
        return taken(path, *how, **more)

    monkeypatch.setattr(Path, step, blinking)
    arriving = Arrivals(folder, stopped=ending(seen, 2), interval=0.01, settle=0.02)
    summary = inspect_pictures(inspector, arriving, batch=1, emit=seen.append, again=arriving.again)
    assert os.strerror(refusal).lower() in (seen[0].error or "")
    assert (summary.failed, summary.reject, len(seen)) == (0, 1, 2)


def test_a_disk_that_is_full_is_waited_for(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = collect([write_pictures(tmp_path / "in", 2, spot=True)])
    write, full = write_atomically, [3]

    @contextlib.contextmanager
    def filling(path: Path) -> Iterator[Any]:
        if full[0]:
            full[0] -= 1
            raise unwritable(path, OSError(errno.ENOSPC, "No space left on device")) from OSError(
                errno.ENOSPC
            )
        with write(path) as stream:
            yield stream

    monkeypatch.setattr("flawscope.station.overlays.write_atomically", filling)
    told: list[str] = []
    patience = Patience(told.append, lambda: False, pause=0.01)
    summary = inspect_pictures(inspector, iter(paths), out=tmp_path / "out", batch=1, patience=patience)
    assert summary.reject == 2
    assert len(told) == 2
    assert "no space left on device" in told[0]
    assert len(list(read_records(tmp_path / "out"))) == 2
    assert len(list((tmp_path / "out" / "overlays" / "reject").iterdir())) == 2
    full[0] = 1
    with pytest.raises(OutputError, match="no space left"):  # who wants it to end need not wait
        inspect_pictures(
            inspector, iter(paths), out=tmp_path / "b", batch=1, patience=Patience(told.append, lambda: True)
        )


def test_results_whose_folder_went_are_made_again(inspector: Inspector, tmp_path: Path) -> None:
    paths = collect([write_pictures(tmp_path / "in", 3, spot=True)])
    seen: list[Record] = []

    def emit(record: Record) -> None:
        seen.append(record)
        if len(seen) == 1:
            (tmp_path / "out").rename(tmp_path / "away")

    patience = Patience(lambda line: None, lambda: False, pause=0.01)
    inspect_pictures(inspector, iter(paths), out=tmp_path / "out", batch=1, emit=emit, patience=patience)
    kept = [record.path for folder in ("away", "out") for record in read_records(tmp_path / folder)]
    assert sorted(kept) == [str(path) for path in paths]


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_is_refused_and_never_waited_for(
    inspector: Inspector, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "a.png"
    with socket.socket(socket.AF_UNIX) as served:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            served.bind(str(path))
        else:
            path.symlink_to("/dev/zero")
        (record,) = (inspect_one(inspector, one).record for one in collect([path]))
    assert "got a pipe, a socket or a device" in (record.error or "")


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


def test_a_name_that_is_too_long_is_one_picture_that_cannot_be_read(
    inspector: Inspector, tmp_path: Path
) -> None:
    (path,) = collect([write_pictures(tmp_path / "in", 1)])
    names = collect([tmp_path / f"{'a' * 300}.png", path])
    summary = inspect_pictures(inspector, names, out=tmp_path / "out")
    assert (summary.failed, summary.accept) == (1, 1)
    (refused,) = (record.error for record in read_records(tmp_path / "out") if record.error is not None)
    assert "name too long" in refused


def test_names_may_be_text_and_need_not_be_such_that_a_file_can_have(
    inspector: Inspector, tmp_path: Path
) -> None:
    (path,) = collect([write_pictures(tmp_path / "in", 1)])
    assert inspect_one(inspector, str(path)).record == inspect_one(inspector, path).record
    names = [str(path), f"{path}\0.png"]
    for given in (names, iter(names)):
        out = tmp_path / type(given).__name__
        assert inspect_pictures(inspector, given, out=out).failed == 1
        read, refused = read_records(out)
        assert (read.path, read.error) == (str(path), None)
        assert "null byte" in (refused.error or "")
    with pytest.raises(InputError, match="null byte"):
        inspector.inspect(names[1])
