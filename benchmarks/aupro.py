"""Time AU-PRO on 100 synthetic maps of 512 x 512, ours beside anomalib's on the same arrays.

    python benchmarks/aupro.py [--anomalib-python PATH] [--out benchmarks/results/aupro.json]

`--anomalib-python` names the interpreter of an environment that holds anomalib; it runs there by itself, on
arrays that are handed over as a file, and its time covers the update and the computation, not the loading.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _machine import command, machine

SIDE = 512

ANOMALIB = """
import importlib.metadata, json, sys, time
import numpy as np, torch
from anomalib.metrics.aupro import _AUPRO
torch.set_num_threads(int(sys.argv[3]))
arrays = np.load(sys.argv[1])
heatmaps = torch.from_numpy(arrays["heatmaps"])
masks = torch.from_numpy(arrays["masks"]).int()
times = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    metric = _AUPRO(fpr_limit=0.3)
    metric.update(heatmaps, masks)
    value = float(metric.compute())
    times.append(time.perf_counter() - start)
versions = {name: importlib.metadata.version(name) for name in ("anomalib", "torch", "torchmetrics")}
print(json.dumps({"value": value, "seconds": times, "versions": versions}))
"""


def synthetic(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Masks (N, 512, 512) uint8, half of them without a defect, and smooth heatmaps (N, 512, 512) float32.

    Every value is distinct for all practical purposes, the hard case for sorting; one to three elliptic
    defects cover about 1.5 % of a defective picture and are found partly.
    """
    import cv2

    rng = np.random.default_rng(seed)
    masks = np.zeros((count, SIDE, SIDE), np.uint8)
    heatmaps = np.empty((count, SIDE, SIDE), np.float32)
    for index in range(count):
        if index % 2:
            for _ in range(rng.integers(1, 4)):
                centre, axes = rng.integers(40, SIDE - 40, 2).tolist(), rng.integers(6, 36, 2).tolist()
                cv2.ellipse(masks[index], centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        texture = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)).astype(np.float32), (0, 0), 6)
        found = cv2.GaussianBlur(masks[index].astype(np.float32), (0, 0), 9)
        heatmaps[index] = texture / texture.std() + 3 * found * rng.uniform(0.3, 1.5)
    return masks, heatmaps


def timed(work: Callable[[], float], runs: int) -> dict[str, Any]:
    """The value of `work` and the seconds of each of `runs` calls, after one that warms up."""
    value, seconds = work(), []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return {"value": value, **summary(seconds)}


def summary(seconds: list[float]) -> dict[str, Any]:
    """Least and median of some times, in seconds."""
    return {
        "min_s": round(min(seconds), 4),
        "median_s": round(statistics.median(seconds), 4),
        "runs": len(seconds),
    }


def anomalib(python: Path, masks: np.ndarray, heatmaps: np.ndarray, runs: int) -> dict[str, Any]:
    """Anomalib's AUPRO on the same arrays, in its own interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "arrays.npz"
        np.savez(arrays, masks=masks, heatmaps=heatmaps)
        anomalib = [str(python), "-c", ANOMALIB, str(arrays), str(runs), str(machine()["cores"])]
        answer = subprocess.run(anomalib, check=True, capture_output=True, text=True)
    result = json.loads(answer.stdout.splitlines()[-1])
    return {"value": result["value"], **summary(result["seconds"]), "versions": result["versions"]}


def main() -> None:
    """Measure, print JSON, and write it where asked."""
    import cv2

    from flawscope import metrics

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--anomalib-python", type=Path)
    parser.add_argument("--anomalib-runs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    masks, heatmaps = synthetic(options.maps)
    result: dict[str, Any] = {
        "what": f"AU-PRO up to FPR 0.3, {options.maps} maps of {SIDE} x {SIDE} float32",
        "command": command(),
        "machine": machine(),
        "versions": {"numpy": np.__version__, "opencv": cv2.__version__},
        "flawscope": timed(lambda: metrics.aupro(masks, heatmaps), options.runs),
    }
    if options.anomalib_python:
        result["anomalib"] = anomalib(options.anomalib_python, masks, heatmaps, options.anomalib_runs)
        result["times_faster"] = round(result["anomalib"]["median_s"] / result["flawscope"]["median_s"], 1)
        result["difference"] = result["flawscope"]["value"] - result["anomalib"]["value"]
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
