"""Inspect many pictures with a trained model: results, overlays, counts. No torch."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from flawscope.errors import OptionError, Stopped, unknown
from flawscope.progress import Progress, Silent
from flawscope.runtime.alarm import Alarm
from flawscope.runtime.drift import ALPHA
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.record import Record
from flawscope.station.drifting import Drifting
from flawscope.station.overlays import write_overlay
from flawscope.station.patience import Made, Patience
from flawscope.station.picture import LARGE, Inspected, Wish, inspect_one
from flawscope.station.results import Results

Overlays = Literal["flagged", "all", "none"]
OVERLAYS: tuple[Overlays, ...] = ("flagged", "all", "none")
_WISHES: dict[Overlays, Wish] = {
    "flagged": lambda record: record.flagged,
    "all": lambda record: True,
    "none": lambda record: False,
}
_WORST = 10


class Keep(Protocol):
    """How results are written: at once, or with patience."""

    def __call__(self, work: Callable[[], Made], anew: Callable[[], None]) -> Made: ...


@dataclass(slots=True)
class Summary:
    """How an inspection went: pictures by verdict, skipped because already done, and unreadable.

    `worst` holds the records of the highest scores, highest first; `unread` the names of the pictures whose
    last try failed, so that one that was read after all no longer counts as unreadable. `standing` holds the
    alarms of drift that earlier inspections into the same results have raised. `large` counts pictures that
    have more tiles than those that the promise comes from. `names` says how the results name pictures, where
    that is not as they were named here.
    """

    accept: int = 0
    review: int = 0
    reject: int = 0
    skipped: int = 0
    large: int = 0
    worst: list[Record] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    standing: tuple[Alarm, ...] = ()
    names: str = ""

    @property
    def failed(self) -> int:
        """How many pictures could not be read."""
        return len(self.unread)

    def add(self, record: Record) -> None:
        """Count one answer."""
        if record.decision is None:
            self.unread.add(record.path)
            return
        self.unread.discard(record.path)
        self.large += any(LARGE in finding.values for finding in record.findings)
        setattr(self, record.decision.value, getattr(self, record.decision.value) + 1)
        ranked = sorted([*self.worst, record], key=lambda one: (one.rank, one.path), reverse=True)
        self.worst = ranked[:_WORST]


def inspect_pictures(
    inspector: Inspector,
    paths: Iterable[Path | str],
    *,
    out: Path | None = None,
    overlays: Overlays = "flagged",
    batch: int = 8,
    fresh: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
    emit: Callable[[Record], None] = lambda record: None,
    again: Callable[[Path], None] = lambda path: None,
    patience: Patience | None = None,
    drift: float | None = ALPHA,
) -> Summary:
    """Inspect `paths`; with `out`, keep the records and write overlays there, and resume.

    Records lie in results.sqlite as soon as their pictures are done; at the end, however it comes about,
    results.jsonl and results.csv are written from it. With `batch` 1 each picture is answered before the
    next is asked for, as a watched folder needs it. A picture that cannot be read is recorded with its
    error and counted; it never ends the run. Several inspections may share one `out`.

    `again` gets a picture that the system could not read, for a reason that may pass. With `patience`, a disk
    that is full or away is waited for. `drift` is the chance that good pictures of an unchanged line ever
    raise an alarm of drift (`flawscope.runtime.drift`), which the record of its picture bears; None: nothing
    is watched.

    Raises:
        OptionError: `overlays` is no such wish, or `paths` is one path in place of several.
        OutputError: `out` cannot be written, or holds results of another model.
        Stopped: `stopped()` became true; what is done is kept.
    """
    if overlays not in _WISHES:
        raise unknown("overlays", overlays, _WISHES)
    if isinstance(paths, str | Path):
        raise OptionError("paths", expected="several paths", got=f"one, {paths}", fix="Put it into a list.")
    summary = Summary()
    with contextlib.ExitStack() as stack:
        results, work = None, functools.partial(_recorded, inspector)
        watch = None if drift is None else Drifting(inspector.bundle.manifest, drift)
        keep: Keep = patience or _at_once
        total = len(paths) if isinstance(paths, list) else 0
        waiting: Iterable[Path] = map(_as_path, paths)
        if out is not None:
            results = stack.enter_context(Results(out, model=inspector.in_force, fresh=fresh, drifting=watch))
            stack.callback(results.export)
            work = functools.partial(work, views=results.shows, overlay=_WISHES[overlays])
            listed = list(waiting) if isinstance(paths, list) else waiting
            total, waiting = _waiting(listed, results, summary, keep)
        if watch is not None:
            summary.standing = tuple(watch.drift.alarms)
        stage = stack.enter_context((progress or Silent()).stage("inspecting", total))
        for inspected in inspector.each(work, waiting, batch=batch):
            record = inspected.record
            if results is not None:
                drawn = keep(functools.partial(_drawn, results, inspected), results.reopen)
                (record,) = keep(functools.partial(results.add, inspected), results.reopen)
                if record.path != drawn:  # another inspection has told meanwhile from where names are read
                    keep(functools.partial(_drawn, results, inspected), results.reopen)
            elif watch is not None:
                record = watch.seen(record)
            summary.add(record)
            if inspected.passing:
                again(Path(inspected.record.path))  # as it was named here
            emit(record)
            stage.advance()
            if stopped():
                raise _stopped(out)
        if results is not None:
            summary.names = results.names.said
    return summary


def _as_path(path: Path | str) -> Path:
    return path if isinstance(path, Path) else Path(path)


def _recorded(
    inspector: Inspector, path: Path, views: Wish = _WISHES["none"], overlay: Wish = _WISHES["none"]
) -> Inspected:
    """One picture without its arrays, of which as many would wait as pictures are in work."""
    return replace(inspect_one(inspector, path, views=views, overlay=overlay), prediction=None)


def _at_once(work: Callable[[], Made], anew: Callable[[], None]) -> Made:
    """No patience: what fails has failed."""
    del anew
    return work()


def _waiting(
    paths: Iterable[Path], results: Results, summary: Summary, keep: Keep
) -> tuple[int, Iterable[Path]]:
    """Those that wait, and how many at least; 0 where nobody knows.

    Of a list those come first that have no answer, which the store alone can tell; the files of all others
    are looked at later. Of a stream they come one by one, for it may know no more than the next.
    """
    if not isinstance(paths, list):
        return 0, _arriving(paths, results, summary, keep)
    new = list(results.new(paths))
    summary.skipped += len(paths) - len(new)

    def changed() -> Iterator[Path]:
        for path in results.changed(paths):
            summary.skipped -= 1
            yield path

    return len(new), itertools.chain(new, changed())


def _arriving(paths: Iterable[Path], results: Results, summary: Summary, keep: Keep) -> Iterator[Path]:
    for path in paths:
        if keep(functools.partial(_waits, results, path), results.reopen):
            yield path
        else:
            summary.skipped += 1


def _waits(results: Results, path: Path) -> bool:
    return any(results.new([path])) or any(results.changed([path]))


def _drawn(results: Results, inspected: Inspected) -> str:
    """Write the overlay of a picture, before its record says that it is done; the name that it is by."""
    named = results.named(inspected)
    write_overlay(results.folder, named)
    return named.record.path


def _stopped(out: Path | None) -> Stopped:
    fix = "Nothing was written; with --out, the same command again goes on where it stopped."
    if out is not None:
        fix = f"Run the same command again to go on; results so far are in {out}."
    return Stopped("inspection", expected="to run to its end", got="a request to stop", fix=fix)
