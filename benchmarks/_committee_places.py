"""The pictures on which the committee is measured, rendered or real, by what they are for."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from _csad_fits import rendered
from _csad_truth import PER_FLAW
from accuracy import FOLDERS

from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset, Sample
from flawscope.data.splits import split_normals
from flawscope.data.training import TrainingData
from flawscope.nn.run import Checkpoints, Run
from flawscope.runtime.images import Frame

FURTHER = {"impeller": 12, "vent_cover": 12, "ground_plate": 12}  # flaws of each kind; see PER_FLAW
RENDERED = [*PER_FLAW, *FURTHER]
PRODUCTS = [*RENDERED, *FOLDERS]
TUNING = 0.1  # of the good training pictures of real products
_LETTERS = {"structural": "s", "logical": "l", None: "d"}


@dataclass(frozen=True)
class Ground:
    """One product's pictures, of a seed, and the folder where fits are kept.

    Attributes:
        dataset: the pictures.
        published: whether good pictures for the levels have a split of their own.
    """

    dataset: Dataset
    folder: Path
    seed: int
    published: bool

    @cached_property
    def parts(self) -> dict[str, tuple[Sample, ...]]:
        """Pictures for `training`, `tuning` and `test`."""
        good = self.dataset.select(split="train", defective=False)
        test = self.dataset.select(split="test")
        if self.published:
            return {"training": good, "tuning": self.dataset.select(split="validation"), "test": test}
        split = split_normals(good, seed=self.seed, tuning=TUNING)
        return {"training": split.training, "tuning": split.tuning, "test": test}

    def samples(self, part: str) -> tuple[Sample, ...]:
        """The pictures of a part."""
        return self.parts[part]

    def pictures(self, part: str, frame: Frame) -> PictureFiles:
        """The same as a detector sees them."""
        return PictureFiles(self.samples(part), frame)

    def data(self, frame: Frame) -> TrainingData:
        """What the committee learns from."""
        return TrainingData(normal=self.pictures("training", frame), tuning=self.pictures("tuning", frame))

    def run(self) -> Run:
        """The run of the seed, which keeps fits in the folder."""
        return Run(self.seed, trained=Checkpoints(self.folder), checkpoints=Checkpoints(self.folder / "work"))

    @property
    def kinds(self) -> str:
        """Of each test picture: g good, s structural, l logical, d of no known category."""
        return "".join(
            _LETTERS[sample.category] if sample.defective else "g" for sample in self.samples("test")
        )


def ground(given: argparse.Namespace, product: str, seed: int) -> Ground:
    """The product's pictures, rendered where they are not there yet."""
    folder = given.work / "committee" / f"{product}-{seed}"
    if product in RENDERED:
        place = rendered(given.work, product, seed, size=given.size, per_flaw=FURTHER.get(product, 0))
        return Ground(place.dataset, folder, seed, published=True)
    return Ground(read_dataset(given.data / FOLDERS[product]), folder, seed, published=False)
