"""Which good pictures a trained model may be taught: new ones, of parts that do not calibrate it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flawscope.data.groups import GroupChoice
from flawscope.data.groups_as_before import group_further
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.survey import require_spread
from flawscope.errors import DataError
from flawscope.files import remembered_sha256
from flawscope.runtime.images import check_image
from flawscope.runtime.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Lessons:
    """Pictures to teach.

    Attributes:
        samples: new ones, each content once.
        known: how many were left out that the model has learnt from or was scaled on, or that came twice.
        calibrating: how many were left out that calibrate it, or whose part does.
        said: how many groups there are, in a sentence; empty where there are none.
    """

    samples: tuple[Sample, ...]
    known: int
    calibrating: int
    said: str = ""

    @property
    def contents(self) -> set[str]:
        """Their sha256."""
        return {remembered_sha256(sample.path) for sample in self.samples}


def lessons(manifest: Manifest, paths: Iterable[Path], groups: GroupChoice | None = None) -> Lessons:
    """What the model can be taught of good pictures, in `groups` or as the model has them.

    Raises:
        DataError: none is new; one that the model knows as defective; several that are all alike, or ones
            that show one colour and nothing else.
        InputError: a picture that cannot be read.
        OptionError: groups that cannot be made, or are needed, as the model counts parts.
    """
    pictures = manifest.provenance.pictures
    roles = {picture.sha256: picture.role for picture in pictures}
    calibrates = {"calibration", "normal"} if manifest.calibration.cross_conformal else {"calibration"}
    parts = {one.group for one in pictures if one.role in calibrates and one.group is not None}
    left_out, fresh = Counter[str](), dict[str, Sample]()
    given = [Sample(path, "train", defective=False) for path in paths]
    named = group_further(given, manifest.calibration.grouped_by, groups)
    for sample in named.samples:
        path = sample.path
        check_image(path)
        digest = remembered_sha256(path)
        role = roles.get(digest, "calibration" if sample.group in parts else None)
        if role == "defective":
            raise DataError(
                f"good picture {path}",
                expected="a picture of a good part",
                got="one that the model learnt as defective",
                fix="Remove it; if the part is good, learn the defects again without it.",
            )
        if role is not None or digest in fresh:
            left_out["calibration" if role == "calibration" else "known"] += 1
        else:
            fresh[digest] = sample
    known, calibrating = left_out["known"], left_out["calibration"]
    if not fresh:
        raise DataError(
            "good pictures to teach",
            expected="at least one that the model has not seen",
            got=f"{known} that it has learnt from and {calibrating} that calibrate it, which may not teach",
            fix="Take new pictures of good parts that it rejects.",
        )
    samples = tuple(fresh.values())
    require_spread(PictureFiles(samples, manifest.frame))
    return Lessons(samples, known, calibrating, named.said)
