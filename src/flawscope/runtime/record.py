"""The one form of a picture's answer from the engine to the screen: a record, and small pictures with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pydantic import Field, FiniteFloat, InstanceOf, model_validator

from flawscope.errors import FlawscopeError
from flawscope.runtime.alarm import Alarm
from flawscope.runtime.frozen import Frozen
from flawscope.runtime.prediction import Decision, Finding, Prediction

State = tuple[int, int]


class Truth(Frozen):
    """What is known about a picture: `good` or its defect kind, and whether that kind may be learnt from."""

    kind: InstanceOf[str]  # names of folders and files need not be text that pydantic takes for a string
    defective: bool
    seen: bool = True


class Record(Frozen):
    """What an inspection says about one picture: a verdict, or the error that stood in its way.

    Attributes:
        path: the file, as the user named it.
        state: its size in bytes and time of change in ns before it was read; None where it was not there.
        model: identity of model, calibration and engine (`Inspector.identity`).
        score: raw anomaly score, higher is more anomalous; None with an error, as the next two.
        p_value: share of good pictures expected to score as high, in (0, 1].
        decision: the verdict.
        findings: sentences about what is wrong, with numbers and regions.
        contributions: (label, contribution to the score), strongest first, where the method tells; all of
            them, so that the score is their sum and a start that all pictures share.
        picture: sha256 of the file's bytes as they were decoded, in hex; None where none could be read.
        conditions: of the picture itself, by name (`flawscope.runtime.conditions`), as far as the model knows
            them of its calibration pictures.
        drift: alarms that the stream of pictures has raised with this one (`flawscope.runtime.drift`).
        truth: where it is known.
        error: why the picture could not be inspected, in one line.
    """

    path: InstanceOf[str]
    state: State | None = None
    model: str = ""
    score: FiniteFloat | None = None
    p_value: FiniteFloat | None = None
    decision: Decision | None = None
    findings: tuple[Finding, ...] = ()
    contributions: tuple[tuple[str, FiniteFloat], ...] = ()
    picture: str | None = None
    conditions: dict[str, FiniteFloat] = Field(default_factory=dict)
    drift: tuple[Alarm, ...] = ()
    truth: Truth | None = None
    error: InstanceOf[str] | None = None

    @model_validator(mode="after")
    def _answered_or_failed(self) -> Self:
        answer = (self.score, self.p_value, self.decision)
        if any((value is None) is (self.error is None) for value in answer):
            raise ValueError("a record holds score, p_value and decision, or an error")
        return self

    @classmethod
    def of(
        cls,
        path: Path,
        answer: Prediction | FlawscopeError,
        *,
        state: State | None = None,
        model: str = "",
        picture: str | None = None,
        truth: Truth | None = None,
        conditions: Mapping[str, float] = MappingProxyType({}),
    ) -> Self:
        """The record of one answer; contributions keep six significant digits."""
        values: dict[str, Any] = {"path": str(path), "state": state, "model": model, "truth": truth}
        values["picture"] = picture
        if isinstance(answer, FlawscopeError):
            return cls(**values, error=str(answer))
        values |= {name: getattr(answer, name) for name in ("score", "p_value", "decision", "findings")}
        moved = tuple((label, float(f"{value:.6g}")) for label, value in answer.contributions)
        return cls(**values, contributions=moved, conditions=dict(conditions))

    @classmethod
    def of_json(cls, line: Mapping[str, Any], *, model: str = "") -> Self:
        """From what `to_json` gave, and the picture's state under `file`.

        Raises:
            ValueError: it is no record.
        """
        values = {name: value for name, value in line.items() if name != "file"}
        return cls.model_validate(values | {"state": line.get("file"), "model": model})

    def to_json(self) -> dict[str, Any]:
        """Plain values: path, score, p_value, decision, findings; or path and error.

        The picture's hash, contributions, conditions and drift follow where there are any.
        """
        wanted = {"path", "error"}
        if self.error is None:
            wanted = {"path", "score", "p_value", "decision", "findings"}
            wanted |= {name for name in ("contributions", "conditions", "drift") if getattr(self, name)}
        wanted |= {"picture"} if self.picture else set()
        return self.model_dump(mode="json", include=wanted)

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return Path(self.path).name

    @property
    def flagged(self) -> bool:
        """Whether a person should look at it: not accepted."""
        return self.decision in (Decision.REVIEW, Decision.REJECT)

    @property
    def defective(self) -> bool | None:
        """The truth, or None where nobody knows."""
        return None if self.truth is None else self.truth.defective

    @property
    def missed(self) -> bool:
        """A defective product that was accepted."""
        return self.defective is True and self.decision is Decision.ACCEPT

    @property
    def false_reject(self) -> bool:
        """A good product that was rejected."""
        return self.defective is False and self.decision is Decision.REJECT

    @property
    def rank(self) -> float:
        """The score; pictures that could not be inspected lie below all others."""
        return float("-inf") if self.score is None else self.score


@dataclass(frozen=True, slots=True)
class Inset:
    """A further small picture of an inspected one: a PNG, JPEG or WebP file, and what it shows."""

    picture: bytes
    about: str


@dataclass(frozen=True, slots=True)
class Views:
    """Small pictures made while the pixels are at hand: WebP files; `overlay` is empty without a heatmap."""

    thumbnail: bytes = b""
    overlay: bytes = b""
    insets: tuple[Inset, ...] = ()
