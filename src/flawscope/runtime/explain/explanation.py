"""What a reader of a model's outputs hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Finding, Prediction, Segments


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What explains one picture; see the fields of `Prediction`.

    `findings` are sentences about it, most anomalous first; empty where nothing stands out.
    """

    findings: tuple[Finding, ...] = ()
    contributions: tuple[tuple[str, float], ...] = ()
    segments: Segments | None = None

    def of(self, prediction: Prediction) -> Prediction:
        """The prediction with its explanation."""
        told, moved, segments = self.findings, self.contributions, self.segments
        return replace(prediction, findings=told, contributions=moved, segments=segments)


Explainer = Callable[[Manifest, Prediction], Explanation]
