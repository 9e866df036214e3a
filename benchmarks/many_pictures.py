"""What a fit costs with many good pictures, whether its promise holds, and what more pictures give.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/many_pictures.py --work WORK --json OUT.json

A rendered product is drawn once: the good pictures that are learnt from, 299 that calibrate (the fewest that
keep 1 % false rejects with confidence), 300 further good ones and 8 of each flaw. The preset learns from the
first so many of them, each number in a process of its own. Reported are the fit's time, on the clock and of
all cores together, from the files on; its peak memory beyond what the process holds before it; beside them
what the preflight says; how many of the further good pictures each promise rejects; and image AUROC over the
further good pictures and the flawed ones.

Without ties the number rejected of m further pictures is beta-binomial(m, k, n - k + 1), k the rank of the
threshold among the n that calibrate. Its 99.9 % range stands beside what was found; outside, this ends with
an error. Good and flawed pictures are the same for every number.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import command, machine, versions
from calibration_memory import resident
from large_pictures import peak
from numpy.typing import NDArray
from scipy import stats

from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.training import TrainingData
from flawscope.files import write_text
from flawscope.methods.registry import create, options_of
from flawscope.methods.running import score
from flawscope.metrics import auroc
from flawscope.nn.run import Run
from flawscope.products import PRODUCTS, write_loco
from flawscope.runtime.calibration import Calibration

CALIBRATE, FURTHER, PER_FLAW, SIDE = 299, 300, 8, 320
PROMISES = (("with_confidence", 0.01), ("on_average", 0.01), ("on_average", 0.05))
RANGE = 0.999


def rendered(work: Path, product: str, seed: int, pictures: int) -> Path:
    """The product's folder, drawn unless it is there."""
    folder = work / f"{pictures}@{seed}" / product
    if not folder.exists():
        counts = {"train": pictures, "validation": CALIBRATE, "test_good": FURTHER, "per_flaw": PER_FLAW}
        write_loco(folder.parent, product, seed=seed, size=SIDE, **counts)
    return folder


def measured(folder: Path, method: str, preset: str, count: int, seed: int) -> dict[str, Any]:
    """Fit on the first `count` pictures in this process, then score what it has not seen."""
    dataset, run = read_dataset(folder), Run(seed)
    detector = create(method, options_of(method, preset, {}))
    if detector.needs().tuning:
        raise SystemExit(f"{method} scales on pictures of its own; this measures methods that do not.")
    frame = detector.options.frame
    good = dataset.select(split="train", defective=False)[:count]
    cost = detector.needs().cost
    expected = cost(count) if cost else None
    before, clock, spent = resident(), time.perf_counter(), time.process_time()
    detector.fit(TrainingData(normal=PictureFiles(good, frame), tuning=PictureFiles((), frame)), run)
    fit = {
        "fit_seconds": round(time.perf_counter() - clock, 1),
        "fit_processor": round(time.process_time() - spent, 1),
        "peak_beyond_start_mib": round((peak() - before) / 2**20),
        "at_start_mib": round(before / 2**20),
    }
    if expected is not None:
        fit["preflight_mib"] = round(expected.bytes / 2**20)
        fit["preflight_seconds"] = round(expected.seconds + count * expected.seconds_a_picture, 1)
    calibrating = dataset.select(split="validation", defective=False)
    test = dataset.select(split="test")
    scores = score(detector, PictureFiles((*calibrating, *test), frame), run, keep=("score",))["score"]
    held, tested = scores[: len(calibrating)], scores[len(calibrating) :]
    defective = np.array([sample.defective for sample in test])
    return {
        "pictures": len(good),
        **fit,
        "image_auroc": auroc(defective, tested),
        "defective": int(defective.sum()),
        "promises": [kept(held, tested[~defective], *promise) for promise in PROMISES],
    }


def kept(
    calibrating: NDArray[np.float32], further: NDArray[np.float32], promise: str, alpha: float
) -> dict[str, Any]:
    """How many of the further good pictures' scores are rejected, beside what theory predicts."""
    calibration = Calibration(scores=calibrating, alpha=alpha, promise=promise)
    rejected = int(np.sum(further > calibration.reject_threshold))
    rank, count = calibration.rank, len(calibrating)
    law = stats.betabinom(len(further), rank, count - rank + 1)
    low, high = (int(law.ppf(q)) for q in ((1 - RANGE) / 2, (1 + RANGE) / 2))
    return {
        "promise": promise,
        "alpha": alpha,
        "alpha_kept": calibration.alpha_kept,
        "rank": rank,
        "calibrating": count,
        "further": len(further),
        "rejected": rejected,
        "predicted": float(law.mean()),
        "range": [low, high],
        "agrees": low <= rejected <= high,
    }


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown lines: what the fits cost, then what the promises gave."""
    yield "| pictures | fit s | fit s of processor | peak beyond start MiB | preflight MiB | image AUROC |"
    yield "|---" * 6 + "|"
    for row in rows:
        memory = f"{row['peak_beyond_start_mib']} | {row.get('preflight_mib', '–')}"
        times = f"{row['fit_seconds']} | {row['fit_processor']}"
        yield f"| {row['pictures']} | {times} | {memory} | {row['image_auroc']:.4f} |"
    yield ""
    yield "| pictures | promise | rejected of the further good | predicted mean | predicted 99.9 % range |"
    yield "|---" * 5 + "|"
    for row in rows:
        for each in row["promises"]:
            promise = f"{each['alpha_kept']:.1%}, {each['promise'].replace('_', ' ')}"
            low, high = each["range"]
            found = f"{each['rejected']} of {each['further']} | {each['predicted']:.1f} | {low} to {high}"
            yield f"| {row['pictures']} | {promise} | {found} |"


def main() -> None:
    """Measure each number in a process of its own, or one in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="the rendered product is kept here")
    parser.add_argument("--product", choices=sorted(PRODUCTS), default="impeller")
    parser.add_argument("--method", default="joined_banks")
    parser.add_argument("--preset", default="default")
    parser.add_argument(
        "--counts", nargs="+", type=int, default=[300, 2000], help="good pictures learnt from"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="figures; the tables beside it, as .md")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    folder = rendered(given.work, given.product, given.seed, max(given.counts))
    if given.one is not None:
        print(json.dumps(measured(folder, given.method, given.preset, given.one, given.seed)))
        return
    about = {
        "command": command().replace(str(given.work), "WORK").replace(str(given.json), "OUT.json"),
        "machine": {**machine(), "threads": torch.get_num_threads()},
        "versions": versions("flawscope", "torch", "timm", "numpy", "scipy"),
    }
    rows = []
    for count in given.counts:
        own = [sys.executable, *sys.argv, "--one", str(count)]
        done = subprocess.run(own, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    text = "\n".join(table(rows))
    print(text)
    if given.json is not None:
        result = {**about, "product": given.product, "side": SIDE, "seed": given.seed, "rows": rows}
        write_text(given.json, json.dumps(result, indent=1) + "\n")
        where = ", ".join(
            f"{key} {value}" for key, value in {**about["machine"], **about["versions"]}.items()
        )
        page = f"# Many pictures\n\n{text}\n\n`{about['command']}`\n\n{where}\n"
        write_text(given.json.with_suffix(".md"), page)
    if not all(each["agrees"] for row in rows for each in row["promises"]):
        raise SystemExit("A promise lies outside its prediction.")


if __name__ == "__main__":
    main()
