"""EfficientAD-S's training step in seconds of processor time: before a change and after, and where it goes.

    git worktree add ../before COMMIT
    OMP_NUM_THREADS=1 python benchmarks/efficientad_step.py --before ../before/src \\
        --out benchmarks/results/efficientad_step.json

Processor time, not time on the clock, so that other work on the same cores matters little. Both sides run in
processes of their own, by turns; the figure is the median over all steps. Pictures lie in memory; a step is
all losses, backwards and through Adam, on one picture of 256 x 256. The floor is the time of the step's
convolutions at the bf16 rate of one large convolution on this machine. Shares are of the code after the
change: the least time of each operation in five steps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from _machine import command, machine, versions

THESIS: dict[str, Any] = {}
ORIGINAL: dict[str, Any] = {"penalty": "ood", "appearance": "efficientad"}
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "L_CDO": (THESIS, False),
    "L_CDO, with two defects": (THESIS, True),
    "L_OOD, a varied and a natural picture": (ORIGINAL, False),
}
Row = dict[str, Any]


def stepper(options: dict[str, Any], precision: Any, *, defects: bool) -> Callable[[], None]:
    """One training step on a picture of noise."""
    import _efficientad_batches

    from flawscope.methods.registry import create
    from flawscope.nn.run import Run

    detector = create("efficientad", {"weights": "random", **options})
    return _efficientad_batches.stepper(detector, Run(precision=precision), defects=defects)


def kept() -> AbstractContextManager[None]:
    """The memory of training's loop, where this side has it."""
    try:
        from flawscope.nn.memory import memory_kept
    except ImportError:
        return nullcontext()
    return memory_kept()


def measure(steps: int) -> list[Row]:
    """Milliseconds of processor time of each step, by case."""
    rows = []
    with kept():
        for precision in ("bf16", "fp32"):
            for padding in (True, False):
                for losses, (options, defects) in CASES.items():
                    if precision == "fp32" and losses != "L_CDO":
                        continue
                    step = stepper({**options, "padding": padding}, precision, defects=defects)
                    step()
                    times = []
                    for _ in range(steps):
                        start = time.process_time()
                        step()
                        times.append((time.process_time() - start) * 1e3)
                    rows.append({"precision": precision, "padding": padding, "losses": losses, "ms": times})
    return rows


def rate() -> float:
    """Bf16 multiply-adds (1e9) a second of processor time of one large convolution, the best of eight."""
    import torch

    convolution = torch.nn.Conv2d(256, 256, 3, padding=1).bfloat16().to(memory_format=torch.channels_last)
    pixels = torch.rand(1, 256, 128, 128).bfloat16().contiguous(memory_format=torch.channels_last)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(8):
            start = time.process_time()
            convolution(pixels)
            best = min(best, time.process_time() - start)
    return 256 * 256 * 9 * 128**2 / best / 1e9


def shares(*, padding: bool) -> Row:
    """Multiply-adds of the default step (1e9), and the time of its operations in milliseconds."""
    from torch.profiler import profile
    from torch.utils.flop_counter import FlopCounterMode

    step = stepper({"padding": padding}, "bf16", defects=False)
    with FlopCounterMode(display=False) as counted:
        step()
    found: list[dict[tuple[str, str], list[float]]] = []
    with kept():
        for _ in range(5):
            calls: dict[tuple[str, str], list[float]] = defaultdict(list)
            with profile(record_shapes=True) as seen:
                step()
            for event in seen.events():
                calls[event.name, str(event.input_shapes)].append(event.self_cpu_time_total / 1e3)
            found.append(calls)
    total: Counter[str] = Counter()
    for key, first in found[0].items():
        same = [calls[key] for calls in found if len(calls[key]) == len(first)]
        total[key[0]] += sum(min(times) for times in zip(*same, strict=True))
    operations = {name: round(ms, 1) for name, ms in total.most_common(12)}
    return {"padding": padding, "gmac": round(counted.get_total_flops() / 2e9, 1), "ms": operations}


def worker(what: str, source: str, steps: int) -> Any:
    """The answer of this file in a process of its own, which imports flawscope from `source`."""
    call = [sys.executable, __file__, "--worker", what, "--steps", str(steps)]
    answer = subprocess.run(
        call, check=True, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": source}
    )
    return json.loads(answer.stdout.splitlines()[-1])


def compared(before: str, after: str, steps: int, turns: int) -> list[Row]:
    """Both sides by turns."""
    times: dict[tuple[str, bool, str], dict[str, list[float]]] = {}
    for _ in range(turns):
        for side, source in (("before", before), ("after", after)):
            for row in worker("steps", source, steps):
                key = (row["precision"], row["padding"], row["losses"])
                times.setdefault(key, {"before": [], "after": []})[side] += row["ms"]
    return [
        {
            "precision": precision,
            "padding": padding,
            "losses": losses,
            **{f"{side}_ms": round(statistics.median(ms)) for side, ms in sides.items()},
        }
        for (precision, padding, losses), sides in times.items()
    ]


def table(result: dict[str, Any]) -> str:
    """The Markdown page."""
    lines = [
        "| precision | padding | losses | before, ms | after, ms | less by |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        less = 1 - row["after_ms"] / row["before_ms"]
        padding = "yes" if row["padding"] else "no"
        lines.append(
            f"| {row['precision']} | {padding} | {row['losses']} | {row['before_ms']} | {row['after_ms']} "
            f"| {less:.0%} |"
        )
    for each in result["shares"]:
        floor = each["gmac"] / result["gmac_per_s"] * 1e3
        named = ", ".join(f"`{name}` {ms}" for name, ms in each["ms"].items())
        lines += [
            "",
            f"Padding {'on' if each['padding'] else 'off'}, L_CDO, bf16: {each['gmac']} G multiply-adds, "
            f"{floor:.0f} ms at {result['gmac_per_s']:.0f} G a second. Milliseconds by operation: {named}.",
        ]
    about = ", ".join(f"{key} {value}" for key, value in {**result["machine"], **result["versions"]}.items())
    return "\n".join([*lines, "", f"`{result['command']}`", "", f"{about}. {result['note']}", ""])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", help="folder `src` of the code before the change")
    parser.add_argument("--steps", type=int, default=4, help="steps of each case and turn")
    parser.add_argument("--turns", type=int, default=2, help="of both sides")
    parser.add_argument("--note", default="", help="what the reader should know of the machine")
    parser.add_argument("--out", type=Path, help="JSON file; the table goes beside it as .md")
    parser.add_argument("--worker", choices=["steps", "shares"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        answer = (
            measure(given.steps) if given.worker == "steps" else [shares(padding=p) for p in (True, False)]
        )
        print(json.dumps(answer))
        return
    import torch

    about = {**machine(), "threads": torch.get_num_threads()}
    after = str(Path(__file__).parents[1] / "src")
    result = {
        "command": command(),
        "machine": about,
        "versions": versions("torch"),
        "note": given.note,
        "rows": compared(given.before or after, after, given.steps, given.turns),
        "gmac_per_s": round(rate(), 1),
        "shares": worker("shares", after, given.steps),
    }
    text = table(result)
    print(text)
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
        given.out.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
