"""Scores of good pictures that training never saw, for the study of false rejects.

    python benchmarks/normal_scores.py rendered --train 60 --score 1200 --json rendered.json
    python benchmarks/normal_scores.py screw --data DATA --train 120 --json screw.json

`rendered` draws a rendered product (synthetic pictures, no files); `screw` takes the good pictures of MVTec
AD's screw, training and test together, those for training drawn by the seed. The model is the product preset.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _machine import command

import flawscope
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.splits import split_normals
from flawscope.data.training import TrainingData
from flawscope.files import write_text
from flawscope.methods.registry import create, options_of
from flawscope.methods.running import score as score_pictures
from flawscope.nn.run import Run
from flawscope.products import write_loco
from flawscope.runtime.machine import processor


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", choices=["rendered", "screw"])
    parser.add_argument("--product", default="pin_tray", help="rendered product")
    parser.add_argument("--data", type=Path, help="folder that holds mvtec_ad_512/screw")
    parser.add_argument("--train", type=int, default=60)
    parser.add_argument("--score", type=int, default=1200, help="rendered pictures to score")
    parser.add_argument("--method", default="joined_banks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scores = score(chosen, normals(chosen, Path(folder)))
    facts: dict[str, Any] = {
        "source": chosen.source if chosen.source == "screw" else f"{chosen.product} (rendered)",
        "method": chosen.method,
        "trained_on": chosen.train,
        "machine": processor(),
        "flawscope": flawscope.__version__,
        "command": command(),
        "scores": np.sort(scores).astype(float).round(6).tolist(),
    }
    write_text(chosen.json, json.dumps(facts, indent=1) + "\n")
    print(f"{len(scores)} scores of good pictures in {chosen.json}")


def normals(chosen: argparse.Namespace, folder: Path) -> tuple[Sample, ...]:
    """Good pictures, whatever part of the data set they come from."""
    if chosen.source == "rendered":
        total = chosen.train + chosen.score
        root = write_loco(
            folder, chosen.product, seed=chosen.seed, train=total, validation=1, test_good=1, per_flaw=1
        )
        return read_dataset(root).select(split="train", defective=False)
    return read_dataset(chosen.data / "mvtec_ad_512" / "screw").select(defective=False)


def score(chosen: argparse.Namespace, samples: tuple[Sample, ...]) -> np.ndarray[Any, Any]:
    """Fit on `train` of the pictures and score all the others."""
    detector = create(chosen.method, options_of(chosen.method, "default", {}))
    split = split_normals(samples, seed=chosen.seed, calibration=len(samples) - chosen.train)
    normal = PictureFiles(split.training, detector.options.frame)
    run = Run(seed=chosen.seed)
    detector.fit(TrainingData(normal=normal, tuning=normal.subset(range(0))), run)
    return score_pictures(detector, PictureFiles(split.calibration, detector.options.frame), run)["score"]


if __name__ == "__main__":
    main()
