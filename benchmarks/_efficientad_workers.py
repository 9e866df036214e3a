"""The two sides of `efficientad_speed.py`, each run in an interpreter of its own."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _machine import versions

Row = dict[str, Any]
SIDE = 256


def median_ms(run: Callable[[], object], repeats: int) -> float:
    """Median milliseconds of a call, after three calls to warm up."""
    times = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times[3:]) * 1e3, 1)


def flawscope_side(repeats: int, steps: int) -> list[Row]:
    """Ours: each engine, then training steps in float32 and bf16."""
    import numpy as np
    import torch

    from flawscope.errors import FlawscopeError
    from flawscope.methods.registry import create
    from flawscope.nn.run import Run
    from flawscope.runtime.pipeline import Pipeline
    from flawscope.training.export import export

    rows: list[Row] = []
    pixels = np.random.default_rng(0).random((1, 3, SIDE, SIDE), np.float32)
    for padding in (False, True):
        detector = create("efficientad", {"weights": "random", "padding": padding})
        common = {"tool": "flawscope", "padding": padding}
        with tempfile.TemporaryDirectory() as folder:
            graphs = export(detector, Path(folder))
            for name, precision in (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")):
                try:
                    pipeline = Pipeline.in_engine(graphs, name, precision)
                except FlawscopeError as error:
                    print(f"skipped: {error}", file=sys.stderr)
                    continue
                ms = median_ms(lambda pipeline=pipeline: pipeline.run(pixels), repeats)
                rows.append({**common, "what": "inspect", "how": f"{name} {precision}", "ms": ms})
    thesis, original = {"padding": False}, {"padding": False, "penalty": "ood", "appearance": "efficientad"}
    losses = {
        "thesis: L_CDO, one picture": (thesis, False),
        "thesis: L_CDO, one picture and crops of its defects": (thesis, True),
        "EfficientAD: L_OOD, two pictures and a natural one": (original, False),
    }
    for text, (options, defects) in losses.items():
        for precision in ("fp32", "bf16"):
            detector = create("efficientad", {"weights": "random", **options})
            ms = _training_step(detector, Run(precision=precision), steps, defects=defects)
            rows.append(
                {
                    "tool": "flawscope",
                    "padding": False,
                    "what": "train",
                    "how": f"{precision}, {text}",
                    "ms": ms,
                }
            )
    found = versions("torch", "numpy", "onnxruntime", "openvino")
    return [row | {"threads": torch.get_num_threads(), "versions": found} for row in rows]


def _training_step(detector: Any, run: Any, steps: int, *, defects: bool) -> float:
    """Median milliseconds of a step on pictures in memory, optimiser included."""
    from _efficientad_batches import stepper

    return median_ms(stepper(detector, run, defects=defects), steps)


def anomalib_side(repeats: int, steps: int) -> list[Row]:
    """anomalib's EfficientAd small: its own OpenVINO export, its torch model, its training losses."""
    import numpy as np
    import openvino
    import torch
    from anomalib.models import EfficientAd

    torch.manual_seed(0)
    model = EfficientAd()
    network = model.model
    rows: list[Row] = []
    common = {"tool": "anomalib", "padding": False}
    pixels = torch.rand(1, 3, SIDE, SIDE)
    model.eval()
    with torch.inference_mode():
        ms = median_ms(lambda: network(pixels), repeats)
    rows.append({**common, "what": "inspect", "how": "torch fp32", "ms": ms})
    with tempfile.TemporaryDirectory() as folder:
        path = model.to_openvino(folder, input_size=(SIDE, SIDE))
        compiled = openvino.Core().compile_model(str(path), "CPU", {"PERFORMANCE_HINT": "LATENCY"})
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        request = compiled.create_infer_request()
        array = np.ascontiguousarray(pixels.numpy())
        ms = median_ms(lambda: request.infer([array]), repeats)
    rows.append({**common, "what": "inspect", "how": f"openvino, its default ({precision})", "ms": ms})
    rows.append({**common, "what": "train", "how": "fp32, its losses", "ms": _anomalib_step(network, steps)})
    found = versions("anomalib", "torch", "numpy", "openvino")
    return [row | {"threads": torch.get_num_threads(), "versions": found} for row in rows]


def _anomalib_step(network: Any, steps: int) -> float:
    import torch

    network.train()
    network.teacher.eval()
    learners = [*network.student.parameters(), *network.ae.parameters()]
    optimiser = torch.optim.Adam(learners, lr=1e-4, weight_decay=1e-5)
    picture, natural = torch.rand(2, 1, 3, SIDE, SIDE)

    def step() -> None:
        optimiser.zero_grad()
        sum(network(batch=picture, batch_imagenet=natural)).backward()
        optimiser.step()

    return median_ms(step, steps)
