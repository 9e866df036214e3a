"""Time and peak memory of pictures in tiles, from 0.25 to 16 megapixels.

    python benchmarks/large_pictures.py [--model MODEL] [--repeats 3] [--out results/large_pictures.json]

Each size runs in a process of its own, so that its peak memory is its own: one picture is inspected so many
times from its file to its findings, after one to warm up. Without a model one of joined banks with tiles of
320 is made of noise, with small banks. `beyond_picture` is the peak above that of a picture of one tile, less
what the picture itself takes: 3 bytes a pixel decoded, 4 the heatmap, 5 while areas are looked for in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flawscope.files import write_text
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.machine import hardware

MEGAPIXELS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # the first one a single tile
A_PIXEL = 3 + 4 + 5  # bytes


def write_picture(path: Path, megapixels: float) -> Path:
    """A picture with noise, twice as wide as high where it is more than one tile, with one small flaw."""
    height = 320 if megapixels < 0.2 else round((megapixels * 1e6 / 2) ** 0.5)
    width = 320 if megapixels < 0.2 else 2 * height
    pixels = np.random.default_rng(0).normal(120, 8, (height, width, 3)).clip(0, 255).astype(np.uint8)
    pixels[height // 2 : height // 2 + 4, width // 3 : width // 3 + 4] = 0
    Image.fromarray(pixels).save(path)
    return path


def make_model(folder: Path) -> Path:
    """Joined banks of noisy pictures in four tiles, with random weights; measured processes need no torch."""
    from flawscope.training.recipe import Recipe
    from flawscope.training.train import train

    good = folder / "good"
    good.mkdir()
    for index in range(12):
        noise = np.random.default_rng(index).normal(120, 8, (600, 600, 3)).clip(0, 255)
        Image.fromarray(noise.astype(np.uint8)).save(good / f"{index}.png")
    values: dict[str, Any] = {
        "data": {"folder": str(good)},
        "options": {"weights": "random", "evenness_steps": 4, "fine_bank": 1000},
        "tiling": {"size": 320, "stride": 288, "overview": False},
        "split": {"calibration": 0.5},
        "calibration": {"false_rejects": 0.4},
        "engine": {"name": "onnxruntime"},
    }
    train(Recipe.parse(values), folder / "model")
    return folder / "model"


def inspected(model: Path, picture: Path, repeats: int) -> dict[str, Any]:
    """Median seconds and peak memory in bytes of one picture, in this process."""
    with Inspector.load(model) as inspector:
        inspector.inspect(picture)
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            inspector.inspect(picture)
            times.append(time.perf_counter() - started)
        tiling = inspector.bundle.manifest.tiling
    with Image.open(picture) as image:
        width, height = image.size
    tiles = 1 if tiling is None else len(tiling.grid(height, width))
    return {"pixels": height * width, "tiles": tiles, "seconds": statistics.median(times), "peak": peak()}


def peak() -> int:
    """Peak memory of this process in bytes; `ru_maxrss` would begin with that of whoever started it."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("no peak memory in /proc/self/status; run it on Linux")


def measured(model: Path, folder: Path, repeats: int) -> list[dict[str, Any]]:
    """A row for each size."""
    rows = []
    for megapixels in MEGAPIXELS:
        picture = write_picture(folder / f"{megapixels}.png", megapixels)
        command = [sys.executable, __file__, "--model", str(model), "--repeats", str(repeats)]
        done = subprocess.run([*command, "--one", str(picture)], capture_output=True, text=True, check=True)
        row = json.loads(done.stdout)
        first = rows[0] if rows else row
        beyond = row["peak"] - first["peak"] - A_PIXEL * (row["pixels"] - first["pixels"])
        rows.append(
            row | {"milliseconds_a_tile": 1e3 * row["seconds"] / row["tiles"], "beyond_picture": beyond}
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure all sizes, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(inspected(arguments.model, arguments.one, arguments.repeats)))
        return
    with tempfile.TemporaryDirectory() as place:
        model = arguments.model or make_model(Path(place))
        rows = measured(model, Path(place), arguments.repeats)
    if arguments.out is not None:
        write_text(arguments.out, json.dumps({"machine": hardware(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
