"""Figures of an evaluation where several pictures show one part: which parts are known, rejected, drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flawscope.data.samples import GOOD, Dataset, Sample
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Decision
from flawscope.runtime.record import Record


@dataclass(frozen=True, slots=True)
class PartRates:
    """Parts of one kind, and the share in [0, 1] of them that have a picture which is rejected."""

    parts: int
    reject: float


def of_known_parts(manifests: Iterable[Manifest], grouped: Iterable[Dataset]) -> set[Path]:
    """Pictures of parts of which a model has seen some, whatever for; one data set a model, in its groups."""
    found = set[Path]()
    for manifest, dataset in zip(manifests, grouped, strict=True):
        parts = {picture.group for picture in manifest.provenance.pictures if picture.group is not None}
        found |= {sample.path for sample in dataset.samples if sample.group in parts}
    return found


def told_of_parts(known: Iterable[Sample], akin: set[Path]) -> str:
    """How many of the known pictures are of known parts, and what if they are not; empty where none is."""
    count = sum(sample.path in akin for sample in known)
    return f" ({count} by their part's name; --groups none, where numbers begin anew)" if count else ""


def part_rates(samples: Iterable[Sample], records: Iterable[Record]) -> dict[str, PartRates]:
    """By kind, `good` first; of each part the pictures of a kind are judged together.

    Args:
        samples: N of them; those without a group are a part each.
        records: theirs.
    """
    verdicts: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for sample, record in zip(samples, records, strict=True):
        if record.error is None:
            own = verdicts[sample.kind if sample.defective else GOOD]
            part = sample.group or str(sample.path)
            own[part] = own.get(part, False) or record.decision is Decision.REJECT
    kinds = sorted(verdicts, key=lambda kind: (kind != GOOD, kind))
    return {
        kind: PartRates(len(verdicts[kind]), sum(verdicts[kind].values()) / len(verdicts[kind]))
        for kind in kinds
    }


def parts_drawn(samples: Sequence[Sample], records: Iterable[Record]) -> list[str] | None:
    """For each readable picture with a truth its part, which bootstraps draw; None without groups."""
    if all(sample.group is None for sample in samples):
        return None
    return [
        sample.group or str(sample.path)
        for sample, record in zip(samples, records, strict=True)
        if record.error is None and record.truth is not None
    ]
