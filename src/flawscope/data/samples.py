"""Samples of a data set, their masks, and what training may see of them. No torch here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from flawscope.data.truth import doubtful, says_bad
from flawscope.errors import DataError
from flawscope.runtime.listing import LeftOut

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from flawscope.runtime.tiling import Tile


Split = Literal["train", "validation", "test"]
GOOD = "good"

T = TypeVar("T")


class MaskSource(Protocol):
    """One annotated defect area of a picture, read only when it is needed."""

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        """The area as (height, width) bool at the picture's own size; DataError where sizes differ."""
        ...

    def saturation(self, area: int) -> float:
        """Pixels at which the area counts as found in full (sPRO); `area` itself where nothing is set."""
        ...


class PartSource(Protocol):
    """One annotated part of the product in a picture, read only when it is needed.

    Parts may overlap: a pixel belongs to the one of the lowest `order` that covers it.
    """

    @property
    def name(self) -> str:
        """The component that the part is one of, such as `screw`; several parts may share it."""
        ...

    @property
    def order(self) -> int:
        """The component's rank: lower ones lie upon higher ones."""
        ...

    @property
    def ignore(self) -> bool:
        """Whether the component is marked as none to judge."""
        ...

    @property
    def crowd(self) -> bool:
        """Whether the part may be several pieces that nobody has told apart, such as a label map's class."""
        ...

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        """The part as (height, width) bool at the picture's own size; DataError where sizes differ."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of a data set.

    Attributes:
        path: the picture's file.
        split: which split of the published data set it belongs to.
        defective: whether it shows a defect.
        kind: `good`, or the defect kind as the layout names it.
        masks: annotated areas; empty where the layout has none for this picture.
        parts: annotated parts of the product; empty where nobody has annotated this picture.
        category: structural or logical, where the layout tells.
        group: the piece that several views show (Real-IAD), where the layout tells.
        seen: False for defect kinds that are withheld from supervised training (VAD).
        named: what the folder or label of its kind is called; empty where it is `kind` itself.
        tile: the tile of the picture that the sample is of; None: the whole picture.
    """

    path: Path
    split: Split
    defective: bool
    kind: str = GOOD
    masks: tuple[MaskSource, ...] = ()
    parts: tuple[PartSource, ...] = ()
    category: Literal["structural", "logical"] | None = None
    group: str | None = None
    seen: bool = True
    named: str = ""
    tile: Tile | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """Pictures of one name, and how they count.

    Attributes:
        name: the folder or label as the data set writes it.
        defective: whether they count as defective.
        pictures: how many are in which split.
        doubtful: whether the name leaves doubt that this is right.
    """

    name: str
    defective: bool
    pictures: dict[Split, int]
    doubtful: bool

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {split}" for split, count in self.pictures.items())
        return f"{self.name} ({'defective' if self.defective else 'good'}): {counts}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """The samples of one product, as a layout reader found them.

    `masked` tells whether the layout annotates areas at all: where it does, a defective sample
    without masks is an annotation error, not a choice. `left_out` is what lies in the folder and is not read.
    """

    name: str
    layout: str
    root: Path
    samples: tuple[Sample, ...]
    masked: bool = False
    left_out: tuple[LeftOut, ...] = ()

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def select(
        self, *, split: Split | None = None, defective: bool | None = None, kind: str | None = None
    ) -> tuple[Sample, ...]:
        """Samples that meet every given condition, in the data set's order."""
        return tuple(
            sample
            for sample in self.samples
            if (split is None or sample.split == split)
            and (defective is None or sample.defective == defective)
            and (kind is None or sample.kind == kind)
        )

    def good(self) -> tuple[Sample, ...]:
        """Good pictures, the training ones where there are any.

        Raises:
            DataError: there are none.
        """
        found = self.select(split="train", defective=False) or self.select(defective=False)
        if not found:
            fix = "Point at the folder that holds the good pictures."
            raise DataError(str(self.root), expected="good pictures", got="none", fix=fix)
        return found

    def kinds(self) -> tuple[str, ...]:
        """Defect kinds in this data set, sorted, without `good`."""
        return tuple(sorted({sample.kind for sample in self.samples if sample.defective}))

    def truths(self) -> list[Kind]:
        """Each kind by the name that the data set gives it, with its truth: good ones first, then by name."""
        counts: defaultdict[tuple[bool, str], Counter[Split]] = defaultdict(Counter)
        for sample in self.samples:
            counts[sample.defective, sample.named or sample.kind][sample.split] += 1
        return [
            Kind(name, defective, dict(splits), doubtful(name) if defective else says_bad(name))
            for (defective, name), splits in sorted(counts.items())
        ]


def ordered(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Samples by path: what is drawn from them then depends on a seed alone."""
    return tuple(sorted(samples, key=lambda sample: sample.path.as_posix()))


def paths_of(samples: Sequence[Sample]) -> list[Path]:
    """The picture files of `samples`, in their order."""
    return [sample.path for sample in samples]


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of them, evenly spread, the first and the last among them where there are two or more.

    >>> spread(range(10), 4)
    [0, 3, 6, 9]
    """
    count = min(len(items), most)
    step = (len(items) - 1) / max(count - 1, 1)
    return [items[round(index * step)] for index in range(count)]
