"""Multi-scale patches: dense against patch by patch inference, and training throughput, in one run.

    python benchmarks/multiscale_patch_speed.py --out benchmarks/results/multiscale_patch_speed.json
    python benchmarks/multiscale_patch_speed.py --device cuda --out ...

One 256 x 256 picture in memory, three scales, the paper's strides 16, 4 and 4: all embeddings, without the
search. Patch by patch cuts patches of 65 536 pixels at a time, which is fastest on the processor of the
committed figures, and encodes these together; dense is one pass over the picture for each scale. Encoders
without padding are measured both ways, padded ones patch by patch. Training passes patches of every loss
forwards and backwards through all scales, optimiser included; the seconds of a step of 64 pictures with 100
patches of each kind, on any product, are computed from that, since the step is a sum over such parts. Weights
are random, which costs what trained ones do. Every measurement has a process of its own, whose largest
resident set is the peak memory, imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _machine import machine

Row = dict[str, Any]
SIDE, BLOCK = 256, 2**16
NETWORKS: dict[str, dict[str, Any]] = {
    "vgg16": {"backbone": "vgg16"},
    "vgg16, padded": {"backbone": "vgg16", "padding": True},
    "resnet18, padded": {"backbone": "resnet18", "padding": True},
    "tf_efficientnet_lite0, padded": {"backbone": "tf_efficientnet_lite0", "padding": True},
    "Patch SVDD, hierarchical": {"backbone": "patch_svdd", "scales": (64, 32), "hierarchical": True},
}
DENSE = ("vgg16", "Patch SVDD, hierarchical")


def seconds(run: Callable[[], object], repeats: int, device: str) -> tuple[float, float]:
    """Medians over `repeats` calls, after one to warm up, of the time and of the processor's time."""
    import torch

    times, busy = [], []
    for _ in range(repeats + 1):
        start, processor = time.perf_counter(), time.process_time()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        busy.append(time.process_time() - processor)
    return statistics.median(times[1:]), statistics.median(busy[1:])


def infer(network: str, how: str, repeats: int, device: str) -> Row:
    """Milliseconds for all embeddings of one picture."""
    import torch

    from flawscope.methods.multiscale_patch import encoders as module
    from flawscope.methods.multiscale_patch.encoders import Encoder, Encoders
    from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions

    module.BLOCK_PIXELS = BLOCK
    encoders = Encoders(MultiScalePatchOptions(weights="random", **NETWORKS[network])).eval().to(device)
    for encoder in encoders.by_scale.values():
        assert isinstance(encoder, Encoder)
        encoder.exact = how == "dense"
    pixels = torch.rand(1, 3, SIDE, SIDE, device=device)
    with torch.inference_mode():
        taken, busy = seconds(lambda: encoders.grids(pixels), repeats, device)
    return {
        "what": "inference",
        "how": how,
        "ms": round(taken * 1e3, 1),
        "processor_ms": round(busy * 1e3, 1),
    }


def learn(network: str, precision: Any, repeats: int, device: str) -> Row:
    """Patches a second, forwards and backwards, and what the paper's step of 64 pictures takes."""
    import torch

    from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions
    from flawscope.methods.multiscale_patch.training import Networks, Objective, descend
    from flawscope.nn.run import Run

    options = MultiScalePatchOptions(weights="random", batch=32, together=4, **NETWORKS[network])
    run = Run(precision=precision, device=device)
    networks = Networks(options).to(device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(networks.parameters(), lr=1e-5, fused=True)
    pixels = torch.rand(options.pictures, 3, SIDE, SIDE, device=device)

    def step() -> None:
        optimiser.zero_grad()
        descend(Objective(networks, options, run), pixels, 0, run)["total"].backward()
        optimiser.step()

    taken, busy = seconds(step, repeats, device)
    patches = 6 * options.batch * len(options.scales)
    whole = 64 * 100 / options.batch
    return {
        "what": "training",
        "how": precision,
        "patches_per_s": round(patches / taken, 1),
        "patches_per_processor_s": round(patches / busy, 1),
        "step_s": round(taken * whole, 1),
        "step_of_64_pairs_s": round(taken * whole / 100, 2),
    }


def worker(given: argparse.Namespace) -> Row:
    """One measurement in this process."""
    import torch

    act = learn if given.worker == "learn" else infer
    row = act(given.network, given.how, given.repeats, given.device)
    row |= {"network": given.network, "threads": torch.get_num_threads(), "device": given.device}
    row["versions"] = {"torch": torch.__version__}
    if given.device.startswith("cuda"):
        row["card"] = torch.cuda.get_device_name()
        row["peak_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
    else:
        row["peak_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
    return row


def apart(given: argparse.Namespace, act: str, network: str, how: str, threads: int) -> Row:
    """One measurement in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "row.json"
        command = [sys.executable, __file__, "--worker", act, "--network", network, "--how", how]
        command += ["--repeats", str(given.repeats), "--device", given.device, "--out", str(out)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        row: Row = json.loads(out.read_text())
    return row


def table(rows: list[Row]) -> str:
    """Markdown tables of inference and of training."""
    lines = [
        "| network | how | threads | ms a picture | processor ms | patch by patch / this | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in (row for row in rows if row["what"] == "inference"):
        cells = [row[key] for key in ("network", "how", "threads", "ms", "processor_ms")]
        lines.append(f"| {' | '.join(map(str, cells))} | {_factor(row, rows)} | {row['peak_mib']} |")
    lines += [
        "",
        "| network | precision | threads | patches/s | patches/processor s | s a step of 64 × 100 "
        "| s a step of 64 × 1 | peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    keys = ("network", "how", "threads", "patches_per_s", "patches_per_processor_s", "step_s")
    for row in (row for row in rows if row["what"] == "training"):
        cells = [row[key] for key in (*keys, "step_of_64_pairs_s", "peak_mib")]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _factor(row: Row, rows: list[Row]) -> str:
    """How many times as long patch by patch takes, for a dense row."""
    if row["how"] != "dense":
        return ""
    same = ("what", "network", "threads")
    peers = [peer for peer in rows if all(peer[key] == row[key] for key in same) and peer["how"] != "dense"]
    return "".join(f"{peer['ms'] / row['ms']:.1f}×" for peer in peers[:1])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="JSON file; the tables go beside it as .md")
    parser.add_argument("--worker", choices=["infer", "learn"], help=argparse.SUPPRESS)
    parser.add_argument("--network", help=argparse.SUPPRESS)
    parser.add_argument("--how", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        given.out.write_text(json.dumps(worker(given)))
        return
    about, rows = machine(), []
    for threads in given.threads:
        for network in given.networks:
            ways = ["patch by patch", *(["dense"] if network in DENSE else [])]
            rows += [apart(given, "infer", network, way, threads) for way in ways]
            rows += [apart(given, "learn", network, precision, threads) for precision in given.precisions]
            print(table(rows), flush=True)
    if given.out:
        command = " ".join(["python", "benchmarks/multiscale_patch_speed.py", *sys.argv[1:]])
        result = {"command": command, "machine": about, "rows": rows}
        given.out.write_text(json.dumps(result, indent=1) + "\n")
        machine_text = ", ".join(f"{key} {value}" for key, value in about.items())
        given.out.with_suffix(".md").write_text(f"{table(rows)}\n\n`{command}`\n\n{machine_text}\n")


if __name__ == "__main__":
    main()
