"""Milliseconds a picture from file to heatmap, one by one and in a stream, for each engine; prints JSON.

python benchmarks/latency.py models/bracket models/screw --pictures screw/test --threads 2
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from flawscope.errors import FlawscopeError
from flawscope.runtime.bundle import Bundle, load
from flawscope.runtime.engines import usable_cores
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.listing import list_images
from flawscope.runtime.pipeline import Graphs, Pipeline

ENGINES = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
PACKAGES = ("flawscope", "numpy", "onnxruntime", "opencv-python-headless", "openvino", "pillow")
BATCH = 8


def main() -> None:
    """Measure what the command line names."""
    options = _options()
    pictures = list_images(options.pictures, recursive=True)[: options.count]
    if len(pictures) < BATCH:
        sys.exit(f"{options.pictures}: expected at least {BATCH} pictures, got {len(pictures)}.")
    rows = [
        row
        for model in options.models
        for name, precision in ENGINES
        if (row := _measure(load(model), name, precision, pictures, options)) is not None
    ]
    print(
        json.dumps({"machine": _machine(options), "command": " ".join(sys.argv), "results": rows}, indent=1)
    )


def _measure(
    bundle: Bundle, name: str, precision: Any, pictures: list[Path], options: argparse.Namespace
) -> dict[str, Any] | None:
    try:
        started = time.perf_counter()
        pipeline = Pipeline.in_engine(Graphs.of(bundle), name, precision, threads=options.threads)
        opened = time.perf_counter() - started
    except FlawscopeError as error:
        print(f"{name} {precision} left out: {error}", file=sys.stderr)
        return None
    inspector = Inspector(bundle, pipeline)
    for path in pictures[:3]:
        inspector.inspect(path)
    each = itertools.cycle(pictures)
    single = _times(lambda: inspector.inspect(next(each)), options.repeats * BATCH)
    stream = list(itertools.islice(itertools.cycle(pictures), 4 * BATCH))
    joint = _times(lambda: list(inspector.inspect_many(stream, batch=BATCH)), options.repeats)
    return {
        "model": bundle.folder.name,
        "method": bundle.manifest.method,
        "options": bundle.manifest.options,
        "engine": name,
        "precision": precision,
        "open_s": round(opened, 3),
        "single_ms": _summary(single, 1),
        "batch_8_ms_a_picture": _summary(joint, len(stream)),
    }


def _times(work: Callable[[], object], repeats: int) -> list[tuple[float, float]]:
    """Wall and processor seconds of each repeat."""
    found = []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    return found


def _summary(times: list[tuple[float, float]], pictures: int) -> dict[str, float]:
    wall, processor = ([1e3 * value / pictures for value in column] for column in zip(*times, strict=True))
    return {
        "median": round(statistics.median(wall), 2),
        "least": round(min(wall), 2),
        "processor_median": round(statistics.median(processor), 2),
    }


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    wanted = {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"}
    return {
        "processor": " ".join(str(fields.get(key)) for key in ("model name", "cpu family", "model")),
        "units": sorted(wanted & set(fields.get("flags", "").split())),
        "cores": usable_cores(),
        "threads": options.threads or usable_cores(),
        "load_before": os.getloadavg()[0],
        "system": platform.platform(),
        "versions": {"python": platform.python_version()} | {p: v for p in PACKAGES if (v := _version(p))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="+", type=Path, help="model folders")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--count", type=int, default=64, help="pictures to use")
    parser.add_argument("--repeats", type=int, default=7, help="repeats of a stream of 32 pictures")
    parser.add_argument("--threads", type=int, help="processor threads; every core by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
