"""Rendered products, the detectors that are fitted to them, and what a fit is kept as."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from _csad_truth import PER_FLAW

from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset, Sample
from flawscope.data.training import TrainingData
from flawscope.files import write_text, write_with
from flawscope.methods.detector import Detector
from flawscope.methods.fit_once import fit_once
from flawscope.methods.registry import create, options_of
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.products import write_loco
from flawscope.runtime.images import Frame
from flawscope.segmenters.components import segmenter
from flawscope.segmenters.components.labelling import Labelling

COUNTS = {"train": 200, "validation": 60, "test_good": 80}
FIRST_SEED = 100  # of the pictures with seed 0; no other measurement has these


@dataclass(frozen=True)
class Place:
    """The pictures of one product and seed, and the folder for what is made of them."""

    work: Path
    product: str
    seed: int

    @property
    def root(self) -> Path:
        """Folder of the pictures."""
        return self.work / f"d{self.seed}" / self.product

    def folder(self, name: str) -> Path:
        """Folder for what a detector of that name leaves."""
        return self.work / "fits" / f"d{self.seed}" / self.product / name.replace(" ", "_")

    @cached_property
    def dataset(self) -> Dataset:
        return read_dataset(self.root)

    @cached_property
    def truth(self) -> dict[str, dict[str, Any]]:
        """Lines of truth.jsonl by the picture's path below `root`."""
        lines = (self.root / "truth.jsonl").read_text(encoding="utf-8").splitlines()
        return {line["path"]: line for line in map(json.loads, lines)}

    def samples(self, part: str) -> tuple[Sample, ...]:
        """Good pictures to train on (`training`), to scale and calibrate on (`tuning`), or all of `test`."""
        split = {"training": "train", "tuning": "validation", "test": "test"}[part]
        return self.dataset.select(split=split)

    def pictures(self, part: str, frame: Frame) -> PictureFiles:
        """The same as a detector sees them."""
        return PictureFiles(self.samples(part), frame)

    def line(self, sample: Sample) -> dict[str, Any]:
        """What truth.jsonl says of a test picture."""
        return self.truth[sample.path.relative_to(self.root).as_posix()]

    @property
    def kinds(self) -> str:
        """Of each test picture: g good, s structural, l logical."""
        return "".join(
            str(sample.category)[0] if sample.defective else "g" for sample in self.samples("test")
        )


def rendered(
    work: Path, product: str, seed: int, *, size: int, counts: Mapping[str, int] = COUNTS, per_flaw: int = 0
) -> Place:
    """The product's pictures, rendered where they are not there yet."""
    place = Place(work, product, seed)
    if not place.root.exists():
        number = per_flaw or PER_FLAW[product]
        write_loco(place.root.parent, product, seed=FIRST_SEED + seed, per_flaw=number, size=size, **counts)
    return place


def detector_for(place: Place, spec: Mapping[str, Any]) -> Detector:
    """A fresh detector: `method`, `preset`, `options`, and `labels` (true: it learns the true label maps).

    True label maps reach CSAD as a person's would: its components learn them through the proposer `folder`.
    """
    options = options_of(spec["method"], spec["preset"], spec["options"])
    if spec["labels"] == "true":
        given = {"kind": "folder", "maps": str(place.root / "parts"), "pictures": str(place.root)}
        options["segments"] = {**options.get("segments", {"kind": "components"}), "proposer": given}
    return create(spec["method"], options)


def fitted(
    place: Place, name: str, spec: Mapping[str, Any], watch: Watch = UNWATCHED
) -> tuple[Detector, dict[str, float]]:
    """The fitted detector, kept from an earlier run where there is one, with the seconds that the fit took.

    Seconds are on the clock and of all cores together; of a fit that was stopped, those since it went on.
    """
    fresh, folder = detector_for(place, spec), place.folder(name)
    frame, timed = fresh.options.frame, folder / "seconds.json"
    data = TrainingData(normal=place.pictures("training", frame), tuning=place.pictures("tuning", frame))
    run = Run(place.seed, trained=Checkpoints(folder))
    clock, processor = time.perf_counter(), time.process_time()
    with keeping_labels(folder / "labels.npz"):
        detector = fit_once(fresh, data, run, watch)
    seconds = {"fit_seconds": time.perf_counter() - clock, "fit_processor": time.process_time() - processor}
    if not timed.exists():
        write_text(timed, json.dumps({key: round(value, 1) for key, value in seconds.items()}) + "\n")
    return detector, json.loads(timed.read_text(encoding="utf-8"))


@contextmanager
def keeping_labels(path: Path) -> Iterator[None]:
    """Keep the label maps that components learn meanwhile: maps, which are labelled, names of the classes."""
    make = segmenter.label

    def made(*given: Any) -> Labelling:
        labelling = make(*given)
        path.parent.mkdir(parents=True, exist_ok=True)
        names = np.array(labelling.names)
        arrays = {"maps": labelling.maps, "labelled": labelling.labelled, "names": names}
        write_with(path, lambda there: _compressed(there, arrays))
        return labelling

    with mock.patch.object(segmenter, "label", made):
        yield


def _compressed(path: Path, arrays: Mapping[str, Any]) -> None:
    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
