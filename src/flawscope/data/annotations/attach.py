"""Annotations as parts of a data set's pictures, in the order that somebody states or a sensible one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flawscope.data.annotations.drawing import Drawing, ShapesPart
from flawscope.data.annotations.matching import Unmatched, matched
from flawscope.data.annotations.order import ORDER, Component, read_order
from flawscope.data.annotations.partition import BACKGROUND
from flawscope.data.annotations.reading import read_annotations
from flawscope.data.annotations.sheet import Sheet
from flawscope.data.label_folder import LabelPart
from flawscope.data.samples import Dataset, Sample
from flawscope.data.segment_maps import MOST_SEGMENTS, picture_size, read_labels, shares_of
from flawscope.errors import DataError, suggest

_LISTED = 5


@dataclass(frozen=True, slots=True)
class Annotated:
    """A data set whose pictures have their annotated parts, and what was found on the way.

    Attributes:
        dataset: its samples have `parts` where they are annotated.
        components: which there are, in their order; the background claims at its place.
        stated: the file that states the order; None where nobody does.
        unmatched: annotations that belong to no picture.
        problems: what cannot be used, each as an error that names it.
    """

    dataset: Dataset
    components: tuple[Component, ...]
    stated: Path | None
    unmatched: tuple[Unmatched, ...]
    problems: tuple[DataError, ...]

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The annotated pictures."""
        return tuple(sample for sample in self.dataset if sample.parts)

    @property
    def overlapping(self) -> bool:
        """Whether parts may lie upon each other, unlike the classes of label maps."""
        return any(not isinstance(part, LabelPart) for sample in self.samples for part in sample.parts)

    def require(self) -> Annotated:
        """These annotations, where all of them can be used and any belongs to a picture.

        Raises:
            DataError: the first problem.
        """
        if self.problems:
            raise self.problems[0]
        if not self.samples:
            first = str(self.unmatched[0]) if self.unmatched else "files without a shape"
            raise DataError(
                f"annotations for {self.dataset.root}",
                expected="some that are called as one of its pictures, and mark something",
                got=f"{len(self.unmatched)} others, such as {first}" if self.unmatched else first,
                fix="Let the annotations' names, and folders where names repeat, be those of the pictures.",
            )
        return self

    @property
    def learnt(self) -> tuple[Sample, ...]:
        """The annotated pictures that may be learnt from."""
        return tuple(one for one in self.samples if one.split == "train" and not one.defective)

    def require_learnt(self) -> Annotated:
        """As `require`, for training.

        Raises:
            DataError: as there; annotations of other pictures alone than good training ones.
        """
        if not self.require().learnt:
            raise DataError(
                f"annotations for {self.dataset.root}",
                expected="some of good training pictures",
                got=f"{len(self.samples)} of others, such as {self.samples[0].path}",
                fix="Annotate good pictures to learn from.",
            )
        return self

    def told(self) -> list[str]:
        """What the user should read before training."""
        good = self.learnt
        shown = {name: _pictures_with(name, good) for name in self._names()}
        ignored = [component.name for component in self.components if component.ignore]
        lines = [f"{len(good)} good training pictures are annotated: {', '.join(shown)}."]
        if ignored:
            lines.append(f"Left out of scores and heatmaps: {', '.join(ignored)}.")
        if self.stated is None and len(shown) > 1 and self.overlapping:
            lines.append(
                f"Nobody states which component a pixel belongs to first ({ORDER} beside the annotations): "
                f"the smaller, that is {', '.join(shown)}."
            )
        if single := [name for name, count in shown.items() if count == 1]:
            lines.append(f"Annotated in one picture only, and learnt from that: {', '.join(single)}.")
        if absent := [name for name, count in shown.items() if count == 0]:
            lines.append(f"Annotated in no good training picture, and so not learnt: {', '.join(absent)}.")
        return lines + self._without_picture()

    def left_out(self) -> list[str]:
        """What the user should read of figures from which ignored components are left out."""
        ignored = [component.name for component in self.components if component.ignore]
        of = [sample for sample in self.samples if any(part.ignore for part in sample.parts)]
        said = f"In {len(of)} pictures pixels of {', '.join(ignored)} count in no figure of place."
        nothing = f"No component is ignored ({ORDER} beside the annotations): annotations change no figure."
        return [said if ignored else nothing, *self._without_picture()]

    def _without_picture(self) -> list[str]:
        if not self.unmatched:
            return []
        more = len(self.unmatched) - _LISTED
        named = "; ".join(str(one) for one in self.unmatched[:_LISTED])
        return [f"Annotations without a picture: {named}{f'; and {more} more' if more > 0 else ''}."]

    def _names(self) -> list[str]:
        return [component.name for component in self.components if component.name != BACKGROUND]


def attach(dataset: Dataset, place: Path) -> Annotated:
    """Read the annotations of a file or folder and give each picture its own.

    A picture's masks of defects that come from the very same file are dropped: it says what is annotated.
    Where the place has a folder for each of several products, those of products beside the data set are no
    annotations of it, however their pictures are numbered.

    Raises:
        DataError: nothing that is an annotation; an order that cannot be read.
        MissingExtraError: the order is stated, and PyYAML is not installed.
    """
    place = Path(place)
    reading = read_annotations(place)
    matches = matched(reading.drawings, dataset.samples, _others(dataset, place))
    problems = [*reading.problems, *matches.problems]
    usable = dict[Path, Drawing]()
    for path, drawing in matches.of.items():
        found = [*drawing.problems, *_misfit(path, drawing)]
        problems += found
        if not found:
            usable[path] = drawing
    order = (place if place.is_dir() else place.parent) / ORDER
    stated = order if order.is_file() else None
    if stated is not None:
        components = read_order(stated)
        problems += _unknown(matches.of.values(), components, stated)
    else:
        components = tuple(Component(name) for name in (BACKGROUND, *_smallest_first(usable)))
        problems += _too_many(place, components)
    ranks = {
        label: rank
        for rank, component in enumerate(components)
        for label in (component.name, *component.also)
    }
    samples = tuple(_with_parts(sample, usable.get(sample.path), components, ranks) for sample in dataset)
    return Annotated(
        replace(dataset, samples=samples), components, stated, matches.unmatched, tuple(problems)
    )


def _others(dataset: Dataset, place: Path) -> tuple[Path, ...]:
    """Folders of the place that are called as products beside this one, and not as a folder in it."""
    root = dataset.root.resolve()
    if not place.is_dir() or place.resolve().is_relative_to(root):
        return ()
    beside = {one.name.casefold() for one in root.parent.iterdir() if one.is_dir()} - {root.name.casefold()}
    folders = (one for one in place.iterdir() if one.is_dir() and not (root / one.name).is_dir())
    return tuple(one for one in folders if one.name.casefold() in beside)


def _with_parts(
    sample: Sample, drawing: Drawing | None, components: Sequence[Component], ranks: dict[str, int]
) -> Sample:
    """The sample with its parts, each by the name, order and mark of the component of its label."""
    if drawing is None:
        return sample
    known = [(part, ranks[part.name]) for part in drawing.parts if part.name in ranks]
    parts = tuple(
        replace(part, name=components[rank].name, order=rank, ignore=components[rank].ignore)
        for part, rank in known
    )
    own = drawing.file.resolve()
    masks = tuple(mask for mask in sample.masks if Path(getattr(mask, "path", "")).resolve() != own)
    return replace(sample, parts=parts, masks=masks)


def _misfit(path: Path, drawing: Drawing) -> list[DataError]:
    """The error of an annotation of another size than its picture."""
    size = picture_size(path)
    if drawing.size is not None and drawing.size != size:
        (height, width), (high, wide) = drawing.size, size
        fix = "Annotate this picture at its own size, or remove the annotation."
        if drawing.size == size[::-1]:
            fix = "Where a camera's EXIF mark turns it, annotate it turned, or save it turned for good."
        what, wanted = f"annotation of {path} in {drawing.file}", f"the picture's size, {wide}x{high}"
        return [DataError(what, expected=wanted, got=f"{width}x{height}", fix=fix)]
    shapes = (part for part in drawing.parts if isinstance(part, ShapesPart))
    return [error for part in shapes if (error := part.misfit(*size)) is not None]


def _unknown(drawings: Iterable[Drawing], components: Sequence[Component], stated: Path) -> list[DataError]:
    """An error for each name in a file that the stated order lacks."""
    known = [label for component in components for label in (component.name, *component.also)]
    return [
        DataError(
            f"annotation {drawing.file}",
            expected=f"components that {stated} lists",
            got=f'"{name}"',
            fix=suggest(name, known),
        )
        for drawing in drawings
        for name in sorted({part.name for part in drawing.parts} - set(known))
    ]


def _too_many(place: Path, components: Sequence[Component]) -> list[DataError]:
    """The error of more components than maps may have."""
    most, names = MOST_SEGMENTS - 1, len(components) - 1
    fix = "Name equal parts alike: pieces of one component need no names of their own."
    error = DataError(
        f"annotations {place}", expected=f"at most {most} components", got=f"{names} names", fix=fix
    )
    return [error] if names > most else []


def _smallest_first(drawings: dict[Path, Drawing]) -> list[str]:
    """Components by their mean area in the pictures that show them."""
    shares = defaultdict[str, list[float]](list)
    for path, drawing in drawings.items():
        for name, share in _areas(path, drawing).items():
            shares[name].append(share)
    means = {name: float(np.mean(found)) for name, found in shares.items() if name != BACKGROUND}
    return sorted(means, key=lambda name: (means[name], name))


def _areas(path: Path, drawing: Drawing) -> dict[str, float]:
    """Share of a picture that each of its components covers."""
    if classes := [part for part in drawing.parts if isinstance(part, LabelPart)]:
        of_class = shares_of(read_labels(drawing.file))
        return {part.name: float(of_class[part.index]) for part in classes}
    size, shares = picture_size(path), dict[str, float]()
    sheet, area = Sheet(*size), np.zeros(size, np.bool_)
    for name in dict.fromkeys(part.name for part in drawing.parts):  # one at a time: pictures may be large
        area[:] = False
        for part in drawing.parts:
            if part.name == name:
                box, mask = sheet.draw(part)
                area[box] |= mask
        shares[name] = float(area.mean())
    return shares


def _pictures_with(name: str, samples: Sequence[Sample]) -> int:
    return sum(any(part.name == name for part in sample.parts) for sample in samples)
