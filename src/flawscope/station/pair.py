"""What two models say of one picture whose truth is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flawscope.runtime.prediction import Decision
from flawscope.runtime.record import Record, Truth


@dataclass(frozen=True, slots=True)
class Pair:
    """What both models say of one picture whose truth is known.

    A model that cannot inspect a picture has not found its defect, nor can the good part pass. `part` names
    what the picture shows: its group, or the picture alone.
    """

    old: Record
    new: Record
    part: str = ""

    @property
    def path(self) -> str:
        """The picture's file."""
        return self.old.path

    @property
    def truth(self) -> Truth:
        """What the data set says of it."""
        assert self.old.truth is not None  # noqa: S101 - `compare` gives each picture its truth
        return self.old.truth

    @property
    def read(self) -> bool:
        """Whether one of the models could inspect it."""
        return self.old.error is None or self.new.error is None

    @property
    def flipped(self) -> bool:
        """Whether the verdicts differ."""
        return self.old.decision is not self.new.decision

    @property
    def new_miss(self) -> bool:
        """A defect that the old model sends to review or rejects, and the new one does not."""
        return self.truth.defective and self.old.flagged and not self.new.flagged

    @property
    def new_find(self) -> bool:
        """A defect that the new model alone finds."""
        return self.truth.defective and self.new.flagged and not self.old.flagged

    @property
    def new_false_reject(self) -> bool:
        """A good part that the new model alone rejects."""
        return not self.truth.defective and passes(self.old) and not passes(self.new)

    @property
    def mended_false_reject(self) -> bool:
        """A good part that the old model alone rejects."""
        return not self.truth.defective and passes(self.new) and not passes(self.old)

    @property
    def kind(self) -> str:
        """What became of the picture, in words."""
        if self.new_miss:
            return "defect missed now"
        if self.new_find:
            return "defect found now"
        if self.new_false_reject:
            return "good part rejected now"
        if self.mended_false_reject:
            return "good part passes now"
        return f"{'defective' if self.truth.defective else 'good'}, {_said(self.old)} → {_said(self.new)}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        both = ((name, getattr(self, name)) for name in ("old", "new"))
        said = {
            name: {"decision": record.decision, "score": record.score, "p_value": record.p_value}
            | ({} if record.error is None else {"error": record.error})
            for name, record in both
        }
        truth = {"kind": self.truth.kind, "defective": self.truth.defective}
        return {"path": self.path, **truth, **said, "became": self.kind}


def passes(record: Record) -> bool:
    """Whether the part goes on, if only to a person: it is not rejected, and there is a verdict."""
    return record.decision in (Decision.ACCEPT, Decision.REVIEW)


def parts_right(pairs: Iterable[Pair]) -> list[tuple[bool, bool]]:
    """Of each part, whether the old model and the new one are right about it.

    A defect counts as found where one picture of the part is rejected or sent to review, a good part as
    rejected where one is.
    """
    told: defaultdict[tuple[str, bool], list[tuple[bool, bool]]] = defaultdict(list)
    for pair in pairs:
        told[pair.part, pair.truth.defective].append((right(pair.old), right(pair.new)))
    rights = list[tuple[bool, bool]]()
    for (_, defective), own in told.items():
        joined = any if defective else all
        rights.append((joined(old for old, _ in own), joined(new for _, new in own)))
    return rights


def right(record: Record) -> bool:
    """A defect that is found, or a good part that is not rejected."""
    return record.flagged if record.defective else passes(record)


def _said(record: Record) -> str:
    return "no verdict" if record.decision is None else record.decision.value
