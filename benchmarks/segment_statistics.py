"""SegAD's statistics of 4 maps over 8 segments of 256×256 pixels on one core, and its forest of 2000 trees.

    python benchmarks/segment_statistics.py --json OUT.json

The fastest and the median of 50 calls, in PyTorch and exported to ONNX Runtime and OpenVINO; beside them the
plain loop with numpy and scipy, whose values they must give. Maps, segments and features are random.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import command, versions
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from flawscope.files import write_text
from flawscope.methods.segad.forest import Forest, ForestOptions, grow
from flawscope.methods.segad.statistics import SegmentStatistics, Statistic
from flawscope.runtime.engines import open_engine
from flawscope.runtime.machine import processor

DETECTORS, SIDE, CALLS = 4, 256, 50
NAMES: tuple[Statistic, ...] = ("quantile", "skewness", "kurtosis", "mean")


class Graph(nn.Module):
    """The module as a function of one input called pixels, so that the engines open it."""

    def __init__(self, module: nn.Module, labels: Tensor | None) -> None:
        super().__init__()
        self.module, self.labels = module, labels

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        found = self.module(pixels) if self.labels is None else self.module(pixels, self.labels)
        return found if isinstance(found, tuple) else (found,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, required=True)
    out = parser.parse_args().json
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    maps = random.gamma(0.7, 2.0, (1, DETECTORS, SIDE, SIDE)).astype(np.float32)
    rows: dict[str, Any] = {}
    for count in (8, 2):
        cells = random.integers(0, count, (8, 8))
        labels = torch.from_numpy(np.kron(cells, np.ones((SIDE // 8, SIDE // 8), np.int64)))  # (H, W)
        expected = by_loop(maps[0], labels.numpy(), count)
        for kind, static in (("static map", labels), ("map of its own", None)):
            graph = Graph(SegmentStatistics(count, NAMES, static), labels[None])
            found = measure(graph, maps)
            wrong = np.abs(found.pop("value")[0] - expected) / np.maximum(np.abs(expected), 1.0)
            rows[f"{count} segments, {kind}"] = {**found, "largest_error": float(wrong.max())}
        loop = functools.partial(by_loop, maps[0], labels.numpy(), count)
        rows[f"{count} segments, plain loop"] = {"numpy and scipy": times(loop, 5)}
    features = random.random((300, DETECTORS * 8 * 4)).astype(np.float32)
    forest = Forest()
    forest.pack(grow(features, features[:, 0] + features[:, 9] > 1, ForestOptions(), 0), features)
    found = measure(Graph(forest, None), features[:1])
    del found["value"]
    rows["forest of 2000 trees with contributions, 128 features"] = found
    result = {
        "milliseconds": rows,
        "command": command(),
        "machine": f"{processor()}, one thread",
        "versions": versions("torch", "onnxruntime", "openvino", "numpy", "scipy"),
    }
    write_text(out, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def by_loop(maps: NDArray[np.float32], labels: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    found = np.zeros((len(maps), count, len(NAMES)))
    for detector, values in enumerate(maps):
        for segment in range(count):
            pixels = values[labels == segment]
            found[detector, segment] = (
                np.quantile(pixels, 0.995),
                stats.skew(pixels),
                stats.kurtosis(pixels),
                pixels.mean(),
            )
    return found


def measure(graph: nn.Module, values: NDArray[np.float32]) -> dict[str, Any]:
    given = torch.from_numpy(values)
    with torch.inference_mode():
        found: dict[str, Any] = {"value": graph(given)[0].numpy(), "torch": times(lambda: graph(given))}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            graph, (given,), str(path), dynamo=True, verbose=False, opset_version=20, input_names=["pixels"]
        )
        for name in ("onnxruntime", "openvino"):
            engine = open_engine(name, path, threads=1)
            found[name] = times(lambda engine=engine: engine.run({"pixels": values}))
    return found


def times(work: Callable[[], object], calls: int = CALLS) -> dict[str, float]:
    work()
    taken = []
    for _ in range(calls):
        started = time.perf_counter()
        work()
        taken.append(1e3 * (time.perf_counter() - started))
    return {"fastest": round(min(taken), 2), "median": round(statistics.median(taken), 2)}


if __name__ == "__main__":
    main()
