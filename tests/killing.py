"""Processes that are killed while they write: at each of their steps in turn."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator

import pytest

_STEPS = {"os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.utime", "os.symlink"}


def killed_at_each_step(prepare: Callable[[], object], work: Callable[[], object]) -> Iterator[int]:
    """Let `work` run in a process that is killed before its first change of a file, its second, and so on.

    `prepare` runs before each; the caller's block after each kill, and once more when nothing was left to
    interrupt. What is not Python's own, such as SQLite's writing, is no step.
    """
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    step, killed = 0, True
    while killed:
        step += 1
        prepare()
        killed = _killed_before(step, work)
        yield step
    assert step > 1, "nothing was written"


def _killed_before(step: int, work: Callable[[], object]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, which do nothing here
        process = os.fork()
    if process == 0:
        try:
            sys.addaudithook(_killing(step))
            work()
        except BaseException:  # noqa: BLE001 - told, and the process ends
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work itself failed"
    return False


def _killing(step: int) -> Callable[[str, tuple[object, ...]], None]:
    left = step

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if writes or event in _STEPS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook
