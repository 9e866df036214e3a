"""A candidate takes the place of the model in use if it passes a gate; else both stay. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flawscope.data.samples import Dataset
from flawscope.errors import BundleError
from flawscope.progress import Progress
from flawscope.runtime import versions
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.versions import Version
from flawscope.station.compare import Comparison, compare
from flawscope.station.gate import Check, Gate, judge


@dataclass(frozen=True, slots=True)
class Gated:
    """What a gate made of a candidate.

    Attributes:
        comparison: the model in use beside the candidate.
        checks: the gate's bounds.
        before: name of the version that was in use.
        candidate: name of the candidate's version.
        version: the candidate, now in use; None where it did not pass.
        folder: where the candidate lies now: the model folder, or its place among the versions.
    """

    comparison: Comparison
    checks: tuple[Check, ...]
    before: str
    candidate: str
    version: Version | None
    folder: Path

    @property
    def passed(self) -> bool:
        """Whether the candidate is in use now."""
        return self.version is not None


def switch_if_it_passes(
    model: Path,
    candidate: Path,
    gate: Gate,
    event: Mapping[str, Any],
    *,
    dataset: Dataset | None = None,
    views: int = 0,
    progress: Progress | None = None,
) -> Gated:
    """Compare a candidate with the model in use on the gate's pictures, and switch if every bound holds.

    A candidate that does not pass stays at its place among the versions until the next one is written there.
    The model's log tells of both outcomes.

    Args:
        model: the model folder in use.
        candidate: a whole model folder at `versions.candidate_place(model)`.
        gate: what it must hold.
        event: what the log says of the change: `event` names the command, the rest is its own.
        dataset: the gate's pictures, where they are read already.
        views: how many flips get small pictures, for a report.

    Raises:
        BundleError: one of the models is damaged, or another process has changed one meanwhile.
        DataError, InputError, OptionError: the gate's pictures cannot be used.
        OutputError: the places cannot be written; the model in use stays.
    """
    pictures = gate.dataset() if dataset is None else dataset
    before, name = versions.name_of(model), versions.name_of(candidate)
    with Inspector.load(model) as old, Inspector.load(candidate) as new:
        found = compare(old, new, pictures, groups=gate.groups, views=views, progress=progress)
    checks = tuple(judge(gate, found))
    if (versions.name_of(model), versions.name_of(candidate)) != (before, name):
        raise _changed_meanwhile(model)
    judged = {check.key: check.found for check in checks}
    if all(check.passed for check in checks):
        version = versions.switch(model, candidate, {**event, "gate": judged})
        return Gated(found, checks, str(before), str(name), version, version.folder)
    refused = {"event": "refused", "by": event.get("event"), "candidate": name, "gate": judged}
    failed = [check.key for check in checks if not check.passed]
    versions.logged(model, {**event, **refused, "failed": failed})
    return Gated(found, checks, str(before), str(name), None, candidate)


def require_same(opened: Bundle) -> None:
    """Refuse to change a model that another command has changed since it was opened.

    Raises:
        BundleError: it is another one now.
    """
    if versions.name_of(opened.folder) != opened.sha256[:12]:
        raise _changed_meanwhile(opened.folder)


def _changed_meanwhile(model: Path) -> BundleError:
    return BundleError(
        f"model {model}",
        expected="the model as it was when work began",
        got="one that changed meanwhile",
        fix="Another command was at work; run this one again.",
    )
