"""Samples of a data set, their masks, and what training may see of them. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from flawscope.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
        """Whether the component is marked as none to learn or to judge."""
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


@dataclass(frozen=True, slots=True)
class Dataset:
    """The samples of one product, as a layout reader found them.

    `masked` tells whether the layout annotates areas at all: where it does, a defective sample
    without masks is an annotation error, not a choice.
    """

    name: str
    layout: str
    root: Path
    samples: tuple[Sample, ...]
    masked: bool = False

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
