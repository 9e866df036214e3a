"""What `flawscope annotate check` finds: components by number and area, and what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.annotations.attach import Annotated
from flawscope.data.annotations.order import ORDER
from flawscope.data.annotations.partition import BACKGROUND, partition
from flawscope.data.annotations.sheet import Sheet
from flawscope.data.checks.issues import Issue, found, worst_first
from flawscope.data.labelme_shapes import Box
from flawscope.data.samples import Dataset, PartSource, Sample
from flawscope.data.segment_maps import MOST_SEGMENTS, Labels
from flawscope.data.sheets.segments import overlay_segments, with_names
from flawscope.progress import Progress, Silent
from flawscope.runtime.images import read_image
from flawscope.runtime.overlay import thumbnail, write_png

Mask = NDArray[np.bool_]

_NESTED = 0.95  # share of the smaller of two from which on it lies in the other
_BORDER = np.ones((3, 3), np.uint8)  # what is thinner is the border that neighbours share
_SAME = 0.9  # share of the larger of two pieces that both cover where one is drawn twice
_SPECK = 0.0005  # of the picture: gaps up to there are slips between neighbours
_SIDE = 1600  # longest side of an overlay in pixels


@dataclass(frozen=True, slots=True)
class ComponentFacts:
    """One component.

    Attributes:
        name: of it.
        ignore: whether it is none to judge.
        pictures: annotated pictures that show it.
        pieces: of it in all of them.
        share: mean share of those pictures' pixels that belong to it, once the order has decided.
    """

    name: str
    ignore: bool
    pictures: int
    pieces: int
    share: float


@dataclass(frozen=True, slots=True)
class Checked:
    """What annotations hold.

    Attributes:
        components: in their order.
        annotated: how many pictures are.
        uncovered: mean share of their pixels that belong to no component.
        issues: findings, the worst first.
    """

    components: tuple[ComponentFacts, ...]
    annotated: int
    uncovered: float
    issues: tuple[Issue, ...]


@dataclass(slots=True)
class _Tally:
    """What the pictures show, gathered one by one."""

    shares: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    pieces: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    gaps: list[tuple[float, Sample]] = field(default_factory=list)
    overlaps: defaultdict[tuple[str, str], list[tuple[float, Sample]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    covered: defaultdict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    empty: defaultdict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    twice: defaultdict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    specks: list[tuple[int, Sample]] = field(default_factory=list)


def check_annotations(
    annotated: Annotated, out: Path | None = None, progress: Progress | None = None
) -> Checked:
    """Look at every annotated picture; draw each into `out` with its components, where that is given.

    Raises:
        InputError: a picture that cannot be read.
        OutputError: the folder cannot be written.
    """
    tally = _Tally()
    names = [BACKGROUND, *(one.name for one in annotated.components if one.name != BACKGROUND)]
    names = names[:MOST_SEGMENTS]
    samples = [sample for sample in annotated.samples if {part.name for part in sample.parts} <= set(names)]
    with (progress or Silent()).stage("reading annotations", len(samples)) as stage:
        for sample in samples:
            labels = partition(sample, names)
            _count(tally, sample, labels, names)
            if out is not None:
                write_png(drawn_at(out, annotated.dataset, sample), _overlay(sample.path, labels, names))
            stage.advance()
    facts = [
        ComponentFacts(
            one.name,
            one.ignore,
            len(tally.shares[one.name]),
            tally.pieces[one.name],
            float(np.mean(tally.shares[one.name])) if tally.shares[one.name] else 0.0,
        )
        for one in annotated.components
        if one.name != BACKGROUND
    ]
    uncovered = float(np.mean([gap for gap, _ in tally.gaps])) if tally.gaps else 0.0
    issues = [*_of_files(annotated), *_of_components(annotated, facts), *_of_pixels(tally)]
    return Checked(tuple(facts), len(samples), uncovered, tuple(worst_first(issues)))


def drawn_at(out: Path, dataset: Dataset, sample: Sample) -> Path:
    """Where the drawing of a picture lies."""
    below = sample.path.absolute().relative_to(dataset.root.absolute())
    return (out / below).with_suffix(".png")


def _count(tally: _Tally, sample: Sample, labels: Labels, names: Sequence[str]) -> None:
    """Add one picture."""
    sheet = Sheet(*labels.shape)
    drawn = [_Drawn.of(part, *sheet.draw(part)) for part in sample.parts]
    hole = np.zeros(labels.shape, np.bool_)
    for one in drawn:
        tally.pieces[one.name] += one.pieces
        if one.name == BACKGROUND:
            hole[slice(*one.rows), slice(*one.columns)] |= one.mask
    for name in {one.name for one in drawn} - {BACKGROUND}:
        share = float((labels == names.index(name)).mean())
        tally.shares[name].append(share)
        if share == 0 and any(one.area for one in drawn if one.name == name):
            tally.covered[name].append(sample)
    for name in {one.name for one in drawn if not one.area}:
        tally.empty[name].append(sample)
    overlaps, twice = dict[tuple[str, str], float](), set[str]()
    for one, other in combinations(sorted(drawn, key=lambda one: names.index(one.name)), 2):
        common = one.common(other)
        share = int(common.sum()) / max(min(one.area, other.area), 1)
        if one.name == other.name and common.sum() > _SAME * max(one.area, other.area):
            twice.add(one.name)
        beside = one.name not in (BACKGROUND, other.name) and 0 < share < _NESTED
        if beside and cv2.erode(common.astype(np.uint8), _BORDER, borderValue=0).any():
            pair = one.name, other.name
            overlaps[pair] = max(share, overlaps.get(pair, 0.0))
    for pair, share in overlaps.items():
        tally.overlaps[pair].append((share, sample))
    for name in twice:
        tally.twice[name].append(sample)
    gap = labels == 0
    tally.gaps.append((float(gap.mean()), sample))
    if specks := _specks(gap & ~hole):
        tally.specks.append((specks, sample))


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A part as it is drawn: pixels, pieces, the rows and columns that it reaches, and its mask there."""

    name: str
    mask: Mask
    area: int
    pieces: int
    rows: tuple[int, int]
    columns: tuple[int, int]

    @classmethod
    def of(cls, part: PartSource, box: Box, mask: Mask) -> _Drawn:
        """Of what `Sheet.draw` says of a part."""
        ends = []
        for axis in (1, 0):
            places = np.flatnonzero(mask.any(axis))
            ends.append((int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0))
        shown = slice(*ends[0]), slice(*ends[1])
        inside = mask[shown].copy()  # so that a large picture's parts fit in memory
        rows, columns = (
            (start + side.start, stop + side.start) for (start, stop), side in zip(ends, box, strict=True)
        )
        return cls(part.name, inside, int(inside.sum()), _pieces(part, inside), rows, columns)

    def common(self, other: _Drawn) -> Mask:
        """What both cover, of the box that both reach."""
        top, left = max(self.rows[0], other.rows[0]), max(self.columns[0], other.columns[0])
        height = max(min(self.rows[1], other.rows[1]) - top, 0)
        width = max(min(self.columns[1], other.columns[1]) - left, 0)
        one, another = (
            part.mask[top - part.rows[0] :, left - part.columns[0] :][:height, :width]
            for part in (self, other)
        )
        return np.asarray(one & another)


def _pieces(part: PartSource, mask: Mask) -> int:
    """How many pieces a part is: connected areas where the annotation does not tell them apart."""
    if not part.crowd or not mask.size:
        return int(not part.crowd)
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


def _specks(gap: Mask) -> int:
    """Areas of no component, (H, W), that are too small to be meant."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(gap.astype(np.uint8), connectivity=8)
    return int((stats[1:count, cv2.CC_STAT_AREA] < max(_SPECK * gap.size, 2)).sum())


def _of_files(annotated: Annotated) -> list[Issue]:
    """Findings about files, names and pictures."""
    root = annotated.dataset.root
    issues = [
        found("annotation", (), f"{error.what}: expected {error.expected}, got {error.got}.", error.fix)
        for error in annotated.problems
    ]
    if not annotated.samples and not annotated.problems:
        issues.append(found("no-match", root, "No annotation that marks something belongs to a picture."))
    for one in annotated.unmatched:
        message = f"{one.drawing.picture.name} has no picture: {one.reason}."
        issues.append(found("unmatched", one.drawing.file, message))
    good = [sample for sample in annotated.dataset.select(split="train", defective=False) if not sample.parts]
    if good:
        issues.append(found("unannotated", good, f"{len(good)} good training pictures are not annotated."))
    return issues


def _of_components(annotated: Annotated, facts: Sequence[ComponentFacts]) -> list[Issue]:
    """Findings about components."""
    root, issues = annotated.dataset.root, list[Issue]()
    for one in facts:
        if one.pictures == 1:
            (where,) = [s for s in annotated.samples if any(part.name == one.name for part in s.parts)][:1]
            issues.append(found("single-example", [where], f"{one.name} is annotated in one picture only."))
        if one.pictures == 0:
            issues.append(found("never-annotated", annotated.stated or root, f"No picture shows {one.name}."))
    if annotated.stated is None and annotated.overlapping and len(facts) > 1:
        order = ", ".join(one.name for one in facts)
        message = f"There is no {ORDER}: the smaller component claims a pixel first, that is {order}."
        issues.append(found("unstated-order", root, message))
    return issues


def _of_pixels(tally: _Tally) -> list[Issue]:
    """Findings about what is drawn."""
    issues = list[Issue]()
    for (first, other), cases in tally.overlaps.items():
        most = max(share for share, _ in cases)
        message = (
            f"{first} and {other} overlap in part in {len(cases)} pictures, in up to {most:.0%} of the "
            f"smaller; {first} has those pixels."
        )
        issues.append(found("overlap", [sample for _, sample in cases], message))
    for name, samples in tally.covered.items():
        message = f"Others claim all of {name} in {len(samples)} pictures."
        issues.append(found("covered", samples, message))
    for name, samples in tally.empty.items():
        message = (
            f"{name} has a piece without a pixel in {len(samples)} pictures: beside the picture, or empty."
        )
        issues.append(found("empty-part", samples, message))
    for name, samples in tally.twice.items():
        issues.append(found("duplicate-part", samples, f"{name} is drawn twice in {len(samples)} pictures."))
    if tally.specks:
        count, samples = sum(specks for specks, _ in tally.specks), [sample for _, sample in tally.specks]
        message = f"{count} specks of no component lie between components in {len(samples)} pictures."
        issues.append(found("specks", samples, message))
    if tally.gaps:
        most, sample = max(tally.gaps, key=lambda case: case[0])
        mean = float(np.mean([share for share, _ in tally.gaps]))
        if most > 0:
            message = f"{mean:.1%} of the pixels belong to no component, at most {most:.1%} of a picture."
            issues.append(found("gaps", [sample], message))
    return issues


def _overlay(path: Path, labels: Labels, names: Sequence[str]) -> NDArray[np.uint8]:
    """The picture with its components in colour above their names, about 800 to 1600 pixels wide or high."""
    picture = thumbnail(read_image(path), _SIDE)
    larger = max(1, _SIDE // 2 // max(picture.shape))
    picture = picture.repeat(larger, axis=0).repeat(larger, axis=1)
    size = (picture.shape[1], picture.shape[0])
    drawn = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    shown = {int(label): names[label] for label in np.unique(labels) if label}
    return with_names(overlay_segments(picture, drawn), shown)
