"""How long engines take for a picture of a model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.engine_table import Speed, Speeds
from flawscope.runtime.machine import hardware
from flawscope.runtime.pipeline import Pipeline

PICTURES = 8  # that are answered in turn
WARM_UPS = 2
FEWEST, MOST = 5, 50  # rounds that count
SECONDS = 2.0  # for each pipeline, after which no further round begins


def measured_speeds(
    pipelines: Sequence[Pipeline],
    pictures: Sequence[NDArray[np.float32]],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Speeds:
    """Median time of each pipeline for one picture (3, H, W), alone, in pixels at the model's frame.

    All answer the same picture in turn, round by round, so that whatever else the machine does falls on each
    of them. Two rounds warm up; then come at least 5 and at most 50, and none begins after 2 s a pipeline.
    """
    times: list[list[float]] = [[] for _ in pipelines]
    started = clock()
    for number in range(WARM_UPS + MOST):
        if number >= WARM_UPS + FEWEST and clock() - started >= SECONDS * len(pipelines):
            break
        pixels = pictures[number % len(pictures)]
        for pipeline, own in zip(pipelines, times, strict=True):
            before = clock()
            next(pipeline.score([pixels], pipeline.judged, finite=False))
            own.append(clock() - before)
    rows = (
        Speed(
            engine=pipeline.engine,
            precision=pipeline.precision,
            milliseconds=1e3 * max(statistics.median(own[WARM_UPS:]), 1e-6),
        )
        for pipeline, own in zip(pipelines, times, strict=True)
    )
    return Speeds(machine=hardware(), threads=pipelines[0].threads, rows=tuple(rows))
