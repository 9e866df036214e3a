"""Findings: what a picture's named outputs say, in sentences with numbers. Plain numpy."""

from __future__ import annotations

from collections.abc import Callable

from flawscope.explain import areas, two_maps
from flawscope.manifest import Manifest
from flawscope.prediction import Finding, Prediction

Explainer = Callable[[Manifest, Prediction], tuple[Finding, ...]]

_EXPLAINERS: dict[str, Explainer] = {
    "efficientad": two_maps.from_two_maps,
    "patchcore": lambda manifest, prediction: (
        areas.from_levels if manifest.options.get("banks") else areas.from_distances
    )(manifest, prediction),
    "padim": areas.from_distances,
}


def findings(manifest: Manifest, prediction: Prediction) -> tuple[Finding, ...]:
    """Sentences about one picture, most anomalous first; empty where nothing stands out.

    A method that has no explainer of its own gets those for its kinds of outputs.
    """
    return _EXPLAINERS.get(manifest.method, areas.from_levels)(manifest, prediction)
