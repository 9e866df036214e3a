"""A folder that is watched: its pictures as they arrive, whatever happens to it meanwhile."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from flawscope.data.layouts.annotations import ArrivingMasks
from flawscope.runtime.record import State
from flawscope.station.tree import Tree

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

SETTLE = 0.3  # s
_LATEST, _OTHERS = 1000, 500  # files whose state is asked for at each look: the latest, and others in turn
_SHARE = 20  # a look takes a twentieth of a core at most
_FORGET = 100_000  # pictures that are gone, whose state is remembered all the same
_LONGEST = 60.0  # s between two tries of a file that cannot be read
_LOCKS = (".lock", ".lck")


class Arrivals:
    """Pictures of `folder` and all below it as they arrive, oldest first, until `stopped()`.

    A picture has arrived once its size and time have stood still for `settle` seconds and nobody holds a
    lock on it: a file `NAME.lock` or `NAME.lck` beside it, or the system's own lock. With `settle` 0 it has
    arrived as soon as it is seen, which is right where it is written under another name and renamed. One that
    is written again arrives again: among the latest thousand files at once, among a hundred thousand within a
    minute or two. The folder `besides`, where results go, is not watched; masks of pictures that are there
    are passed over, as `station.sources.collect` does.

    A folder that cannot be read, as of a share that is away for a while, is waited for. `tell` gets a
    sentence about that, and about what is no regular file. A look takes a twentieth of a core at most.
    """

    def __init__(
        self,
        folder: Path,
        *,
        stopped: Callable[[], bool],
        besides: Path | None = None,
        settle: float = SETTLE,
        interval: float = 0.25,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._stopped, self._settle = stopped, settle
        self._interval, self._pause = interval, min(interval, settle / 3 or interval, 0.1)
        within = besides is not None and folder.resolve().is_relative_to(besides.resolve())
        self._tree = None if within else Tree(folder, besides=besides, tell=tell)
        self._masks, self._tell = ArrivingMasks(folder), tell
        self._mask_told = False
        self._known: dict[str, None] = {}  # files that are there, the latest last
        self._turn: Iterator[str] = iter(())  # the others, one after the other
        self._done: dict[str, State] = {}
        self._pending: dict[str, tuple[State | None, float]] = {}  # and since when they stand still
        self._tries = Counter[str]()

    def __iter__(self) -> Iterator[Path]:
        next_look, cost = 0.0, 0.0
        while not self._stopped():
            if self._tree is not None and time.monotonic() >= next_look:
                before, start = cost, time.thread_time()
                self._look(self._tree, time.monotonic())
                cost = time.thread_time() - start
                # one look that costs more than others, as the first, is no reason to wait
                next_look = time.monotonic() + max(self._interval, _SHARE * min(before, cost))
            arrived = self._arrived()
            for _, path, state in arrived:
                if self._stopped():
                    return
                self._done[path] = state
                del self._pending[path]
                if not self._is_mask(Path(path)):
                    yield Path(path)
            if not arrived:
                time.sleep(self._pause)

    def again(self, path: Path) -> None:
        """Hand `path`, which could not be read, out once more: after a second, later after up to a minute."""
        name = str(path)
        self._tries[name] += 1
        wait = min(2.0 ** (self._tries[name] - 1), _LONGEST)
        self._pending[name] = (self._done.pop(name, None), time.monotonic() + wait - self._settle)

    def _look(self, tree: Tree, now: float) -> None:
        came, went = tree.look()
        for path in went:
            self._known.pop(path, None)
            self._masks.discard(Path(path))
            self._pending.pop(path, None)
            self._tries.pop(path, None)
        for path, state in sorted(came, key=lambda one: one[1][1] if one[1] else 0):
            self._latest(path)
            self._masks.add(Path(path))
            if state is None or self._done.get(path) != state:
                self._pending[path] = (state, now)
        if len(self._done) > 2 * len(self._known) + _FORGET:
            self._done = {path: state for path, state in self._done.items() if path in self._known}
        for path in self._some():
            state = _state(path)
            if state is not None and path not in self._pending and self._done.get(path) != state:
                self._latest(path)
                self._pending[path] = (state, now)

    def _is_mask(self, path: Path) -> bool:
        if path not in self._masks:
            return False
        if not self._mask_told:
            self._mask_told = True
            self._tell(f"{path} is passed over: a mask of a picture, by its name. So are all others.")
        return True

    def _latest(self, path: str) -> None:
        self._known.pop(path, None)
        self._known[path] = None

    def _some(self) -> list[str]:
        """Files to ask for: the latest, and those whose turn it is."""
        latest = list(islice(reversed(self._known), _LATEST))
        others = list(islice(self._turn, _OTHERS))
        if not others:
            self._turn = iter(list(self._known)[:-_LATEST])
        return latest + others

    def _arrived(self) -> list[tuple[int, str, State]]:
        """Those that stand still and are not locked: time, name and state, oldest first."""
        now, found = time.monotonic(), list[tuple[int, str, State]]()
        for path, (before, since) in list(self._pending.items()):
            state = _state(path)
            if state is None:
                continue
            if state != before:
                self._pending[path] = (state, now)
            still = now - (since if state == before else now)
            if still >= self._settle and not _locked(path):
                found.append((state[1], path, state))
        return sorted(found)


def _state(path: str) -> State | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - called often
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _locked(path: str) -> bool:
    """Whether whoever writes the file still holds it."""
    stem = os.path.splitext(path)[0]  # noqa: PTH122 - called often
    if any(os.path.exists(name + lock) for name in (path, stem) for lock in _LOCKS):  # noqa: PTH110
        return True
    if fcntl is None:  # Windows, where a file that is held cannot be opened
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:  # reading it will tell why
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:  # a disk without locks
        return False
    finally:
        os.close(handle)
    return False
