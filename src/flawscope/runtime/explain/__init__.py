"""Findings: what a picture's named outputs say, in sentences with numbers. Plain numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain import areas, nearest_patch, segment_statistics, two_maps
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Finding, Prediction

Explainer = Callable[[Manifest, Prediction], tuple[Finding, ...]]

_EXPLAINERS: dict[str, Explainer] = {
    "efficientad": two_maps.from_two_maps,
    "multiscale_patch": nearest_patch.from_nearest_patches,
    "patchcore": areas.from_distances,
    "padim": areas.from_distances,
    "rd4ad": areas.from_distances,
    "segad": segment_statistics.from_segments,
}


def findings(manifest: Manifest, prediction: Prediction) -> tuple[Finding, ...]:
    """Sentences about one picture, most anomalous first; empty where nothing stands out.

    A method that has no explainer of its own gets those for its kinds of outputs.
    """
    return _EXPLAINERS.get(manifest.method, areas.from_levels)(manifest, prediction)


def contributions(manifest: Manifest, prediction: Prediction) -> tuple[tuple[str, float], ...]:
    """(label, contribution to the score) of what moved it most, strongest first; empty for most methods.

    The score is the sum of the contributions and a start that is the same for all pictures.
    """
    return segment_statistics.contributions(manifest, prediction) if manifest.method == "segad" else ()


def segments(manifest: Manifest, prediction: Prediction) -> tuple[NDArray[np.integer], dict[int, str]] | None:
    """Labels (H, W) at the picture's own size, and what to write into each; None for most methods."""
    return segment_statistics.segments(manifest, prediction) if manifest.method == "segad" else None
