"""`flawscope learn` on a product: gain, time that it adds to a picture, and whether its promise holds.

    python benchmarks/learn.py --data DATA/magnetic_tile --defects 100 --withheld Crack --work WORK --out STEM

A seeded draw gives a part of the good pictures to `train` (joined banks, what a recipe takes), a part to
`learn`, and leaves the others as fresh ones. Drawn defects are learnt from, all others are for testing; no
setting is chosen on them. The promise is studied as false_rejects.py does, on scores of calibration and fresh
good pictures, which neither detector nor classifier has seen. Latency: single pictures, file to prediction,
both models in turn. With --draws the choice, what it learns and the test are repeated with other defects,
drawn by seed, on maps that are read once: no model is packed there.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _machine import command, versions
from false_rejects import PROMISES, split_study

from flawscope.data.defects import draw_defects, withhold
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset, Sample
from flawscope.data.training import Unseen
from flawscope.files import remembered_sha256, write_text
from flawscope.methods.segad.final import margins_of
from flawscope.methods.segad.reading import read_table
from flawscope.methods.segad.table import folds_by_kind
from flawscope.metrics import auroc, fpr_at_tpr
from flawscope.nn.run import Run
from flawscope.runtime import bundle
from flawscope.runtime.bundle import is_bundle
from flawscope.runtime.engines import usable_cores
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.machine import processor
from flawscope.training.candidates import candidates, choose, columns_of
from flawscope.training.gain import gains
from flawscope.training.learn import FOLDS, GAIN, learn, trained_of
from flawscope.training.recipe import LearnRecipe, Recipe
from flawscope.training.train import train

ALPHA = 0.05
ENGINE = {"engine": {"name": "onnxruntime"}}
ROUNDS = 1000
REPEATS = 60


def main() -> None:
    arguments = parse()
    dataset = withhold(read_dataset(arguments.data), [arguments.withheld] if arguments.withheld else [])
    good = list(dataset.select(defective=False))
    random.Random(0).shuffle(good)
    parts = {"train": good[: arguments.train], "learn": good[arguments.train :][: arguments.learn]}
    fresh = good[arguments.train + arguments.learn :]
    folders = {name: folder_of(arguments.work / name, samples) for name, samples in parts.items()}
    before = arguments.work / "patchcore"
    if not is_bundle(before):
        values = {
            "data": {"folder": str(folders["train"])},
            "tiling": "none",
            "calibration": {"false_rejects": ALPHA},
            **ENGINE,
        }
        train(Recipe.parse(values), before)
    drawn = draw_defects(dataset, arguments.defects, 0)
    defective = without(drawn, dataset)
    after, seconds = learnt(arguments.work, before, folders["learn"], drawn)
    models = {"before": before, "after": after}
    scores = {name: scored(model, [*fresh, *defective]) for name, model in models.items()}
    told = json.loads((after / GAIN).read_text(encoding="utf-8"))
    draws = [{"draw": 0, **tested(scores, fresh, defective), **told}]
    print(json.dumps(draws[0]), flush=True)
    if arguments.draws > 1:
        draws += redrawn(models, parts["learn"], dataset, fresh, arguments)
    result = {
        "product": dataset.name,
        "withheld": arguments.withheld,
        "pictures": {
            **{name: len(samples) for name, samples in parts.items()},
            "defects": len(drawn),
            "test_good": len(fresh),
            "test_defective": len(defective),
        },
        "draws": draws,
        "gain_points": {
            "mean": round(float(np.mean([one["gain_points"] for one in draws])), 2),
            "least": min(one["gain_points"] for one in draws),
        },
        "seconds": seconds,
        "false_rejects": promise(after, scores["after"][: len(fresh)]),
        "latency_ms": latency(models, [sample.path for sample in fresh]),
        "command": command(),
        "machine": f"{processor()}, {usable_cores()} cores",
        "versions": versions("flawscope", "onnxruntime", "torch", "xgboost"),
    }
    write_text(arguments.out.with_suffix(".json"), json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="product's folder")
    parser.add_argument("--defects", type=int, default=100, help="defective pictures to learn from")
    parser.add_argument("--withheld", help="kind of defect that is only tested on")
    parser.add_argument("--train", type=int, default=240, help="good pictures for the first model")
    parser.add_argument("--learn", type=int, default=160, help="good pictures for learn")
    parser.add_argument("--draws", type=int, default=1, help="draws of the defects")
    parser.add_argument("--work", type=Path, required=True, help="folder for models")
    parser.add_argument("--out", type=Path, required=True, help="results without suffix")
    return parser.parse_args()


def folder_of(folder: Path, samples: list[Sample] | tuple[Sample, ...], *, by_kind: bool = False) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for sample in samples:
        place = folder / sample.kind if by_kind else folder
        place.mkdir(parents=True, exist_ok=True)
        name = sample.path.name
        taken = (place / name).exists()  # as of screw's train/good/000.png by test/good/000.png
        shutil.copy(sample.path, place / (f"{sample.split}_{name}" if taken else name))
    return folder


def learnt(work: Path, model: Path, normals: Path, drawn: tuple[Sample, ...]) -> tuple[Path, float]:
    """What `learn` makes of the model with the drawn defects, and its seconds; a finished one is kept."""
    made, timed = work / "segad-0", work / "segad-0.json"
    if not is_bundle(made):
        defects = folder_of(work / "defects-0", drawn, by_kind=True)
        values = {"model": model, "normals": [str(normals)], "defects": defects, **ENGINE}
        started = time.perf_counter()
        learn(LearnRecipe.parse(values), made)
        write_text(timed, json.dumps({"seconds": round(time.perf_counter() - started, 1)}) + "\n")
    return made, float(json.loads(timed.read_text(encoding="utf-8"))["seconds"])


def redrawn(
    models: dict[str, Path],
    normals: list[Sample],
    dataset: Dataset,
    fresh: list[Sample],
    arguments: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Choice, learning and test with further draws, on maps of all pictures that are read once."""
    opened, run = bundle.load(models["before"]), Run()
    frame, seen = opened.manifest.frame, bundle.load(models["after"]).manifest.provenance.pictures
    grown = {picture.sha256 for picture in seen if picture.role == "tuning"}
    tuning = PictureFiles([one for one in normals if remembered_sha256(one.path) in grown], frame)
    defects = dataset.select(defective=True)
    unseen = Unseen(tuning, PictureFiles(defects, frame), tuning.subset([]))
    ways = candidates(trained_of(opened, {}), {}, unseen, run, several=True)
    readers = {id(way.reader): way.reader for way in ways}
    read = {
        key: read_table(reader.reader, PictureFiles(fresh, frame), run)[0] for key, reader in readers.items()
    }
    found = []
    for draw in range(1, arguments.draws):
        drawn = set(draw_defects(dataset, arguments.defects, draw))
        known = np.array([True] * len(tuning) + [sample in drawn for sample in defects])
        learning = [replace(way, table=way.table.rows(known)) for way in ways]
        folds = folds_by_kind(learning[0].table.kinds, FOLDS, run.seed)
        choice = choose(learning, folds, run)
        best = choice.best
        place = next(index for index, way in enumerate(learning) if way is best)
        test = columns_of(best.reader, best.options, read[id(best.reader)])
        test = test.joined(ways[place].table.rows(~known))
        scores = {
            "before": test.scores[:, 0].tolist(),
            "after": margins_of(test, best.table, best.options, run.seed).tolist(),
        }
        told = {"tried": [one.to_json() for one in choice.tried]}
        told |= {"gains": [gain.to_json() for gain in gains(choice, run)]}
        found.append({"draw": draw, **tested(scores, fresh, without(drawn, dataset)), **told})
        print(json.dumps(found[-1]), flush=True)
    return found


def without(drawn: Collection[Sample], dataset: Dataset) -> list[Sample]:
    """The defective pictures that are for testing."""
    return [sample for sample in dataset.select(defective=True) if sample not in set(drawn)]


def tested(scores: dict[str, list[float]], fresh: list[Sample], defective: list[Sample]) -> dict[str, Any]:
    """Figures of both models, and what the second gains."""
    test = {name: detection(values, fresh, defective) for name, values in scores.items()}
    gain = 100 * (test["after"]["auroc_all"] - test["before"]["auroc_all"])
    return {"gain_points": round(gain, 2), "test": test}


def scored(model: Path, samples: list[Sample]) -> list[float]:
    inspector = Inspector.load(model)
    return [inspector.inspect(sample.path).score for sample in samples]


def detection(scores: list[float], fresh: list[Sample], defective: list[Sample]) -> dict[str, float]:
    values = np.asarray(scores)
    found = {}
    groups = {"all": [True] * len(defective), "seen": [sample.seen for sample in defective]}
    groups["unseen"] = [not sample.seen for sample in defective]
    for name, members in groups.items():
        if any(members):
            chosen = np.concatenate([np.ones(len(fresh), bool), np.asarray(members)])
            labels = np.concatenate([np.zeros(len(fresh), int), np.ones(len(defective), int)])[chosen]
            found[f"auroc_{name}"] = auroc(labels, values[chosen])
            found[f"fpr95_{name}"] = fpr_at_tpr(labels, values[chosen])
    return found


def promise(model: Path, fresh: list[float]) -> dict[str, Any]:
    """The model's own threshold on fresh good pictures, and 1000 random splits of all unseen scores."""
    calibration = Inspector.load(model).bundle.manifest.calibration
    pool = np.asarray([*calibration.scores, *fresh])
    return {
        "statement": calibration.statement(),
        "fresh_rejected": float(np.mean(np.asarray(fresh) > calibration.reject_threshold)),
        "fresh": len(fresh),
        "splits": [
            split_study(pool, len(calibration.scores), calibration.alpha, kind, rounds=ROUNDS)
            for kind in PROMISES
        ],
    }


def latency(models: dict[str, Path], pictures: list[Path]) -> dict[str, Any]:
    """Median milliseconds of single pictures, the models taking turns."""
    inspectors = {name: Inspector.load(model) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in inspectors}
    for index in range(REPEATS + 5):
        for name, inspector in inspectors.items():
            started = time.perf_counter()
            inspector.inspect(pictures[index % len(pictures)])
            times[name].append(1e3 * (time.perf_counter() - started))
    found = {name: round(statistics.median(values[5:]), 2) for name, values in times.items()}
    added = [after - before for before, after in zip(times["before"][5:], times["after"][5:], strict=True)]
    return {**found, "added": round(statistics.median(added), 2)}


if __name__ == "__main__":
    main()
