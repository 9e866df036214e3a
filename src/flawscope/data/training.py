"""What training may see of a data set: pictures by what they are for. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flawscope.data.pictures import Pictures
from flawscope.data.tiles import units_of
from flawscope.errors import DataError


@dataclass(frozen=True, slots=True)
class TrainingData:
    """All that `Detector.fit` can reach: calibration and test pictures are not in it.

    Attributes:
        normal: good pictures to learn from.
        tuning: good pictures that fit may scale on (quantiles, means, bounds) and learn nothing else from.
        natural: pictures of anything but the product, for methods that learn what is foreign to it; or None.
        defective: pictures of known defects, for methods that learn from some; or None.
        parts: good pictures with annotated parts (`Sample.parts`), `normal` ones or others, for methods that
            learn what a product consists of; or None.

    Raises:
        DataError: one file in two of normal, tuning and defective, or in two of parts, tuning and defective;
            or a picture of `parts` without any.
    """

    normal: Pictures
    tuning: Pictures
    natural: Pictures | None = None
    defective: Pictures | None = None
    parts: Pictures | None = None

    def __post_init__(self) -> None:
        others = {"the tuning pictures": self.tuning, "the defective ones": self.defective}
        _apart({"the normal pictures": self.normal, **others})
        _apart({"the annotated pictures": self.parts, **others})
        bare = [sample for sample in self.parts.samples if not sample.parts] if self.parts is not None else []
        if bare:
            fix = "Annotate it, or remove it from the annotated pictures."
            what = f"picture {bare[0].path}"
            raise DataError(what, expected="annotated parts", got="a picture without any", fix=fix)

    def for_detector(self, scaled: float) -> TrainingData:
        """What a detector learns from whose answers another method learns from: pictures of `normal` alone.

        All tiles of a picture, and all pictures of a part, are learnt from, or none is.

        Args:
            scaled: share of `normal` that becomes the detector's tuning pictures, at least two and evenly
                spread over it; 0 for a detector that scales on none.
        """
        owners = units_of(self.normal.samples)
        chosen = set(evenly(len(set(owners)), scaled))
        learnt, tuning = (
            [index for index, owner in enumerate(owners) if (owner in chosen) is scales]
            for scales in (False, True)
        )
        return TrainingData(self.normal.subset(learnt), self.normal.subset(tuning), self.natural)

    def unseen(self) -> Unseen:
        """What no detector of `for_detector` has seen."""
        defective = self.defective if self.defective else None
        return Unseen(self.tuning, defective, self.normal, self.parts, self.natural)


@dataclass(frozen=True, slots=True)
class Unseen:
    """Pictures that certain detectors have learnt nothing from: all that a classifier of their maps may see.

    Attributes:
        normal: good pictures.
        defective: pictures of known defects, or None.
        learnt: the good pictures that the detectors learnt from or were scaled on.
        parts: good pictures with annotated parts, see `TrainingData`.
        natural: pictures of anything but the product, or None.

    Raises:
        DataError: the detectors have learnt from one of the pictures, or one is annotated.
    """

    normal: Pictures
    defective: Pictures | None
    learnt: Pictures
    parts: Pictures | None = None
    natural: Pictures | None = None

    def __post_init__(self) -> None:
        learnt = "what the detectors learn from"
        unseen = {"the good pictures": self.normal, "the defective ones": self.defective}
        _apart({learnt: self.learnt, **unseen})
        _apart({"the annotated pictures": self.parts, **unseen})


def evenly(count: int, share: float) -> list[int]:
    """Indices of such a share of `count` pictures, at least two, evenly spread; none for 0.

    >>> evenly(10, 0.3)
    [0, 3, 6]
    """
    wanted = min(max(round(share * count), 2), max(count - 1, 0)) if share else 0
    return [index * count // wanted for index in range(wanted)]


def _apart(roles: Mapping[str, Pictures | None]) -> None:
    """Refuse a file that has two roles."""
    owners: dict[Path, str] = {}
    for name, pictures in roles.items():
        for sample in pictures.samples if pictures is not None else ():
            other = owners.setdefault(sample.path.absolute(), name)
            if other != name:
                raise DataError(
                    f"picture {sample.path}",
                    expected="a picture with one role in training",
                    got=f"it in {other} and in {name}",
                    fix="Remove it from one of the two.",
                )
