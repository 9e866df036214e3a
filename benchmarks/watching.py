"""Watch a hundred thousand pictures: processor share, and the time from a picture's arrival to its turn.

    python benchmarks/watching.py [--count 100000] [--out benchmarks/results/watching.json]

The pictures lie in one folder (`flat`) or in a hundred (`tree`). Nothing is inspected. The share of a core is
processor time, so other work on the machine does not count; the seconds to a picture's turn do wait for it.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from flawscope.files import write_text
from flawscope.runtime.machine import hardware
from flawscope.station.arrivals import SETTLE, Arrivals

QUIET, ARRIVING = 10.0, 20  # seconds without arrivals, and pictures that arrive then, one every two seconds


def measured(root: Path, count: int, folders: int) -> dict[str, Any]:
    """Shares and seconds with `count` pictures in `folders` folders."""
    places = [root / f"{index:03d}" for index in range(folders)]
    for index, place in enumerate(places):
        place.mkdir(parents=True)
        for number in range(index, count, folders):
            (place / f"{number:06d}.png").write_bytes(b"pixels")
    ended = threading.Event()
    turns: list[float] = []

    def watch() -> None:
        for _ in Arrivals(root, stopped=ended.is_set):
            turns.append(time.monotonic())  # noqa: PERF401 - read while it grows

    thread = threading.Thread(target=watch)
    thread.start()
    while len(turns) < count:
        time.sleep(0.1)
    time.sleep(5)
    busy = time.process_time()
    time.sleep(QUIET)
    quiet = (time.process_time() - busy) / QUIET
    waits, busy, start = [], time.process_time(), time.monotonic()
    for index in range(ARRIVING):
        known, arrived = len(turns), time.monotonic()
        (places[index % folders] / f"new{index}.png").write_bytes(b"pixels")
        while len(turns) == known:
            time.sleep(0.005)
        waits.append(turns[-1] - arrived)
        time.sleep(max(0.0, start + 2 * (index + 1) - time.monotonic()))
    arriving = (time.process_time() - busy) / (time.monotonic() - start)
    ended.set()
    thread.join()
    return {
        "core_share_quiet": round(quiet, 4),
        "core_share_while_pictures_arrive": round(arriving, 4),
        "seconds_to_turn_median": round(float(np.median(waits)), 3),
        "seconds_to_turn_most": round(max(waits), 3),
    }


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found = {}
    for name, folders in (("flat", 1), ("tree", 100)):
        with tempfile.TemporaryDirectory() as root:
            found[name] = measured(Path(root), arguments.count, folders)
            print(name, found[name], flush=True)
    result = {
        "command": f"python benchmarks/watching.py --count {arguments.count}",
        "machine": hardware(),
        "versions": {"python": platform.python_version()},
        "pictures": arguments.count,
        "settle_seconds": SETTLE,
        "steps": found,
    }
    if arguments.out:
        write_text(arguments.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
