"""Which pictures `learn` may use: good ones that fit has not seen, and defects that nobody took for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flawscope.data.defects import read_defects, refuse_repeated
from flawscope.data.groups import GroupChoice, grouped_by, require_groups
from flawscope.data.groups_as_before import as_before, group_further
from flawscope.data.samples import Sample, ordered
from flawscope.data.splits import FEWEST_HELD_OUT, NormalSplit, split_normals
from flawscope.data.tiles import units_of
from flawscope.errors import DataError
from flawscope.files import remembered_sha256
from flawscope.runtime.calibration import normals_needed
from flawscope.runtime.images import check_image
from flawscope.runtime.manifest import Manifest
from flawscope.training.pack import Wish
from flawscope.training.recipe import LearnRecipe
from flawscope.training.selection import Selection

FOLDS = 5
FEWEST_NORMALS = 10
FEWEST_OF_A_KIND = 2


@dataclass(frozen=True, slots=True)
class LearnPictures:
    """Pictures to learn defects from.

    Attributes:
        normals: good pictures that fit has not seen, nor any other of their part.
        defective: pictures of known defects.
        choice: how they were put into groups; None: they were not.
    """

    normals: tuple[Sample, ...]
    defective: tuple[Sample, ...]
    choice: GroupChoice | None

    @property
    def grouped_by(self) -> str:
        """Where the good ones have groups from; empty: each counts by itself."""
        return grouped_by(self.choice, self.normals)

    def select(self, wish: Wish, seed: int) -> Selection:
        """Good pictures to learn from, as tuning ones, and to calibrate on; few do both, in folds.

        Those of a part of which defective pictures are learnt from do not calibrate, unless all do.
        """
        parts = {sample.group for sample in self.defective if sample.group is not None}
        beside = tuple(sample for sample in self.normals if sample.group in parts)
        free = tuple(sample for sample in self.normals if sample.group not in parts)
        needed, count = normals_needed(wish.alpha, wish.delta), len(set(units_of(free)))
        held_out = min(count // 2, needed)
        if held_out < min(FEWEST_HELD_OUT, needed):
            split = NormalSplit((), ordered(self.normals), (), test=(), folds=FOLDS)
        else:
            drawn = split_normals(free, seed=seed, calibration=held_out, parts=True)
            split = NormalSplit((), ordered((*drawn.training, *beside)), drawn.calibration, test=())
        return Selection(split, self.defective)


def pictures_to_learn(
    recipe: LearnRecipe, manifest: Manifest, normals: Sequence[Path], tell: Callable[[str], None]
) -> LearnPictures:
    """The recipe's pictures, in groups as it or the model says; `tell` hears of these.

    Raises:
        DataError: too few good pictures or of a kind, defective ones without masks for tiles, or such as the
            model knows as good.
        OptionError: groups that cannot be made.
    """
    own, wished = manifest.calibration, recipe.groups
    good = [Sample(path, "train", defective=False) for path in normals]
    defective = read_defects(recipe.defects)
    if good:
        group_further(good, own.grouped_by, wished)  # which are counted, whatever is told of defective ones
    found = group_further([*good, *defective], own.grouped_by, wished)
    if found.said:
        tell(found.said)
    fresh = _unseen(manifest, found.samples[: len(good)])
    require_groups(fresh, recipe.calibration.judge or own.judge)
    checked = _defective(manifest, recipe.defects, found.samples[len(good) :], fresh)
    if copies := len(defective) - len(checked):
        tell(f"{copies} of {len(defective)} defective pictures are copies of others and are left out.")
    return LearnPictures(fresh, checked, as_before(own.grouped_by, wished))


def _unseen(manifest: Manifest, normals: Sequence[Sample]) -> tuple[Sample, ...]:
    """Good pictures that fit has not seen, nor others of their part; each content once."""
    learnt = [picture for picture in manifest.provenance.pictures if picture.role != "calibration"]
    taken = {picture.sha256 for picture in learnt}
    parts = {picture.group for picture in learnt if picture.group is not None}
    fresh = []
    for sample in normals:
        check_image(sample.path)
        digest = remembered_sha256(sample.path)
        if digest not in taken and sample.group not in parts:
            taken.add(digest)
            fresh.append(sample)
    if len(set(units_of(fresh))) < FEWEST_NORMALS:
        left = len(normals) - len(fresh)
        raise DataError(
            "good pictures",
            expected=f"at least {FEWEST_NORMALS} that the model has not learnt from",
            got=f"{_count(fresh)}, and {left} that it has, or whose part it has, or that came twice"
            if parts
            else f"{_count(fresh)}, and {left} that it has or that came twice",
            fix="Take new pictures of good parts.",
        )
    return tuple(fresh)


def _count(samples: Sequence[Sample]) -> str:
    """How many, of how many parts where they have groups."""
    if all(sample.group is None for sample in samples):
        return f"{len(samples)}"
    parts = len(set(units_of(samples)))
    return f"{len(samples)} of {parts} part{'s' * (parts != 1)}"


def _marked(found: Sequence[Sample], folder: Path) -> tuple[Sample, ...]:
    """Those with masks, which alone tell defective tiles from good ones."""
    marked = tuple(sample for sample in found if sample.masks)
    if len(marked) < len(found):
        raise DataError(
            f"defective pictures in {folder}",
            expected="marked areas (masks) beside each, for the model sees tiles",
            got=f"{len(found) - len(marked)} of {len(found)} without",
            fix="Add masks, or remove the others from the folder.",
        )
    return marked


def _contents(found: Sequence[Sample]) -> tuple[Sample, ...]:
    """Each content once: a copy would judge what the other has taught. One with masks, or a group, stays.

    Raises:
        DataError: copies are of two kinds.
    """
    first = dict[str, Sample]()
    for sample in found:
        check_image(sample.path)
    for sample in sorted(found, key=lambda one: (not one.masks, one.group is None)):
        other = first.setdefault(remembered_sha256(sample.path), sample)
        if other.kind != sample.kind:
            raise DataError(
                f"defective picture {sample.path}",
                expected=f"a picture of {sample.kind} alone",
                got=f"the content of {other.path}",
                fix="Remove it from the folder of one of the two kinds.",
            )
    return ordered(first.values())


def _defective(
    manifest: Manifest, folder: Path, found: tuple[Sample, ...], normals: Sequence[Sample]
) -> tuple[Sample, ...]:
    """Defective pictures, two or more of each kind, of two parts, each content once and none a good one."""
    found = _contents(found)
    if manifest.tiling is not None:
        found = _marked(found, folder)
    counts = Counter(sample.kind for sample in found)
    kind, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < FEWEST_OF_A_KIND:
        raise DataError(
            f"defect kind {kind!r}" if len(counts) > 1 else f"defective pictures in {folder}",
            expected=f"at least {FEWEST_OF_A_KIND} pictures, one to learn from and one to judge by",
            got=str(fewest),
            fix="Add a picture of it, or put it into the folder of another kind.",
        )
    if len(set(units_of(found))) < FEWEST_OF_A_KIND:
        raise DataError(
            f"defective pictures in {folder}",
            expected=f"pictures of at least {FEWEST_OF_A_KIND} parts, one to learn from and one to judge by",
            got=_count(found),
            fix="Add pictures of another part; or correct --groups, where these show several.",
        )
    refuse_repeated(normals, found)
    known = {picture.sha256: picture.name for picture in manifest.provenance.pictures}
    for sample in found:
        name = known.get(remembered_sha256(sample.path))
        if name is not None:
            raise DataError(
                f"defective picture {sample.path}",
                expected="a picture that the model does not know as good",
                got=f"the content of {name}, from which it was made",
                fix="Remove it; if the part is defective, train the model again without it.",
            )
    return found
