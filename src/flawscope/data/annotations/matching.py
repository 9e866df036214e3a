"""Which picture an annotation belongs to: by the ends of their paths, whatever the pictures' ending."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flawscope.data.annotations.drawing import Drawing
from flawscope.data.samples import Sample
from flawscope.data.tables import composed
from flawscope.errors import DataError


@dataclass(frozen=True, slots=True)
class Unmatched:
    """An annotation that belongs to no picture, and why."""

    drawing: Drawing
    reason: str

    def __str__(self) -> str:
        return f"{self.drawing.file} ({self.drawing.picture.name}: {self.reason})"


@dataclass(frozen=True, slots=True)
class Matches:
    """The annotation of each picture, by its path, those that belong to none, and two of one picture."""

    of: dict[Path, Drawing]
    unmatched: tuple[Unmatched, ...]
    problems: tuple[DataError, ...]


def matched(drawings: Sequence[Drawing], samples: Sequence[Sample], foreign: Sequence[Path] = ()) -> Matches:
    """Find each annotation's picture; those in the folders of `foreign` belong to other products.

    It is the one of the same name, and of several the one whose folders agree with the annotation's the
    longest way up; of those that agree alike the only good training picture, for data sets whose kinds and
    splits number their pictures alike. One that marks nothing, as where each of several files lists all
    pictures, gives way to one that does.
    """
    named = defaultdict[str, list[tuple[Sample, tuple[str, ...]]]](list)
    for sample in samples:
        key = _key(sample.path)
        named[key[-1]].append((sample, key))
    claims, unmatched = defaultdict[Path, list[tuple[int, Drawing]]](list), list[Unmatched]()
    for drawing in drawings:
        beside = next((folder for folder in foreign if drawing.file.is_relative_to(folder)), None)
        if beside is not None:
            unmatched.append(Unmatched(drawing, f"{beside.name} is another product"))
            continue
        key = _key(drawing.picture)
        common = [(_agreeing(key, other), sample) for sample, other in named[key[-1]]]
        length = max((count for count, _ in common), default=0)
        found = [sample for count, sample in common if count == length]
        if len(found) > 1:
            found = [one for one in found if one.split == "train" and not one.defective] or found
        if len(found) == 1:
            claims[found[0].path].append((length, drawing))
        else:
            reason = f"{len(found)} pictures are called so" if found else "no picture is called so"
            unmatched.append(Unmatched(drawing, reason))
    best, problems = dict[Path, Drawing](), list[DataError]()
    for path, claim in claims.items():
        longest = max(length for length, _ in claim)
        near = [drawing for length, drawing in claim if length == longest]
        nearest, *more = [drawing for drawing in near if drawing.parts or drawing.problems] or near[:1]
        if more:
            problems.append(_twice(path, nearest, more[0]))
            continue
        best[path] = nearest
        farther = [drawing for length, drawing in claim if length < longest]
        unmatched += [Unmatched(other, f"that of {path} is {nearest.file}") for other in farther]
    return Matches(best, tuple(unmatched), tuple(problems))


def _twice(path: Path, first: Drawing, second: Drawing) -> DataError:
    files = f"{first.file} and {second.file}" if first.file != second.file else f"two in {first.file}"
    fix = "Remove one of them, or let the annotations' folders mirror the pictures'."
    return DataError(f"picture {path}", expected="one annotation", got=files, fix=fix)


def _key(path: Path) -> tuple[str, ...]:
    """A path's folders and name without ending, whatever their case and however umlauts are composed."""
    return tuple(composed(part).casefold() for part in path.absolute().with_suffix("").parts)


def _agreeing(one: Sequence[str], other: Sequence[str]) -> int:
    """How many names agree from the end on."""
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count
