"""CSAD's milliseconds a picture by branch, with and without shared features, in each engine: JSON, a table.

    python benchmarks/csad_latency.py WORK/fits/d0/pin_tray/csad/model --out benchmarks/results/csad_latency
    python benchmarks/csad_latency.py --options '{"backbone": "wide_resnet50_2"}' --device cuda --out OUT

Of a model folder that `csad.py` or `train` made, or of an untaught CSAD with these options and random
weights. Components are network, histograms, counts and places; structure is the branch for structural flaws;
each is a graph of its own that reads the backbone alone as far as it needs it. `both` share one pass of the
backbone; `both, apart` are the two graphs one after the other. They end with their scores, as the paper's
figures do (heatmaps excluded); `whole` is the model's own graph with heatmap and all that explains it.

The paper's protocol (section 4.2): after a warm-up, 500 calls with one picture, and 500 with eight; here the
median stands beside the mean, and throughput is pictures over the total time. Pixels lie in memory. The
variants take turns in rounds, so that what else the machine does meets all alike. With `--device cuda` they
run in PyTorch, in float32 with TF32 off, and the device is waited for around each call; the backbone then
computes its maps for both branches in either graph. The paper has, on an RTX 3090: components 5.6 ms and
603.5 pictures/s, structure 5.7 and 1402.9, both 8.9 and 321.8 (table 7).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import command, hardware, machine, versions
from torch import Tensor, nn

from flawscope.files import write_text
from flawscope.methods.csad.cells import QUARTERS, WHOLE, grid_of
from flawscope.methods.csad.detector import CSAD
from flawscope.methods.registry import create
from flawscope.methods.running import restored
from flawscope.nn.backbones.weights import read_weights
from flawscope.runtime.bundle import load
from flawscope.runtime.engines import ENGINES, open_engine
from flawscope.segmenters.components.segmenter import Components

PARTS = ("components", "structure", "both", "whole")
APART = "both, apart"
PAPER = {"components": (5.6, 603.5), "structure": (5.7, 1402.9), "both": (8.9, 321.8)}
CLASSES = 8  # of an untaught CSAD
_ROUNDS = 10
Call = Callable[[], object]


class Part(nn.Module):
    """A part of CSAD from pixels (N, 3, H, W) to the scores (N, B) of its branches, or the whole of it."""

    def __init__(self, detector: CSAD, part: str) -> None:
        super().__init__()
        self.detector, self.part = detector, part

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """See the class; the whole gives all outputs."""
        detector, found = self.detector, []
        if self.part == "whole":
            return tuple(detector(pixels).values())
        maps = detector.backbone(pixels)
        if self.part != "structure":
            found += detector.compared(*detector._divided(pixels, maps), pixels).scores.values()
        if self.part != "components" and detector.structure is not None:
            whole = detector.structure.heatmap(detector.structure(pixels, maps))  # (N, H, W)
            found.append(whole.flatten(1).amax(1))
        return (torch.stack(found, 1),)


def opened(given: argparse.Namespace) -> CSAD:
    """The detector of the model folder, or an untaught one."""
    if given.model is None:
        detector = untaught(given.options)
    else:
        bundle = load(given.model)
        if bundle.weights is None:
            raise SystemExit(f"{given.model} is a copy for the station, without weights.")
        manifest = bundle.manifest
        tensors = read_weights(bundle.weights)
        detector = restored(manifest.method, manifest.options, tensors, manifest.learnt)
    if not isinstance(detector, CSAD):
        raise SystemExit(f"{given.model} is no model of csad.")
    return detector.eval()


def untaught(options: Mapping[str, Any]) -> CSAD:
    """A CSAD with random weights that tells `CLASSES` classes apart; with students, since banks are empty."""
    detector = create("csad", {**options, "weights": "random"})
    assert isinstance(detector, CSAD)
    names = ("background", *(f"component {index + 1}" for index in range(CLASSES)))
    if isinstance(detector.segmenter, Components):
        detector.segmenter.decoder = detector.segmenter._fresh(len(names), 0)
    cells = detector.options.histogram.cells if detector.options.histogram else ()
    grids = (WHOLE, QUARTERS) if cells == "auto" else tuple(grid_of(cell) for cell in cells)
    detector._compose(names, grids)
    return detector


def write_graph(part: Part, path: Path) -> Path:
    """Write the part as a graph for any number of pictures."""
    height, width = part.detector.options.size
    free = ({0: torch.export.Dim("batch", min=1)},)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        pixels = torch.rand(2, 3, height, width)
        program = torch.onnx.export(
            part.eval(),
            (pixels,),
            dynamo=True,
            verbose=False,
            opset_version=20,
            input_names=["pixels"],
            dynamic_shapes=free,
        )
    assert program is not None
    program.save(str(path))
    return path


def engine_calls(
    graphs: Mapping[str, Path], engine: str, threads: int, pixels: np.ndarray
) -> dict[str, Call]:
    """A call of each graph on the pixels (N, 3, H, W)."""
    opened = {
        name: open_engine(engine, path, precision="fp32", threads=threads) for name, path in graphs.items()
    }
    return {name: lambda one=one: one.run({"pixels": pixels}) for name, one in opened.items()}


def device_calls(parts: Mapping[str, Part], device: torch.device, pixels: np.ndarray) -> dict[str, Call]:
    """The same in PyTorch on a device, which is waited for."""
    there = torch.from_numpy(pixels).to(device)

    def call(part: Part) -> None:
        with torch.inference_mode():
            part(there)
        torch.cuda.synchronize(device)

    return {name: lambda part=part: call(part) for name, part in parts.items()}


def timed(calls: dict[str, Call], runs: int, warm_up: int, batch: int) -> Iterator[dict[str, Any]]:
    """Figures of each call, and of components and structure one after the other."""
    if {"components", "structure"} <= calls.keys():
        first, second = calls["components"], calls["structure"]
        calls = {**calls, APART: lambda: (first(), second())}
    times = {name: list[float]() for name in calls}
    for call in calls.values():
        for _ in range(warm_up):
            call()
    rounds = min(_ROUNDS, runs)
    for turn in range(rounds):
        for name, call in calls.items():
            for _ in range(turn * runs // rounds, (turn + 1) * runs // rounds):
                start = time.perf_counter()
                call()
                times[name].append((time.perf_counter() - start) * 1e3)
    for name, taken in times.items():
        yield {
            "part": name,
            "batch": batch,
            "runs": runs,
            "median_ms": round(statistics.median(taken), 2),
            "mean_ms": round(statistics.fmean(taken), 2),
            "pictures_a_second": round(batch * runs / sum(taken) * 1e3, 1),
        }


def measured(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each part, batch and engine."""
    detector = opened(given)
    parts = {name: Part(detector, name) for name in PARTS if name != "structure" or detector.structure}
    height, width = detector.options.size
    pixels = np.random.default_rng(0).random((max(given.batches), 3, height, width), np.float32)
    if given.device != "cpu":
        device = torch.device(given.device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        detector.to(device)
        for batch in given.batches:
            calls = device_calls(parts, device, pixels[:batch])
            yield from ({"engine": "torch", **row} for row in timed(calls, given.runs, given.warm_up, batch))
        return
    with tempfile.TemporaryDirectory() as folder:
        graphs = {name: write_graph(part, Path(folder) / f"{name}.onnx") for name, part in parts.items()}
        for engine in given.engines:
            for batch in given.batches:
                calls = engine_calls(graphs, engine, given.threads, pixels[:batch])
                yield from (
                    {"engine": engine, **row} for row in timed(calls, given.runs, given.warm_up, batch)
                )


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| engine | batch | part | median ms | mean ms | pictures/s | paper: ms, pictures/s |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        latency, throughput = PAPER.get(row["part"], ("", ""))
        paper = latency if row["batch"] == 1 else throughput if row["batch"] == 8 else ""
        figures = " | ".join(str(row[key]) for key in ("median_ms", "mean_ms", "pictures_a_second"))
        lines.append(f"| {row['engine']} | {row['batch']} | {row['part']} | {figures} | {paper} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?", help="model folder; without one, an untaught CSAD")
    parser.add_argument("--options", type=json.loads, default={}, help="of the untaught CSAD, as JSON")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", type=int, default=2, help="of an engine's call")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--warm-up", type=int, default=50)
    parser.add_argument("--device", default="cpu", help="cuda: in PyTorch there, in place of the engines")
    parser.add_argument("--out", type=Path, help="results without suffix")
    given = parser.parse_args(arguments)
    about = {**machine(), "hardware": hardware(given.device)}
    about["versions"] = versions("flawscope", "torch", "onnxruntime", "openvino")
    rows = []
    for row in measured(given):
        rows.append(row)
        print(json.dumps(row), flush=True)
    print(table(rows))
    if given.out:
        result = {"command": command(), "machine": about, "rows": rows}
        write_text(given.out.with_suffix(".json"), json.dumps(result, indent=1) + "\n")
        place = f"{about['hardware']}, {about['cores']} cores, load before {about['load_before']}"
        text = f"{table(rows)}\n\n`{command()}`\n\n{place}\n"
        write_text(given.out.with_suffix(".md"), text)


if __name__ == "__main__":
    main()
