"""Accuracy of a method on real products: image and pixel AUROC, AU-PRO, with settings, machine and command.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/accuracy.py --data DATA --reference --json OUT.json
    python benchmarks/accuracy.py --data DATA --preset default --json OUT.json

`--reference` runs the settings of the ResNet-18 reference points; otherwise name a method, its options as
JSON, or a preset. Products are screw (MVTec AD, as published), magnetic tile and BSData (every third good
picture is for testing). A tenth of the good training pictures is kept for tuning where the method levels
several banks; nothing else is tuned, and no threshold is used. Figures of place are those of `flawscope
evaluate`: each pixel of each test picture counts once, at the picture's own resolution. EfficientAD is
measured for several shares of its local map, and for squares and discrepancies as that map, from one
training.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import command, hardware
from numpy.typing import NDArray

from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset, Sample
from flawscope.data.splits import split_normals
from flawscope.data.training import TrainingData
from flawscope.files import write_text
from flawscope.methods.detector import Detector
from flawscope.methods.registry import create, options_of
from flawscope.methods.running import score
from flawscope.metrics.ranking import auroc
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import UNWATCHED
from flawscope.runtime.images import Frame, check_image
from flawscope.station.localisation import Localisation

FOLDERS = {"screw": "mvtec_ad_512/screw", "magnetic_tile": "magnetic_tile", "bsdata": "bsdata"}
_PLAIN = {"backbone": "resnet18", "layers": ["layer2", "layer3"], "projection": 64, "reweighting": 0}
REFERENCE = {
    "screw": {**_PLAIN, "coreset": 0.05},
    "magnetic_tile": {**_PLAIN, "coreset": 0.02},
    "bsdata": {**_PLAIN, "coreset": 0.05},
}


def measure(folder: Path, product: str, method: str, options: dict[str, Any], run: Run) -> dict[str, Any]:
    """Fit on the good training pictures of one product and score its test pictures."""
    dataset = read_dataset(folder / FOLDERS[product])
    detector = create(method, options)
    normals = dataset.select(split="train", defective=False)
    split = split_normals(normals, seed=run.seed, tuning=0.1 if detector.needs().tuning else 0.0)
    normal, tuning = (PictureFiles(part, detector.options.frame) for part in (split.training, split.tuning))
    started = time.perf_counter()
    detector.fit(TrainingData(normal=normal, tuning=tuning), run)
    fitted = time.perf_counter()
    test = dataset.select(split="test")
    outputs = score(detector, PictureFiles(test, detector.options.frame), run)
    scored = time.perf_counter()
    defective = [sample.defective for sample in test]
    good = [index for index, sample in enumerate(test) if not sample.defective]
    by_kind = {}
    for kind in dataset.kinds():
        chosen = good + [index for index, sample in enumerate(test) if sample.kind == kind]
        by_kind[kind] = auroc([defective[index] for index in chosen], outputs["score"][chosen])
    more = {}
    if "local_map" in outputs:
        more = {"by_local_weight": dict(_by_local_weight(detector, test, outputs, defective))}
        other = _other_local_map(detector, tuning, run)
        answers = score(other, PictureFiles(test, other.options.frame), run)
        figures = dict(_by_local_weight(other, test, answers, defective))
        more["by_local_weight_of_other_local_map"] = figures
    return {
        "product": product,
        "method": method,
        "options": detector.options.model_dump(mode="json"),
        "training_pictures": len(normal),
        "test_pictures": {"good": len(good), "defective": len(test) - len(good)},
        "image_auroc": auroc(defective, outputs["score"]),
        "image_auroc_by_kind": by_kind,
        **localised(test, outputs["heatmap"], detector.options.frame),
        "fit_seconds": round(fitted - started, 1),
        "score_seconds": round(scored - fitted, 1),
        **more,
    }


def _other_local_map(detector: Detector, tuning: PictureFiles, run: Run) -> Detector:
    """The same networks with discrepancies for squares as the local map, or the other way, scaled anew."""
    options = detector.options.model_dump()
    options["local_map"] = "squares" if options["local_map"] == "discrepancy" else "discrepancy"
    options["hierarchy"] = options["hierarchy"][-1:]
    other: Any = create(detector.name, options).to(run.torch_device())
    other.networks = detector.get_submodule("networks")
    other.levels.learn(other._raw(tuning, run, UNWATCHED))
    return other.eval()


def _by_local_weight(
    detector: Detector, test: tuple[Sample, ...], outputs: dict[str, NDArray[Any]], defective: list[bool]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Figures for other shares α of the local map, from the maps at the networks' resolution."""
    enlarge = detector.get_submodule("heatmap")
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        mixed = weight * outputs["local_map"] + (1 - weight) * outputs["global_map"]
        large = enlarge(torch.from_numpy(mixed.astype(np.float32))).numpy()
        figures = localised(test, large, detector.options.frame)
        yield str(weight), {"image_auroc": auroc(defective, mixed.max((1, 2))), **figures}


def localised(test: Sequence[Sample], heatmaps: NDArray[np.float32], frame: Frame) -> dict[str, float]:
    """Pixel AUROC and AU-PRO of heatmaps (N, h, w) over the frame, by the code of `flawscope evaluate`."""
    masked = any(sample.masks for sample in test)
    pixels = Localisation(Dataset("test", "given", Path(), tuple(test), masked=masked))
    for sample, heatmap in zip(test, heatmaps, strict=True):
        info = check_image(sample.path)
        pixels.add(sample, frame.placement(info.height, info.width).back(heatmap))
    found = pixels.metrics()
    return {"pixel_auroc": found["pixel_auroc"], "aupro_0.3": found["aupro_30"]}


def about(device: str = "cpu") -> dict[str, Any]:
    """What the figures were measured on and with."""
    return {
        "processor": hardware(device),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("flawscope", "torch", "torchvision", "timm", "numpy")},
        "command": command(),
    }


def markdown(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The rows as a table."""
    yield "| product | image AUROC | pixel AUROC | AU-PRO 0.3 | fit s | score s |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        figures = " | ".join(f"{row[key]:.4f}" for key in ("image_auroc", "pixel_auroc", "aupro_0.3"))
        yield f"| {row['product']} | {figures} | {row['fit_seconds']} | {row['score_seconds']} |"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the products' folders")
    parser.add_argument("--products", nargs="+", choices=FOLDERS, default=list(FOLDERS))
    parser.add_argument("--method", default="patchcore")
    parser.add_argument("--preset", help="start from a named preset; else from the paper's values")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object over the preset")
    parser.add_argument("--reference", action="store_true", help="settings of the ResNet-18 reference points")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--work", type=Path, help="folder of checkpoints, so that a stopped training goes on")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    checkpoints = Checkpoints(given.work) if given.work else None
    run = Run(given.seed, given.device, given.precision, checkpoints=checkpoints)
    rows = []
    for product in given.products:
        start = REFERENCE[product] if given.reference else options_of(given.method, given.preset, {})
        rows.append(measure(given.data, product, given.method, {**start, **given.options}, run))
        print(json.dumps({key: value for key, value in rows[-1].items() if key != "options"}), flush=True)
    print("\n".join(markdown(rows)))
    if given.json:
        write_text(given.json, json.dumps({"machine": about(given.device), "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
