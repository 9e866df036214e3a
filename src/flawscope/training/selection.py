"""Which of a data set's pictures a recipe lets a method see, and for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from flawscope.data.annotations.always_learnt import always_learnt
from flawscope.data.decoded import DecodedPictures
from flawscope.data.defects import draw_defects, read_defects, refuse_repeated, withhold, without
from flawscope.data.groups_as_before import group_if_fitting
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Dataset, Sample, ordered, paths_of
from flawscope.data.splits import (
    HELD_OUT_SHARE,
    TUNING_SHARE,
    NormalSplit,
    folds,
    limit_training,
    scale_within,
    split_dataset,
)
from flawscope.data.survey import Range, intensities_of
from flawscope.data.tiles import cut, cut_defective, draw_tiles, tiles_in
from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError
from flawscope.files import remembered_sha256
from flawscope.methods.detector import Detector
from flawscope.runtime.images import Frame, check_image, size_of
from flawscope.runtime.placement import Pair
from flawscope.runtime.provenance import Role, SeenPicture, seen
from flawscope.runtime.tiling import Tiling
from flawscope.station.sources import collect
from flawscope.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Selection:
    """Pictures by what they are for: the one form that they have between a recipe and what learns from them.

    Attributes:
        split: good pictures for training, tuning, calibration and test.
        defective: pictures of known defects.
        natural: pictures of anything but the product.
        annotated: good pictures that are for training whatever the split draws, in each fold, too: annotated
            ones, those that the model is taught, and those of parts whose defective pictures are learnt from.
        tiling: how pictures are cut into tiles of the frame; None: they are seen whole.
        learn_from: whether tiles are learnt from, or whole pictures; what calibrates is cut either way.
        most_tiles: good tiles that are learnt from where there are more, drawn by `seed`; None: all.
        decoded: large pictures that stay decoded, for whatever reads their tiles.
    """

    split: NormalSplit
    defective: tuple[Sample, ...] = ()
    natural: tuple[Sample, ...] = ()
    annotated: tuple[Sample, ...] = ()
    tiling: Tiling | None = None
    learn_from: Literal["tiles", "whole"] = "tiles"
    most_tiles: int | None = None
    seed: int = 0
    decoded: DecodedPictures = field(default_factory=DecodedPictures, compare=False, repr=False)

    @property
    def training(self) -> tuple[Sample, ...]:
        """Good pictures to learn from."""
        return self._beside_annotated(self.split.training)

    def _beside_annotated(self, training: tuple[Sample, ...]) -> tuple[Sample, ...]:
        return ordered((*self.annotated, *training)) if self.annotated else training

    def data(self, frame: Frame, training: tuple[Sample, ...] | None = None) -> TrainingData:
        """What a detector learns from, at its frame; `training` stands in for the split's, as in a fold.

        Its annotated pictures are those of the training ones that have parts. Natural pictures come from
        elsewhere, are seen whole, and keep their full scale. Of defective pictures in tiles those are learnt
        from that an annotated area touches.

        Raises:
            DataError: defective pictures of which no tile is known to be defective.
        """
        normal = self._beside_annotated(self.split.training if training is None else training)
        tiling = self.learnt_tiling
        annotated = tuple(sample for sample in normal if sample.parts)
        return TrainingData(
            normal=PictureFiles(self._shown(normal), frame, self.decoded),
            tuning=cut(self.split.tuning, frame, tiling, self.decoded),
            natural=PictureFiles(self.natural, replace(frame, intensities=None)) if self.natural else None,
            defective=self._defective(frame) if self.defective else None,
            parts=cut(annotated, frame, tiling, self.decoded) if annotated else None,
        )

    def _shown(self, normal: Sequence[Sample]) -> Sequence[Sample]:
        """Of good pictures what is learnt from: themselves, or their tiles, as many as may be."""
        if self.learnt_tiling is None:
            return normal
        tiles = tiles_in(normal, self.learnt_tiling)
        return tiles if self.most_tiles is None else draw_tiles(tiles, self.most_tiles, self.seed)

    def _defective(self, frame: Frame) -> Pictures:
        if self.learnt_tiling is None:
            return PictureFiles(self.defective, frame)
        found = cut_defective(self.defective, frame, self.learnt_tiling, self.decoded)
        if not len(found):
            raise DataError(
                "defective pictures in tiles",
                expected="annotated areas (masks), which tell defective tiles from good ones",
                got=f"{len(self.defective)} pictures without any",
                fix="Add masks beside the pictures.",
            )
        return found

    def about_defective(self, data: TrainingData) -> str:
        """What the user should know of defective pictures in tiles; empty where there is nothing."""
        if self.learnt_tiling is None or data.defective is None:
            return ""
        return (
            f"Of {len(self.defective)} defective pictures {len(data.defective)} tiles are learnt from, which "
            "marked areas touch; all others might be good or not, and are left out."
        )

    @property
    def learnt_tiling(self) -> Tiling | None:
        """How the pictures that are learnt from are cut."""
        return self.tiling if self.learn_from == "tiles" else None

    @property
    def good(self) -> tuple[Sample, ...]:
        """What is learnt from and scaled on; pictures that calibrate are not looked at."""
        return (*self.training, *self.split.tuning)

    def folds(self, frame: Frame, seed: int) -> list[tuple[TrainingData, Pictures]]:
        """For each fold what its model learns from, and the good pictures that it then scores."""
        return [
            (self.data(frame, training), cut(held_out, frame, self.tiling, self.decoded))
            for training, held_out in folds(self.split.training, self.split.folds, seed=seed)
        ]

    def apart(self, frame: Frame) -> Pictures:
        """Good pictures to measure parity on, and to calibrate on where there are no folds."""
        samples = self.split.calibration or self.split.training or self.split.tuning
        return cut(samples, frame, self.tiling, self.decoded)

    def seen(self) -> list[SeenPicture]:
        """Name, content and role of every picture, for the manifest."""
        roles: tuple[tuple[Role, tuple[Sample, ...]], ...] = (
            ("normal", self.training),
            ("tuning", self.split.tuning),
            ("calibration", self.split.calibration),
            ("defective", self.defective),
        )
        found = [
            picture
            for role, samples in roles
            for picture in seen(paths_of(samples), role, [sample.group for sample in samples])
        ]
        shown = Counter(sample.path for sample in self._shown(self.training))
        frames = (shown[sample.path] for sample in self.training)
        return [
            picture.model_copy(update={"frames": next(frames)}) if picture.role == "normal" else picture
            for picture in found
        ]

    def sizes(self) -> list[Pair]:
        """Height and width of every good picture that is learnt from or scaled on."""
        return [size_of(sample.path) for sample in self.good]

    def check(self, declared: Range | None = None) -> Range | None:
        """Read every header before long work starts, and refuse good pictures among the defective ones.

        Returns:
            which values of the pictures are black and white; see `flawscope.data.survey.intensities_of`.

        Raises:
            DataError: no good picture, or one that is defective too; pictures with and without a full scale.
            InputError: a picture that cannot be used.
        """
        good = (*self.good, *self.split.calibration)
        if not good:
            fix = "Add good pictures to the folder."
            raise DataError("training pictures", expected="good pictures", got="none", fix=fix)
        infos = [(sample.path, check_image(sample.path)) for sample in (*good, *self.defective)]
        for sample in self.natural:
            check_image(sample.path)
        refuse_repeated(good, self.defective)
        return intensities_of(infos, paths_of(self.good), declared)


def select(dataset: Dataset, detector: Detector, recipe: Recipe) -> Selection:
    """The pictures that `detector` may see of `dataset`, as the recipe wishes.

    Raises:
        DataError: too few good pictures, or a folder without pictures.
        OptionError: more defective pictures, or other kinds, than the data set has.
    """
    defective = defects_of(dataset, recipe) if detector.needs().defective else ()
    taught = taught_of(recipe, dataset)
    rest = without(dataset, taught)
    annotated = learnt_whatever(rest, (*defective, *taught))
    split = split_for(detector, without(rest, annotated), recipe)
    return Selection(split, defective, natural_of(recipe), (*annotated, *taught))


def learnt_whatever(dataset: Dataset, learnt: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """Good pictures that are for training whatever is drawn: annotated ones, and those of `learnt` parts."""
    found = (*always_learnt(dataset), *_beside(dataset, learnt))
    return ordered({sample.path: sample for sample in found}.values())


def _beside(dataset: Dataset, learnt: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """Good pictures of parts of which others are learnt from whatever the split: they may not calibrate."""
    parts = {sample.group for sample in learnt if sample.group is not None}
    good = dataset.select(split="train", defective=False) + dataset.select(
        split="validation", defective=False
    )
    return tuple(sample for sample in good if sample.group in parts)


def split_for(detector: Detector, dataset: Dataset, recipe: Recipe) -> NormalSplit:
    """Good pictures by what they are for, as recipe and detector wish.

    Raises:
        OptionError: an overview of tiles, and no pictures to scale it on.
    """
    wish, needs = recipe.split, detector.needs()
    tuning = wish.tuning if needs.tuning or recipe.tiling.overview else 0.0
    if tuning is None and needs.tuning_share is not None:
        tuning = needs.tuning_share * (1 - (wish.calibration or HELD_OUT_SHARE))
    if recipe.tiling.overview and (tuning == 0 or needs.tuning_share is not None):
        raise OptionError(
            "tiling.overview",
            expected="good pictures that bring it to the tiles' scale, and that nothing learns from",
            got="none" if tuning == 0 else f"tuning pictures that {detector.name} learns from",
            fix="Leave split.tuning out." if tuning == 0 else "Leave the overview out.",
        )
    if wish.aside is not None:
        tuning = wish.aside
    split = split_dataset(
        dataset,
        seed=recipe.seed,
        false_rejects=recipe.calibration.false_rejects,
        confidence=recipe.calibration.confidence,
        tuning=tuning,
        calibration=wish.calibration,
        folds=wish.folds,
    )
    if wish.training is not None:
        split = limit_training(split, wish.training, seed=recipe.seed)
    if wish.aside is None:
        return split
    scaled = TUNING_SHARE if wish.tuning is None else wish.tuning
    return scale_within(split, scaled if needs.tuning else 0.0)


def defects_of(dataset: Dataset, recipe: Recipe) -> tuple[Sample, ...]:
    """Defective pictures that the recipe lets a method learn from: of a folder, of the data set, or none.

    Raises:
        DataError: a folder without pictures.
        OptionError: more pictures, or other kinds, than the data set has.
    """
    wish, folder = recipe.split, recipe.data.defects
    if folder is not None:
        return read_defects(folder)
    if wish.defective == 0:
        return ()
    if wish.defective is None and not dataset.select(split="train", defective=True):
        return ()
    seed = recipe.seed if wish.draw is None else wish.draw
    return draw_defects(withhold(dataset, wish.withheld), wish.defective, seed)


def taught_of(recipe: Recipe, dataset: Dataset) -> tuple[Sample, ...]:
    """Good pictures that the recipe's model is taught, each content once; the data set's own where it can be.

    Raises:
        DataError: a source without pictures, or one that is gone.
    """
    if not recipe.data.taught:
        return ()
    paths = collect(recipe.data.taught)
    if gone := [path for path in paths if not path.exists()]:
        raise DataError(
            f"{len(gone)} of {len(paths)} taught pictures",
            expected="to lie where they were taught from, to be learnt from again",
            got=f"no file {gone[0].absolute()}",
            fix="Put them back; or train by a copy of the recipe whose data.taught leaves them out.",
        )
    given = [Sample(path, "train", defective=False) for path in paths]
    taught = group_if_fitting(given, "" if recipe.data.groups is None else str(recipe.data.groups))
    each = {remembered_sha256(sample.path): sample for sample in reversed(taught)}
    own = {remembered_sha256(sample.path): sample for sample in dataset if not sample.defective}
    return tuple(own.get(digest, sample) for digest, sample in reversed(each.items()))


def natural_of(recipe: Recipe) -> tuple[Sample, ...]:
    """Natural pictures of the recipe's folder, or none."""
    folder = recipe.data.natural
    return tuple(Sample(path, "train", defective=False) for path in collect([folder])) if folder else ()
