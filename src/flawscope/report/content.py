"""What a report shows, as plain values: filled by whoever inspected or evaluated, read by the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flawscope.data.samples import GOOD
from flawscope.errors import InputError
from flawscope.runtime.record import Record, Views

NOT_SHOWN = Views()


@dataclass(frozen=True, slots=True)
class ReportItem:
    """One inspected picture: its record, which holds a verdict, and small pictures of it if it is shown."""

    record: Record
    views: Views = NOT_SHOWN

    def __post_init__(self) -> None:
        if self.record.decision is None:
            raise InputError(
                f"record of {self.record.name}",
                expected="a verdict",
                got=f"an error: {self.record.error}",
                fix="List the picture under unreadable instead.",
            )

    @property
    def kind(self) -> str:
        """`good` or the defect kind; empty where nobody knows."""
        return "" if self.record.truth is None else self.record.truth.kind

    @property
    def seen(self) -> bool:
        """False for defective pictures of a kind that is withheld from training."""
        return self.record.truth is None or self.record.truth.seen


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: `value`, its 95 % interval where it has one, and what it means in a line."""

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
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
        return tuple(item for item in self.items if item.record.truth is not None)

    @property
    def partly_judged(self) -> bool:
        """Whether the truth of some items is known, and not of others, as where people reviewed a few."""
        return 0 < len(self.judged) < len(self.items)

    @property
    def good(self) -> tuple[ReportItem, ...]:
        """Items known to be good."""
        return tuple(item for item in self.items if item.record.defective is False)

    @property
    def defective(self) -> tuple[ReportItem, ...]:
        """Items known to be defective."""
        return tuple(item for item in self.items if item.record.defective)

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
        for kind in sorted({item.kind for item in self.defective}):
            groups[kind] = tuple(item for item in self.defective if item.kind == kind)
        return groups
