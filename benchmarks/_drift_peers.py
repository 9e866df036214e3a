"""ADWIN and Page-Hinkley of river on the same quantities, each standardised by its reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from _drift_streams import NEVER, Array
from numpy.typing import NDArray

Make = Callable[[], Any]


def detectors() -> Mapping[str, Make]:
    """By their settings: river's own, and one under which unchanged streams seldom alarm."""
    from river.drift import ADWIN, PageHinkley

    return {
        "ADWIN, river's delta 0.002": ADWIN,
        "Page-Hinkley, river's threshold 50": PageHinkley,
        "Page-Hinkley, threshold 130": lambda: PageHinkley(threshold=130.0),
    }


def first_alarms(make: Make, values: Array, reference: int) -> NDArray[np.int64]:
    """First alarms (quantities, streams) in streams (quantities, streams, reference + length).

    A detector sees the reference first; alarms there do not count. Values are divided by the reference's
    deviation after its mean is taken off, for both detectors' settings belong to a scale.
    """
    return np.array([[_first(make(), stream, reference) for stream in own] for own in values])


def _first(detector: Any, stream: Array, reference: int) -> int:
    known = stream[:reference][~np.isnan(stream[:reference])]
    scaled = (stream - known.mean()) / (known.std() or 1.0)
    for index, value in enumerate(scaled.tolist()):
        if value == value:  # noqa: PLR0124 - NaN
            detector.update(value)
            if index >= reference and detector.drift_detected:
                return index - reference
    return int(NEVER)
