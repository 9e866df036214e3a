"""What a report shows, as plain values: filled by whoever inspected or evaluated, read by the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flawscope.errors import InputError
from flawscope.runtime.prediction import Decision
from flawscope.runtime.record import Inset, Record, Views

GOOD = "good"


@dataclass(frozen=True, slots=True)
class ReportItem:
    """One inspected picture: its record, which holds a verdict, and small pictures of it.

    Attributes:
        record: path, score, p-value, verdict, findings, contributions and, where known, truth.
        views: the picture, the picture under its heatmap and further ones, as small files of about 360
            pixels a side; None where it is not shown.
    """

    record: Record
    views: Views | None = None

    def __post_init__(self) -> None:
        if self.record.decision is None:
            raise InputError(
                f"record of {self.record.name}",
                expected="a verdict",
                got=f"an error: {self.record.error}",
                fix="List the picture under unreadable instead.",
            )

    @property
    def path(self) -> str:
        """The file, as the user named it; shown, never opened."""
        return self.record.path

    @property
    def name(self) -> str:
        """Short name for tables and captions."""
        return self.record.name

    @property
    def score(self) -> float:
        """Raw anomaly score, finite, higher is more anomalous."""
        return self.record.rank

    @property
    def p_value(self) -> float:
        """Share of good pictures expected to score as high, in (0, 1]."""
        return self.record.p_value or 0.0

    @property
    def decision(self) -> Decision:
        """The verdict."""
        return Decision(str(self.record.decision))

    @property
    def defective(self) -> bool | None:
        """The truth, or None where nobody knows."""
        return None if self.record.truth is None else self.record.truth.defective

    @property
    def kind(self) -> str | None:
        """`good` or the defect kind, where the truth tells."""
        return None if self.record.truth is None else self.record.truth.kind

    @property
    def seen(self) -> bool:
        """False for defective pictures of a kind that is withheld from training."""
        return self.record.truth is None or self.record.truth.seen

    @property
    def findings(self) -> tuple[str, ...]:
        """Sentences about what is wrong."""
        return tuple(finding.text for finding in self.record.findings)

    @property
    def contributions(self) -> tuple[tuple[str, float], ...]:
        """(label, contribution to the score), strongest first; of shown pictures alone."""
        return () if self.views is None else self.record.contributions

    @property
    def thumbnail(self) -> bytes:
        """The picture as a small file; empty where it is not shown."""
        return b"" if self.views is None else self.views.thumbnail

    @property
    def overlay(self) -> bytes:
        """The picture under its heatmap, likewise."""
        return b"" if self.views is None else self.views.overlay

    @property
    def insets(self) -> tuple[Inset, ...]:
        """Further small pictures."""
        return () if self.views is None else self.views.insets

    @property
    def missed(self) -> bool:
        """A defective part that was accepted."""
        return self.defective is True and self.decision is Decision.ACCEPT

    @property
    def false_reject(self) -> bool:
        """A good part that was rejected."""
        return self.defective is False and self.decision is Decision.REJECT


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: `value`, its 95 % interval where it has one, and what it means in a line."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve over false positive rates: `x` rising in [0, limit], `y` in [0, 1], and the area under it."""

    x: Sequence[float]
    y: Sequence[float]
    area: float | None = None
    limit: float = 1.0


@dataclass(frozen=True, slots=True)
class Scatter:
    """Points (x, y) in [0, 1] of normal and of anomalous patches."""

    title: str
    normal: tuple[tuple[float, float], ...]
    anomalous: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """A titled list of (label, value), for provenance."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """All that a report shows. Counts, histogram, ROC curve and the table of kinds follow from `items`.

    Attributes:
        title: what was inspected, such as the product's name.
        subtitle: where and with what, in one line.
        created: date and time of the report, as it should read.
        items: the pictures that were inspected, in any order.
        review_threshold: score beyond which a picture is reviewed.
        reject_threshold: score beyond which it is rejected.
        promise: the calibration's statement.
        note: anything that the reader must know first, such as that pictures are rendered.
        figures: measured figures, the most telling first.
        pro: the per-region-overlap curve, where there are masks.
        scatters: embeddings of patches, where the method has any.
        unreadable: (path, error) of pictures that could not be inspected.
        provenance: data, model, calibration, parity, versions.
        version: of flawscope.
    """

    title: str
    subtitle: str
    created: str
    items: tuple[ReportItem, ...]
    review_threshold: float
    reject_threshold: float
    promise: str
    note: str = ""
    figures: tuple[Figure, ...] = ()
    pro: Curve | None = None
    scatters: tuple[Scatter, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    provenance: tuple[Facts, ...] = ()
    version: str = ""

    @property
    def judged(self) -> tuple[ReportItem, ...]:
        """Items whose truth is known."""
        return tuple(item for item in self.items if item.defective is not None)

    @property
    def good(self) -> tuple[ReportItem, ...]:
        """Items known to be good."""
        return tuple(item for item in self.items if item.defective is False)

    @property
    def defective(self) -> tuple[ReportItem, ...]:
        """Items known to be defective."""
        return tuple(item for item in self.items if item.defective)

    @property
    def unseen(self) -> tuple[ReportItem, ...]:
        """Defective items of withheld kinds; empty unless there are some of seen kinds too."""
        found = tuple(item for item in self.defective if not item.seen)
        return found if len(found) < len(self.defective) else ()

    def withheld(self, items: Sequence[ReportItem]) -> bool:
        """Whether all of them are of withheld kinds, while others are not."""
        return bool(self.unseen) and not any(item.seen for item in items)

    def by_kind(self) -> dict[str, tuple[ReportItem, ...]]:
        """Judged items by kind: `good` first, then the defect kinds by name."""
        groups = {GOOD: self.good} if self.good else {}
        for kind in sorted({item.kind or "defective" for item in self.defective}):
            groups[kind] = tuple(item for item in self.defective if (item.kind or "defective") == kind)
        return groups

    def count(self, decision: Decision) -> int:
        """Pictures with this verdict."""
        return sum(item.decision is decision for item in self.items)
