"""What the detectors of SegAD's protocol answer, measured once and kept in a file (see segad.py)."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _machine import command, hardware, versions
from _segad_protocol import (
    DETECTORS,
    Parts,
    Readings,
    Schedule,
    classifier_scores,
    read,
    segmenters,
    train_detectors,
    train_supervised,
)
from numpy.typing import NDArray

from flawscope.files import write_with
from flawscope.methods.running import score as score_pictures
from flawscope.nn.run import Run

SUPERVISED_ALONE = ("devnet", "dra")
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scored:
    """Answers of all detectors.

    Attributes:
        readings: of the `good` and `defects` that the forest learns from, and of the `test` pictures.
        alone: scores of the test pictures by method and number of defects, `g` among them.
        held_out: scores of g for the forest's pictures, by number of defects.
        segments: share of the picture of each segment, by map.
        about: machine, versions, command and settings.
    """

    readings: dict[str, Readings]
    alone: dict[tuple[str, int], Scores]
    held_out: dict[int, Scores]
    segments: dict[str, list[float]]
    about: dict[str, Any]

    def save(self, path: Path) -> None:
        arrays: dict[str, NDArray[Any]] = {
            f"{part}/{name}": values
            for part, found in self.readings.items()
            for name, values in {**found.statistics, "scores": found.scores}.items()
        }
        arrays |= {f"alone/{name}/{shot}": values for (name, shot), values in self.alone.items()}
        arrays |= {f"held out/{shot}": values for shot, values in self.held_out.items()}
        arrays["about"] = np.array(json.dumps({"segments": self.segments, **self.about}))

        def write(file: Path) -> None:
            with file.open("wb") as stream:
                np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

        write_with(path, write)

    @classmethod
    def load(cls, path: Path) -> Scored:
        with np.load(path, allow_pickle=False) as kept:
            arrays = dict(kept)
        about = json.loads(str(arrays.pop("about")))
        segments = about.pop("segments")
        readings = {
            part: Readings({name: arrays[f"{part}/{name}"] for name in segments}, arrays[f"{part}/scores"])
            for part in ("good", "defects", "test")
        }
        alone, held_out = {}, {}
        for key, values in arrays.items():
            part, *rest = key.split("/")
            if part == "alone":
                alone[rest[0], int(rest[1])] = values
            elif part == "held out":
                held_out[int(rest[0])] = values
        return cls(readings, alone, held_out, segments, about)


def train(parts: Parts, names: list[str], schedule: Schedule, run: Run) -> None:
    """Train some of the methods and keep them for `score`; `g` stands for the classifier."""
    for name in names:
        if name in DETECTORS:
            train_detectors(parts, [name], schedule, run)
        for shot in parts.defects if name not in DETECTORS else ():
            if name == "g":
                classifier_scores(parts, shot, schedule, dataclasses.replace(run, precision="fp32"))
            else:
                train_supervised(parts, shot, name, schedule, run)


def score(parts: Parts, map_file: Path, schedule: Schedule, run: Run, threads: int) -> Scored:
    """Train every detector once, or take over what was trained before, and read all pictures."""
    started = time.perf_counter()
    detectors = train_detectors(parts, list(DETECTORS), schedule, run)
    maps = segmenters(map_file, parts, run)
    shots = sorted(parts.defects, reverse=True)
    pictures = {"good": parts.forest, "defects": parts.defects[shots[0]], "test": parts.test}
    readings = {name: read(detectors, maps, each, run) for name, each in pictures.items()}
    alone, held_out = {}, {}
    for shot in shots:
        for name in SUPERVISED_ALONE:
            detector = train_supervised(parts, shot, name, schedule, run)
            alone[name, shot] = score_pictures(detector, parts.test, run)["score"]
        fp32 = dataclasses.replace(run, precision="fp32")
        held_out[shot], alone["g", shot] = classifier_scores(parts, shot, schedule, fp32)
    about = {
        "detectors": schedule.detectors(),
        "supervised": schedule.supervised(),
        "steps": schedule.steps,
        "folds": schedule.folds,
        "machine": f"{hardware(run.device)}, {threads} thread(s)",
        "versions": versions("flawscope", "torch", "timm", "numpy"),
        "command": command(),
        "seconds": round(time.perf_counter() - started),
    }
    return Scored(readings, alone, held_out, {name: m.shares.tolist() for name, m in maps.items()}, about)
