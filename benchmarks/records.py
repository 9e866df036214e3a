"""Time a million records: adding, opening, resuming, exporting and verifying them, and the memory.

    python benchmarks/records.py [--count 1000000] [--out benchmarks/results/records.json]

The pictures are small files that exist, 1000 of them under a thousand names of their folder, so that asking
for their state costs what it costs in practice. Each step runs in a process of its own; wall and processor
seconds are told, since other work may share the machine, and the growth of the peak of resident memory
(`resume` holds the list of all names, as the command line does; `stream` shows what the store itself takes).
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from flawscope.files import digest, write_text
from flawscope.runtime.in_force import InForce
from flawscope.runtime.machine import hardware
from flawscope.runtime.prediction import Decision, Finding, Prediction, Region
from flawscope.runtime.record import Record
from flawscope.station.audit import audit
from flawscope.station.picture import Inspected
from flawscope.station.results import Results
from flawscope.station.states import file_state

FILES = 1000
MODEL = InForce(folder="models/m", manifest="", model="m", calibration="c", engine="none")
IDENTITY = MODEL.identity
TOGETHER = 10_000  # records a commit while the store is filled


def paths(folder: Path, count: int) -> Iterator[Path]:
    """The pictures' names, each one once; the files behind them are shared."""
    for index in range(count):
        yield folder / f"line{index // FILES:04d}" / f"{index % FILES:04d}.png"


def make_pictures(folder: Path, count: int) -> None:
    """A thousand files in one folder, and further names of that folder."""
    first = folder / "line0000"
    first.mkdir(parents=True)
    for index in range(FILES):
        (first / f"{index:04d}.png").write_bytes(b"pixels")
    for index in range(1, -(-count // FILES)):
        (folder / f"line{index:04d}").symlink_to(first)


def inspected(path: Path, index: int) -> Inspected:
    """One picture in ten is flagged and has a finding with a region."""
    flagged = index % 10 == 0
    score = (index * 7919 % 100_003) / 1000
    region = Region(box=(8, 8, 40, 40), area=900, peak=(20, 20), peak_score=score)
    findings = (
        (Finding("unusual area 32 x 32 px around (24, 24)", {"score": score}, region),) if flagged else ()
    )
    verdict = Decision.REJECT if flagged else Decision.ACCEPT
    answer = Prediction(score, 0.5, verdict, findings=findings)
    record = Record.of(path, answer, state=file_state(path), model=IDENTITY, picture=digest(bytes(path)))
    return Inspected(record)


def fill(folder: Path, count: int) -> dict[str, Any]:
    """Add all records, ten thousand a commit; then a thousand more, each in its own commit as usual."""
    with Results(folder / "out", model=MODEL) as results:
        found = (inspected(path, index) for index, path in enumerate(paths(folder, count)))
        while chunk := list(islice(found, TOGETHER)):
            results.add(*chunk)
        start = time.perf_counter()
        for index in range(1000):
            results.add(inspected(folder / f"more{index}.png", index))
        each = (time.perf_counter() - start) / 1000
    return {"one_record_one_commit_ms": round(each * 1e3, 3)}


def open_only(folder: Path, count: int) -> dict[str, Any]:
    """Open the store."""
    del count
    Results(folder / "out", model=MODEL).close()
    return {}


def resume(folder: Path, count: int) -> dict[str, Any]:
    """Open the store and ask which of all pictures are new, after which work begins; then, which changed."""
    listed = list(paths(folder, count))  # as `collect` hands them over
    for path in listed:
        str(path)
    start, busy = time.perf_counter(), time.process_time()
    with Results(folder / "out", model=MODEL) as results:
        new = list(results.new(listed))
        found = {"seconds": time.perf_counter() - start, "processor_seconds": time.process_time() - busy}
        busy = time.process_time()
        changed = list(results.changed(listed))
    compared = time.process_time() - busy
    return {**found, "new": len(new), "files_compared_processor_seconds": compared, "changed": len(changed)}


def stream(folder: Path, count: int) -> dict[str, Any]:
    """The last with names that come one by one, so that memory tells what the store itself takes."""
    with Results(folder / "out", model=MODEL) as results:
        return {"changed": sum(1 for _ in results.changed(paths(folder, count)))}


def export(folder: Path, count: int) -> dict[str, Any]:
    """Write results.jsonl and results.csv."""
    del count
    with Results(folder / "out", model=MODEL) as results:
        results.export()
    return {}


def verify(folder: Path, count: int) -> dict[str, Any]:
    """Recompute the chain and compare every record with it."""
    del count
    found = audit(folder / "out")
    return {"whole": found.whole, "rows": found.rows.total()}


STEPS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    step.__name__: step for step in (fill, open_only, resume, stream, export, verify)
}


def measured(step: str, folder: Path, count: int) -> dict[str, Any]:
    """Seconds and growth of the peak memory of one step; a step's own seconds win."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, busy = time.perf_counter(), time.process_time()
    found = {"seconds": 0.0, "processor_seconds": 0.0} | STEPS[step](folder, count)
    found["seconds"] = found["seconds"] or time.perf_counter() - start
    found["processor_seconds"] = found["processor_seconds"] or time.process_time() - busy
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()}
    return rounded | {"peak_memory_growth_mib": round(grown, 1)}


def main() -> None:
    """Run each step in a process of its own, or one step where `--step` names it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(measured(arguments.step, arguments.folder, arguments.count)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder, arguments.count)
        steps = {}
        for step in STEPS:
            command = [
                sys.executable,
                __file__,
                "--step",
                step,
                "--folder",
                name,
                "--count",
                str(arguments.count),
            ]
            steps[step] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            print(step, steps[step], flush=True)
        sizes = {path.name: path.stat().st_size for path in sorted((folder / "out").iterdir())}
    result = {
        "command": f"python benchmarks/records.py --count {arguments.count}",
        "machine": hardware(),
        "versions": {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version},
        "records": arguments.count,
        "steps": steps,
        "bytes": sizes,
    }
    if arguments.out:
        write_text(arguments.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
