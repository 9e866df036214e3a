"""Time a million records: adding, opening, resuming, exporting and verifying them, and the memory.

    python benchmarks/records.py [--count 1000000] [--work FOLDER] [--out benchmarks/results/records.json]

The pictures are small files that exist, 1000 of them under a thousand names of their folder, so that asking
for their state costs what it costs in practice. Each step runs in a process of its own; wall and processor
seconds are told, since other work may share the machine, and the growth of the peak of resident memory
(`resume` holds the list of all names, as the command line does; `stream` shows what the store itself takes).

With --work the store and what was measured stay there, and the same command again goes on: with the step that
is next, and of `fill`, which goes in pieces of 50 000 records, with the records that are missing. Where a
kill ended a piece, its seconds are lost, and `fill` tells how many records its seconds are of.
"""

from __future__ import annotations

import argparse
import contextlib
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
PIECE = 50_000  # records that one process adds
STORE, DONE = "out", "steps.json"  # in the folder that the work is done in


def paths(folder: Path, count: int) -> Iterator[Path]:
    """The pictures' names, each one once; the files behind them are shared."""
    for index in range(count):
        yield folder / f"line{index // FILES:04d}" / f"{index % FILES:04d}.png"


def make_pictures(folder: Path, count: int) -> None:
    """A thousand files in one folder, and further names of that folder."""
    first = folder / "line0000"
    first.mkdir(parents=True, exist_ok=True)
    for index in range(FILES):
        if not (path := first / f"{index:04d}.png").exists():  # others would be taken for changed ones
            path.write_bytes(b"pixels")
    for index in range(1, -(-count // FILES)):
        with contextlib.suppress(FileExistsError):
            (folder / f"line{index:04d}").symlink_to(first.name)


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
    """Add the next records, ten thousand a commit."""
    with Results(folder / STORE, model=MODEL) as results:
        with contextlib.closing(sqlite3.connect(folder / STORE / "results.sqlite")) as base:
            (present,) = base.execute("SELECT count(*) FROM records").fetchone()
        wanted = islice(enumerate(paths(folder, count)), present, present + PIECE)
        found, added = (inspected(path, index) for index, path in wanted), 0
        while chunk := list(islice(found, TOGETHER)):
            results.add(*chunk)
            added += len(chunk)
    return {"records": added}


def singly(folder: Path, count: int) -> dict[str, Any]:
    """Add a thousand more, each in its own commit as usual."""
    del count
    with Results(folder / STORE, model=MODEL) as results:
        start = time.perf_counter()
        for index in range(1000):
            results.add(inspected(folder / f"more{index}.png", index))
    return {"one_record_one_commit_ms": round(time.perf_counter() - start, 3)}


def open_only(folder: Path, count: int) -> dict[str, Any]:
    """Open the store."""
    del count
    Results(folder / STORE, model=MODEL).close()
    return {}


def resume(folder: Path, count: int) -> dict[str, Any]:
    """Open the store and ask which of all pictures are new, after which work begins; then, which changed."""
    listed = list(paths(folder, count))  # as `collect` hands them over
    for path in listed:
        str(path)
    start, busy = time.perf_counter(), time.process_time()
    with Results(folder / STORE, model=MODEL) as results:
        new = list(results.new(listed))
        found = {"seconds": time.perf_counter() - start, "processor_seconds": time.process_time() - busy}
        busy = time.process_time()
        changed = list(results.changed(listed))
    compared = time.process_time() - busy
    return {**found, "new": len(new), "files_compared_processor_seconds": compared, "changed": len(changed)}


def stream(folder: Path, count: int) -> dict[str, Any]:
    """The last with names that come one by one, so that memory tells what the store itself takes."""
    with Results(folder / STORE, model=MODEL) as results:
        return {"changed": sum(1 for _ in results.changed(paths(folder, count)))}


def export(folder: Path, count: int) -> dict[str, Any]:
    """Write results.jsonl and results.csv."""
    del count
    with Results(folder / STORE, model=MODEL) as results:
        results.export()
    return {}


def verify(folder: Path, count: int) -> dict[str, Any]:
    """Recompute the chain and compare every record with it."""
    del count
    found = audit(folder / STORE)
    return {"whole": found.whole, "rows": found.rows.total()}


STEPS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    step.__name__: step for step in (fill, singly, open_only, resume, stream, export, verify)
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


def measured_apart(step: str, folder: Path, count: int) -> dict[str, Any]:
    """`measured` in a process of its own."""
    words = ["--step", step, "--work", str(folder), "--count", str(count)]
    ended = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def all_steps(folder: Path, count: int) -> dict[str, Any]:
    """What each step took; those that were measured before are not done again."""
    kept = folder / DONE
    state: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {"count": count, "steps": {}}
    if state["count"] != count:
        raise SystemExit(f"{folder} holds the work of --count {state['count']}: name another --work.")
    done = state["steps"]
    make_pictures(folder, count)
    for step in STEPS:
        while step not in done or step == "fill":
            found = measured_apart(step, folder, count)
            if found.get("records") == 0:
                break
            done[step] = together(done[step], found) if step in done else found
            write_text(kept, json.dumps(state, indent=2) + "\n")
            print(step, done[step], flush=True)
    return done


def together(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Two pieces of a step as one: times and records add, and the higher peak is the peak of both."""
    both = {key: round(before[key] + value, 3) for key, value in found.items()}
    peak = "peak_memory_growth_mib"
    return both | {peak: max(before[peak], found[peak])}


def main() -> None:
    """Run each step in a process of its own, or one step where `--step` names it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=Path, help="folder that the work stays in; else one that is removed")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(measured(arguments.step, arguments.work, arguments.count)))
        return
    with contextlib.ExitStack() as stack:
        folder = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        steps = all_steps(folder, arguments.count)
        sizes = {path.name: path.stat().st_size for path in sorted((folder / STORE).iterdir())}
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
