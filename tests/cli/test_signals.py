"""A process that is asked to stop ends: in order, and at the second signal whatever holds it up."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trained import Trained, write_pictures

PLAIN = """
import sqlite3, sys, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor
from flawscope.cli import signals

signals.PATIENCE = 10 if sys.argv[1] == "cleanup" else 0.3  # a busy machine clears up slowly

def pool():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(threading.Event().wait).result()

def native():
    counting = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    sqlite3.connect(":memory:").execute(counting)

def cleanup():
    with tempfile.TemporaryDirectory(dir=sys.argv[2]):
        while True:
            time.sleep(0.01)

with signals.second_signal_ends(), signals.stop_on_interrupt():
    print("working", flush=True)
    {"pool": pool, "native": native, "cleanup": cleanup}[sys.argv[1]]()
"""

COMMAND = """
import sys, threading
from flawscope.cli import main, signals
from flawscope.runtime.engines.onnxruntime import OnnxRuntime

opened, lock, run = threading.Event(), threading.Lock(), OnnxRuntime.run

def hang(engine, feeds):
    answer = run(engine, feeds)
    if opened.is_set() and lock.acquire(blocking=False):
        print("working", flush=True)
    if opened.is_set():
        threading.Event().wait()
    opened.set()
    return answer

signals.PATIENCE, OnnxRuntime.run = 0.3, hang
main()
"""


def ended(script: str, *arguments: object, asking: tuple[signal.Signals, ...]) -> tuple[int, str]:
    """Exit code and standard error of a script that was asked to end once it said that it is working."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(  # noqa: S603 - our own script
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "working\n"
            for number in asking:
                process.send_signal(number)
                time.sleep(0.2)
            _, told = process.communicate(timeout=20)
        finally:
            process.kill()
    return process.returncode, told


@pytest.mark.parametrize("asking", [(signal.SIGINT,) * 2, (signal.SIGTERM,) * 2], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("held_up_by", ["pool", "native"])
def test_the_second_signal_ends_what_hangs(
    tmp_path: Path, held_up_by: str, asking: tuple[signal.Signals, ...]
) -> None:
    code, told = ended(PLAIN, held_up_by, tmp_path, asking=asking)
    assert code == 130
    assert "ended at once" in told


def test_the_second_signal_leaves_time_to_clear_up(tmp_path: Path) -> None:
    code, told = ended(PLAIN, "cleanup", tmp_path, asking=(signal.SIGTERM, signal.SIGINT))
    assert list(tmp_path.iterdir()) == []
    assert (code, "ended at once" in told) == (-signal.SIGINT, False)  # not caught here, as `main` does


@pytest.mark.parametrize("command", ["inspect", "evaluate"])
def test_a_command_whose_engine_hangs_can_be_ended(trained: Trained, tmp_path: Path, command: str) -> None:
    write_pictures(tmp_path / "in" / "good", 3, seed=5)
    code, told = ended(
        COMMAND,
        command,
        trained.folder,
        tmp_path / "in",
        asking=(signal.SIGINT,) * 3,
    )
    assert code == 130
    assert "Traceback" not in told


def test_one_signal_ends_a_command_in_order_and_says_so(trained: Trained, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in" / "good", 3, seed=5)
    slow = COMMAND.replace("Event().wait()", "Event().wait(0.3)")
    code, told = ended(slow, "evaluate", trained.folder, tmp_path / "in", asking=(signal.SIGINT,))
    assert code == 130
    assert told.endswith("flawscope: stopped.\n")
    assert "Traceback" not in told
