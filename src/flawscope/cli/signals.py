"""How a process ends when asked to: in order at the first signal, at the second whatever holds it up."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from flawscope.cli.console import Bars, note, silent
from flawscope.errors import Stopped

if TYPE_CHECKING:
    from flawscope.nn.run import Run, RunPrecision
    from flawscope.nn.watch import Watch

PATIENCE = 2.0  # seconds that the second signal leaves for an end in order
_ASKING = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """The first Ctrl-C (or SIGTERM) asks for an orderly end, the second ends at once."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in _ASKING}

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        name = "Ctrl-C" if number == signal.SIGINT else "a request to stop"
        note(f"{name}: ending at the next safe point; once more ends at once.")

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interruptible_run(
    *, seed: int = 0, device: str = "cpu", precision: RunPrecision = "auto", quiet: bool
) -> Iterator[tuple[Run, Watch]]:
    """A run, and a watch that shows bars and sentences unless `quiet`, and that Ctrl-C stops in order."""
    from flawscope.nn.run import Run
    from flawscope.nn.watch import Watch

    with stop_on_interrupt() as stop:
        run = Run(seed=seed, device=device, precision=precision)
        yield run, Watch(Bars(quiet=quiet), stop, silent if quiet else note)


@contextlib.contextmanager
def second_signal_ends() -> Iterator[None]:
    """The second Ctrl-C or SIGTERM ends the process, even where its end waits for a thread that hangs.

    Python calls its handlers in the main thread, which may wait for workers or be in native code, so another
    thread counts. The second signal leaves two seconds for an orderly end, the third none. Once a first one
    came, that holds after the block as well, where the interpreter waits for threads and a Ctrl-C raises
    nothing any more.
    """
    ours, told = socket.socketpair()
    told.setblocking(False)
    asked = threading.Event()
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_on_second, args=(ours, asked), name="signals", daemon=True).start()
    try:
        yield
    except BaseException as ended:
        if interrupted(ended):
            asked.wait(PATIENCE)  # until the other thread had its turn
        raise
    finally:
        if not asked.is_set():
            signal.set_wakeup_fd(before)
            told.close()
        else:
            signal.signal(signal.SIGINT, lambda number, frame: None)
            told.detach()  # stays open


def interrupted(ended: BaseException) -> bool:
    """Whether a command ended since it was asked to; typer makes a SystemExit of a KeyboardInterrupt."""
    by_typer = isinstance(ended, SystemExit) and ended.code == Stopped.exit_code
    return by_typer or isinstance(ended, KeyboardInterrupt | Stopped)


def _end_on_second(ours: socket.socket, asked: threading.Event) -> None:
    with ours:
        for _ in range(2):
            while (number := ours.recv(1)) and number[0] not in _ASKING:
                pass
            if not number:
                return
            asked.set()
        ours.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            ours.recv(1)
    with contextlib.suppress(OSError, ValueError):
        os.write(2, (_SHOW_CURSOR if sys.stderr.isatty() else b"") + b"flawscope: ended at once.\n")
    os._exit(Stopped.exit_code)
