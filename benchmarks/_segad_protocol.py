"""Pictures, trained parts and features of SegAD's protocol on one product (see segad.py)."""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flawscope.cli.console import Bars
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.splits import split_normals
from flawscope.data.training import TrainingData, Unseen
from flawscope.methods.detector import Detector
from flawscope.methods.fit_once import fit_once
from flawscope.methods.registry import create, options_of
from flawscope.methods.running import score
from flawscope.methods.segad.classifying import held_out_scores
from flawscope.methods.segad.statistics import SegmentStatistics, Statistic
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch, batches
from flawscope.runtime.images import Frame
from flawscope.segmenters import OneSegmentOptions, Segmenter, StaticMapOptions, build_segmenter

SIZE = 256
WATCH = Watch(Bars())
STATISTICS: tuple[Statistic, ...] = ("quantile", "skewness", "kurtosis", "mean", "maximum")
BATCH = 8
LITE = {"backbone": "tf_efficientnet_lite0", "size": [SIZE, SIZE]}
DETECTORS: dict[str, dict[str, Any]] = {
    "patchcore": {**LITE, "coreset": 0.01, "reweighting": 9},
    "fastflow": options_of("fastflow", "segad", LITE),
    "rd4ad": options_of("rd4ad", "segad", LITE),
    "efficientad": {"size": [SIZE, SIZE]},
}
SUPERVISED: dict[str, dict[str, Any]] = {
    # at 0.025, the paper's for WideResNet-50-2, the training loss grows with this backbone
    "classifier": {**LITE, "learning_rate": 0.0025},
    "devnet": {**LITE, "rotation": 0.0, "absolute": True},
    "dra": {**LITE, "rotation": 0.0, "absolute": True},
}
SHORT: dict[str, dict[str, Any]] = {  # what goes with a shortened training
    "efficientad": {"learning_rate": 1e-3},
    "devnet": {"batch": 16},
    "dra": {"batch": 16},
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long each method trains: `steps` by method, the papers' schedules for the others.

    Attributes:
        folds: of the classifier's held-out scores.
        compile: compile EfficientAD's networks, for CUDA.
    """

    steps: dict[str, int]
    folds: int = 5
    compile: bool = False

    def detectors(self) -> dict[str, dict[str, Any]]:
        """Options of the detectors that know only good pictures."""
        found = {name: self._shortened(name, options) for name, options in DETECTORS.items()}
        if self.compile:
            found["efficientad"] = {**found["efficientad"], "compile": True}
        return found

    def supervised(self) -> dict[str, dict[str, Any]]:
        """Options of those that learn from defects too."""
        return {name: self._shortened(name, options) for name, options in SUPERVISED.items()}

    def _shortened(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        if name not in self.steps:
            return options
        return {**options, **SHORT.get(name, {}), "steps": self.steps[name]}


@dataclass(frozen=True, slots=True)
class Parts:
    """Pictures by what they are for: half of the good training pictures trains the detectors."""

    learnt: Pictures
    forest: Pictures
    defects: dict[int, Pictures]  # by how many; smaller draws lie within larger ones
    test: Pictures
    unseen: NDArray[np.bool_]  # of test, of the kind that no training part holds

    @property
    def defective(self) -> NDArray[np.bool_]:
        return np.array([sample.defective for sample in self.test.samples])


def divide(folder: Path, shots: list[int], withheld: str | None, seed: int) -> Parts:
    """Half of the good training pictures, drawn by seed, for the detectors, the others for the forest.

    Defects to learn from are drawn from the kinds that are not withheld; all others are for testing.
    """
    dataset = read_dataset(folder)
    good = dataset.select(split="train", defective=False)
    halves = split_normals(good, seed=seed, tuning=len(good) // 2)
    known = sorted(
        (sample for sample in dataset.select(defective=True) if sample.kind != withheld),
        key=lambda sample: sample.path.as_posix(),
    )
    random.Random(seed).shuffle(known)
    drawn = known[: max(shots)]
    taken = set(drawn)
    test = [sample for sample in dataset.select(split="test") if sample not in taken]
    return Parts(
        _pictures(halves.training),
        _pictures(halves.tuning),
        {shot: _pictures(drawn[:shot]) for shot in shots},
        _pictures(test),
        np.array([sample.defective and sample.kind == withheld for sample in test]),
    )


def _pictures(samples: list[Sample] | tuple[Sample, ...]) -> Pictures:
    return PictureFiles(samples, Frame(SIZE, SIZE))


def train_detectors(parts: Parts, names: list[str], schedule: Schedule, run: Run) -> dict[str, Detector]:
    """The detectors that know only good pictures; a tenth scales EfficientAD's maps."""
    trained = {}
    data = TrainingData(parts.learnt, parts.forest)
    for name in names:
        detector = create(name, schedule.detectors()[name])
        trained[name] = fit_once(
            detector, data.for_detector(0.1 if detector.needs().tuning else 0.0), run, WATCH
        )
    return trained


def train_whole(good: Pictures, name: str, schedule: Schedule, run: Run) -> Detector:
    """One detector that knows only good pictures, on all of them."""
    detector = create(name, schedule.detectors()[name])
    return fit_once(detector, TrainingData(good, good.subset([])), run, WATCH)


def train_supervised(parts: Parts, shot: int, name: str, schedule: Schedule, run: Run) -> Detector:
    """One method on all good training pictures and `shot` defective ones."""
    detector = create(name, schedule.supervised()[name])
    good = _pictures((*parts.learnt.samples, *parts.forest.samples))
    return fit_once(detector, TrainingData(good, good.subset([]), defective=parts.defects[shot]), run, WATCH)


def classifier_scores(
    parts: Parts, shot: int, schedule: Schedule, run: Run
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Held-out scores of the forest's pictures, and the whole classifier's of the test pictures."""
    whole, held_out = held_out_scores(
        create("classifier", schedule.supervised()["classifier"]),
        schedule.folds,
        Unseen(parts.forest, parts.defects[shot], parts.learnt),
        run,
        WATCH,
    )
    return held_out, score(whole, parts.test, run, WATCH)["score"]


@dataclass(frozen=True, slots=True)
class Readings:
    """Of pictures: statistics (N, K, L, S) by segment map, and each detector's image score (N, K)."""

    statistics: dict[str, NDArray[np.float32]]
    scores: NDArray[np.float32]


def segmenters(map_file: Path, parts: Parts, run: Run) -> dict[str, Segmenter]:
    """One segment, and the map that `segments draft` made from the good training pictures."""
    options = {"one segment": OneSegmentOptions(), "drafted map": StaticMapOptions(map=map_file)}
    return {
        name: build_segmenter(option, Frame(SIZE, SIZE)).fit(parts.learnt, run, WATCH)
        for name, option in options.items()
    }


@torch.inference_mode()
def read(
    detectors: dict[str, Detector], segments: dict[str, Segmenter], pictures: Pictures, run: Run
) -> Readings:
    """Every detector's maps, as statistics over every segment map."""
    device = run.torch_device()
    modules = {}
    for name, segmenter in segments.items():
        labels = segmenter(torch.zeros(1, 3, SIZE, SIZE, device=device))[0]
        modules[name] = SegmentStatistics(segmenter.count, STATISTICS, labels).to(device)
    for detector in detectors.values():
        detector.eval().to(device)
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in modules}
    scores = []
    for pixels in batches(pictures, run, WATCH, "reading anomaly maps", BATCH):
        answers = [detector(pixels) for detector in detectors.values()]
        maps = torch.stack([answer["heatmap"] for answer in answers], 1)
        scores.append(torch.stack([answer["score"] for answer in answers], 1).cpu().numpy())
        for name, module in modules.items():
            found[name].append(module(maps, maps.new_zeros(len(maps), SIZE, SIZE).long()).cpu().numpy())
    joined = {name: np.concatenate(values) for name, values in found.items()}
    return Readings(joined, np.concatenate(scores))


def parse_steps(text: str) -> dict[str, int]:
    """Steps by method from text such as rd4ad=300,dra=60."""
    try:
        return {name: int(count) for name, count in (part.split("=") for part in text.split(",") if part)}
    except ValueError as error:
        raise argparse.ArgumentTypeError("method=steps, separated by commas") from error
