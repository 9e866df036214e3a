"""Samples of a data set, their masks, and what training may see of them. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from flawscope.data.pictures import Pictures

from flawscope.errors import DataError

Split = Literal["train", "validation", "test"]
GOOD = "good"


class MaskSource(Protocol):
    """One annotated defect area of a picture, read only when it is needed."""

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        """The area as (height, width) bool at the picture's own size; DataError where sizes differ."""
        ...

    def saturation(self, area: int) -> float:
        """Pixels at which the area counts as found in full (sPRO); `area` itself where nothing is set."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of a data set.

    Attributes:
        path: the picture's file.
        split: which part of the published data set it belongs to.
        defective: whether it shows a defect.
        kind: `good`, or the defect kind as the layout names it.
        masks: annotated areas; empty where the layout has none for this picture.
        category: structural or logical, where the layout tells.
        group: the part that several views show (Real-IAD), where the layout tells.
        view: name of the camera view within the group.
        seen: False for defect kinds that are withheld from supervised training (VAD).
    """

    path: Path
    split: Split
    defective: bool
    kind: str = GOOD
    masks: tuple[MaskSource, ...] = ()
    category: Literal["structural", "logical"] | None = None
    group: str | None = None
    view: str | None = None
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

    def kinds(self) -> tuple[str, ...]:
        """Defect kinds in this data set, sorted, without `good`."""
        return tuple(sorted({sample.kind for sample in self.samples if sample.defective}))


@dataclass(frozen=True, slots=True)
class TrainingData:
    """All that `Detector.fit` can reach: calibration and test pictures are not in it.

    Attributes:
        normal: good pictures to learn from.
        tuning: good pictures that fit may scale on (quantiles, means, bounds) and learn nothing else from.
        natural: pictures of anything but the product, for methods that learn what is foreign to it; or None.
        defective: pictures of known defects, for methods that learn from some; or None.

    Raises:
        DataError: one file in two of normal, tuning and defective.
    """

    normal: Pictures
    tuning: Pictures
    natural: Pictures | None = None
    defective: Pictures | None = None

    def __post_init__(self) -> None:
        parts = {"normal": self.normal, "tuning": self.tuning, "defective": self.defective}
        _apart({f"the {name} part": pictures for name, pictures in parts.items()})

    def for_detector(self, scaled: float) -> TrainingData:
        """What a detector learns from whose answers another method learns from: parts of `normal` alone.

        Args:
            scaled: share of `normal` that becomes the detector's tuning pictures, at least two and evenly
                spread over it; 0 for a detector that scales on none.
        """
        count = len(self.normal)
        chosen = evenly(count, scaled)
        return TrainingData(
            self.normal.subset([index for index in range(count) if index not in chosen]),
            self.normal.subset(chosen),
            self.natural,
        )

    def unseen(self) -> Unseen:
        """What no detector of `for_detector` has seen."""
        return Unseen(self.tuning, self.defective if self.defective else None, self.normal)


@dataclass(frozen=True, slots=True)
class Unseen:
    """Pictures that certain detectors have learnt nothing from: all that a classifier of their maps may see.

    Attributes:
        normal: good pictures.
        defective: pictures of known defects, or None.
        learnt: the good pictures that the detectors learnt from or were scaled on.

    Raises:
        DataError: the detectors have learnt from one of the pictures.
    """

    normal: Pictures
    defective: Pictures | None
    learnt: Pictures

    def __post_init__(self) -> None:
        learnt = "what the detectors learn from"
        _apart({learnt: self.learnt, "the good pictures": self.normal, "the defective ones": self.defective})


def evenly(count: int, share: float) -> list[int]:
    """Indices of such a share of `count` pictures, at least two, evenly spread; none for 0.

    >>> evenly(10, 0.3)
    [0, 3, 6]
    """
    wanted = min(max(round(share * count), 2), max(count - 1, 0)) if share else 0
    return [index * count // wanted for index in range(wanted)]


def _apart(parts: Mapping[str, Pictures | None]) -> None:
    """Refuse a file that two parts hold."""
    owners: dict[Path, str] = {}
    for name, pictures in parts.items():
        for sample in pictures.samples if pictures is not None else ():
            other = owners.setdefault(sample.path.absolute(), name)
            if other != name:
                raise DataError(
                    f"picture {sample.path}",
                    expected="each picture in one part of the training data",
                    got=f"it in {other} and in {name}",
                    fix="Remove it from one of the two.",
                )


def paths_of(samples: Sequence[Sample]) -> list[Path]:
    """The picture files of `samples`, in their order."""
    return [sample.path for sample in samples]
