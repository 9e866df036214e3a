"""What an inspection answers: score, p-value, decision, heatmap, regions, findings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from flawscope.runtime.placement import Placement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Decision(StrEnum):
    """Verdict on one picture: accept below the 5·α threshold, reject beyond the α threshold, else review."""

    ACCEPT = "accept"
    REVIEW = "review"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Region:
    """One connected anomalous area, in pixels of the picture as it lies on disk (after orientation).

    `box` is (left, top, right, bottom), right and bottom exclusive; `peak` is (x, y) of the highest
    heatmap value, `peak_score` that value.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: tuple[int, int]
    peak_score: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about what is wrong, the numbers behind it, and where (None: the whole picture)."""

    text: str
    values: dict[str, float] = field(default_factory=dict)
    region: Region | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Which part of the product each pixel shows, at the size at which the model sees the picture.

    Attributes:
        labels: (h, w) integers.
        marks: what drawings call each segment; those that need no name are left out.
        values: those of findings that are the label of a segment that they speak of.
    """

    labels: NDArray[np.integer]
    marks: dict[int, str] = field(default_factory=dict)
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the graph put out for one frame beside score and heatmap, and where the picture lies in it."""

    placement: Placement
    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer for one picture.

    Attributes:
        score: raw anomaly score, unbounded, higher is more anomalous.
        p_value: share of good pictures expected to score as high, in (0, 1]; conformal.
        decision: accept, review or reject.
        heatmap: (H, W) float32 at the picture's own resolution, raw; None where the method has none.
        regions: anomalous areas, most anomalous first.
        findings: sentences with numbers.
        contributions: (label, contribution to the score) of what moved it most, strongest first; the score
            is their sum and a start that is the same for all pictures. Empty for most methods.
        segments: for methods that divide pictures into segments, or None.
        looks: the graph's further outputs. Of a picture that is seen whole there is one; of one that is cut
            into tiles the first is the tile with the highest score, and after it come those in which the
            highest regions peak.
    """

    score: float
    p_value: float
    decision: Decision
    heatmap: NDArray[np.float32] | None = None
    regions: tuple[Region, ...] = ()
    findings: tuple[Finding, ...] = ()
    contributions: tuple[tuple[str, float], ...] = ()
    segments: Segments | None = None
    looks: tuple[Look, ...] = ()

    @property
    def outputs(self) -> dict[str, NDArray[Any]]:
        """The graph's further named outputs for the picture, or for its tile with the highest score."""
        return self.looks[0].outputs if self.looks else {}

    def look_at(self, point: tuple[int, int]) -> Look | None:
        """Of the looks that show the picture's pixel (x, y) the one in whose middle it lies most, or None.

        One that shows all of the picture counts only where no other shows the pixel.
        """
        depths = [(look.placement.depth(point), look) for look in self.looks]
        showing = [pair for pair in depths if pair[0] > 0]
        showing = [pair for pair in showing if not pair[1].placement.whole] or showing
        return max(showing, key=lambda pair: pair[0], default=(0.0, None))[1]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; arrays stay out."""
        return {
            "score": self.score,
            "p_value": self.p_value,
            "decision": str(self.decision),
            "regions": [_plain(region) for region in self.regions],
            "findings": [
                {"text": f.text, "values": dict(f.values), "region": f.region and _plain(f.region)}
                for f in self.findings
            ],
        }


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


def _plain(region: Region) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(region).items()}
