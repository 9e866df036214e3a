"""EfficientAD on a GPU: milliseconds a picture in half precision, and training steps a second; prints JSON.

    python benchmarks/efficientad_gpu.py --out benchmarks/results/efficientad_gpu.json

Inspection runs teacher, student (both halves in one pass), autoencoder, scaling and heatmap at 256 x 256 on
pictures that lie on the device, in channels-last order, compiled, after 1000 warm-up runs. The paper gives
2.2 ms (S) and 4.5 ms (M) a picture on an RTX A6000 at batch 1 (Batzner, Heckler, König, WACV 2024, table 5).
A training step takes a batch of pictures with defects on the device through all losses of the thesis,
backwards and through Adam; data loading is left out. Weights are random, which cost what trained ones do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _efficientad_batches import noise_batch
from _machine import command, hardware, versions

from flawscope.files import write_text
from flawscope.methods.efficientad.pictures import Batch
from flawscope.methods.efficientad.training import Objective
from flawscope.methods.registry import create
from flawscope.nn.run import Run

SIDE = 256
PAPER_MS = {"small": 2.2, "medium": 4.5}


def wait(device: torch.device) -> None:
    """Until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_ms(run: Callable[[], object], device: torch.device, warm_up: int, repeats: int) -> float:
    """Median milliseconds of a call, each waited for."""
    for _ in range(warm_up):
        run()
    times = []
    for _ in range(repeats):
        wait(device)
        start = time.perf_counter()
        run()
        wait(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def inspection(given: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Milliseconds a picture for both networks and each batch."""
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    rows = []
    for pdn in ("small", "medium"):
        options = {"weights": "random", "pdn": pdn, "padding": False}
        detector = create("efficientad", options).to(device, dtype, memory_format=torch.channels_last).eval()
        forward = torch.compile(detector, mode="max-autotune") if given.compile else detector
        for batch in given.batches:
            pixels = torch.rand(batch, 3, SIDE, SIDE, device=device, dtype=dtype)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            with torch.inference_mode():
                ms = median_ms(
                    lambda forward=forward, pixels=pixels: forward(pixels),
                    device,
                    given.warm_up,
                    given.repeats,
                )
            rows.append(
                {
                    "what": "inspect",
                    "pdn": pdn,
                    "batch": batch,
                    "precision": str(dtype),
                    "ms_a_picture": round(ms / batch, 3),
                    "paper_ms": PAPER_MS[pdn] if batch == 1 else None,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def training(given: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Steps a second of the small network for each batch."""
    rows = []
    for batch in given.batches:
        detector = create("efficientad", {"weights": "random", "padding": False, "batch": batch}).to(device)
        networks = detector.networks.to(memory_format=torch.channels_last)
        if given.compile:
            networks.teacher.compile()
            networks.student.compile()
        objective = Objective(
            networks, detector.options, detector._normalised, Run(device="cuda", precision="bf16")
        )
        learners = [*networks.student.parameters(), *networks.autoencoder.parameters()]
        adam = torch.optim.Adam([value.requires_grad_() for value in learners], lr=1e-4, fused=True)
        networks.autoencoder.train()
        pictures = noise_batch(detector, defects=True).to(device)

        def step(
            adam: torch.optim.Optimizer = adam, objective: Objective = objective, pictures: Batch = pictures
        ) -> None:
            adam.zero_grad(set_to_none=True)
            objective(pictures)["total"].backward()
            adam.step()

        ms = median_ms(step, device, max(3, given.warm_up // 10), max(3, given.repeats // 4))
        rows.append({"what": "train", "pdn": "small", "batch": batch, "steps_a_second": round(1e3 / ms, 2)})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--warm-up", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    device = torch.device(given.device)
    rows = inspection(given, device) + training(given, device)
    result = {
        "command": command(),
        "hardware": hardware(given.device),
        "versions": versions("flawscope", "torch"),
        "rows": rows,
    }
    if given.out:
        write_text(given.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
