"""Findings of `flawscope data check` and `annotate check`: their rules, how grave they are, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flawscope.data.samples import Sample

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

RULES: dict[str, tuple[Severity, str]] = {
    "layout": ("error", "Point at the folder that holds the pictures."),
    "no-pictures": ("error", "Point at the folder that holds the pictures."),
    "unreadable": ("error", "Copy it again from its source, or remove it."),
    "contradiction": ("error", "Keep it where it belongs and remove the other."),
    "leak": ("error", "Remove it from one of them; figures on it are too good."),
    "mask-misfit": ("error", "Annotate the picture again, or remove the mask."),
    "mask-on-good": ("error", "Move the picture to its defect kind, or empty the mask."),
    "too-few-normals": ("error", "Add good pictures; 30 make a start, a few hundred inspect reliably."),
    "annotation": ("error", "Correct the annotation, or remove it."),
    "no-match": ("error", "Let annotations be called, and lie, as their pictures do."),
    "doubtful-kind": (
        "warning",
        "Rename the folder if that is wrong: good, ok or defect_free for good parts, the flaw for others.",
    ),
    "no-good": ("warning", "Put good pictures beside them, in a folder named good."),
    "left-out": ("warning", "Move, rename or convert what should count; remove the rest."),
    "tell-tale": (
        "warning",
        "Record good and defective parts alike; until then figures may show that and not the flaws.",
    ),
    "few-normals": ("warning", "Add pictures of good parts, or ask for a higher false-reject rate."),
    "unnamed-groups": ("warning", "Name them with --groups, so that the promise counts parts, not pictures."),
    "group-leak": ("warning", "Keep a part on one side; figures on its other pictures are too good."),
    "duplicate": ("warning", "Keep one; copies make calibration look surer than it is."),
    "near-leak": ("warning", "Look at them; where they show one part, keep them on one side."),
    "mask-missing": ("warning", "Annotate it; until then it cannot count in figures for location."),
    "mask-empty": ("warning", "Annotate the defect, or move the picture to the good ones."),
    "mask-inverted": ("warning", "Look at it; where it is drawn black on white, turn it round."),
    "odd-sizes": ("warning", "Check camera and cropping, and remove pictures of another product."),
    "flat": ("warning", "Check camera, trigger and export, and remove them."),
    "small-range": ("warning", "Expose longer or raise the gain, so that the camera fills the scale."),
    "mixed-modes": ("warning", "Record all with the same camera settings; a detector may learn the mode."),
    "unmatched": ("warning", "Rename it as its picture, or remove it."),
    "overlap": ("warning", "Draw one within the other, or apart; until then the order decides."),
    "covered": ("warning", "List it before the one that covers it, in components.yaml."),
    "empty-part": (
        "warning",
        "Draw it again, or remove it; perhaps it was drawn on a picture of another size.",
    ),
    "duplicate-part": ("warning", "Remove one of the two; pieces are counted."),
    "specks": ("warning", "Let neighbours meet; training takes such pixels for background."),
    "single-example": ("warning", "Annotate it in more pictures; one shows no spread."),
    "never-annotated": ("warning", "Annotate it, or take its name out of components.yaml."),
    "unstated-order": (
        "note",
        "State it in components.yaml, from the first that claims a pixel to the last.",
    ),
    "gaps": ("note", "That is background; annotate what else is part of the product."),
    "unannotated": ("note", "Ten annotated pictures make a start."),
    "numbers": (
        "note",
        "Training fits black and white to good pictures; --set data.intensities=[LOW,HIGH] declares them.",
    ),
    "hidden": ("note", "Rename what should count."),
    "near-duplicate": ("note", "Look at them; where they show one part, keep one."),
    "mixed-sizes": ("note", "All are brought to one size; keep the aspect (pad) where shapes differ much."),
}


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding.

    Attributes:
        severity: an error spoils training or its figures; a warning probably does; a note is worth knowing.
        rule: short name of the check, one of `RULES`, stable across versions.
        files: the files that the finding is about; the data set's folder where it is about the whole.
        message: what was found, in one line.
        fix: what to do about it.
    """

    severity: Severity
    rule: str
    files: tuple[Path, ...]
    message: str
    fix: str


def found(rule: str, where: Path | Iterable[Sample | Path], message: str, fix: str | None = None) -> Issue:
    """The finding that `rule` names, about one path, paths or samples; `fix` replaces the rule's own."""
    paths = (where,) if isinstance(where, Path) else where
    files = tuple(one if isinstance(one, Path) else one.path for one in paths)
    severity, usual_fix = RULES[rule]
    return Issue(severity, rule, files, " ".join(message.split()), fix or usual_fix)


def worst_first(issues: Iterable[Issue]) -> list[Issue]:
    """Findings by severity, then rule, then file."""
    return sorted(issues, key=lambda issue: (SEVERITIES.index(issue.severity), issue.rule, issue.files))
