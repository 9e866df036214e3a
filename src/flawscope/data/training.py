"""What training may see of a data set: pictures by what they are for. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flawscope.data.pictures import Pictures
from flawscope.errors import DataError


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
