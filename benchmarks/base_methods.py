"""SegAD's base methods alone on MVTec screw: image AUROC beside published ones.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/base_methods.py --data DATA/mvtec_ad_512/screw \
        --steps fastflow=150,rd4ad=500,classifier=150,devnet=60,dra=40 --work WORK --out results/base

FastFlow and RD4AD learn from all good training pictures and are tested as published. The classifier, DevNet
and DRA also learn from ten defects of all kinds, drawn by seed from the test pictures and left out of the
test. Methods that `--steps` does not name train in full, as SegAD's appendix B has it: FastFlow and RD4AD
200 epochs. `--levelled` brings the median grey of each picture to that of the training pictures. A training
that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import command, hardware, versions
from _multiscale_curves import Levelled
from _segad_protocol import SUPERVISED, Schedule, divide, parse_steps, train_supervised, train_whole

from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.files import write_text
from flawscope.methods.detector import Detector
from flawscope.methods.running import score
from flawscope.metrics import auroc
from flawscope.nn.run import Checkpoints, Run

SHOTS = 10
METHODS = ("fastflow", "rd4ad", *SUPERVISED)
PUBLISHED = {
    "fastflow": "74.7 (WideResNet-50-2, 200 epochs; SegAD, table 9)",
    "rd4ad": "98.4 (WideResNet-50-2, 200 epochs; SegAD, table 9)",
    "classifier": "none",
    "devnet": "none in our papers; 89.3 is its mean on VisA with 10 defects (SegAD, table 5)",
    "dra": "none in our papers; 88.9 is its mean on VisA with 10 defects (SegAD, table 5)",
}


LIGHT = {
    "screw": "Screw's good test pictures are darker than all others: the median grey of their upper and "
    "lower edge (20 rows of 512) is 187.5 ± 1.8, that of good training pictures 203.3 ± 6.0, of defective "
    "ones 203 to 208 by kind. Methods that are trained without changes of light take that for a defect, "
    "those with `absolute` above all, and can so fall below 50. Screw must not be the only judge of them."
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="product's folder")
    parser.add_argument("--steps", type=parse_steps, default={}, help="method=steps,... for short training")
    parser.add_argument("--only", default=",".join(METHODS), help="method,...")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, required=True, help="folder for trained parts")
    parser.add_argument("--out", type=Path, required=True, help="results without suffix")
    parser.add_argument(
        "--levelled", action="store_true", help="fastflow and rd4ad: level the pictures' light"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    run = Run(
        device=arguments.device,
        checkpoints=Checkpoints(arguments.work / "unfinished"),
        trained=Checkpoints(arguments.work / "trained"),
    )
    schedule = Schedule(arguments.steps)
    options = {**schedule.detectors(), **schedule.supervised()}
    parts = divide(arguments.data, [SHOTS], None, run.seed)
    good = (*parts.learnt.samples, *parts.forest.samples)
    level = grey(PictureFiles(good, parts.test.frame)) if arguments.levelled else None
    normal = Levelled(good, parts.test.frame, level)
    whole = Levelled(read_dataset(arguments.data).select(split="test"), parts.test.frame, level)
    rows = []
    for name in arguments.only.split(","):
        started = time.perf_counter()
        supervised = name in SUPERVISED
        detector = (
            train_supervised(parts, SHOTS, name, schedule, run)
            if supervised
            else train_whole(normal, name, schedule, run)
        )
        rows.append(
            {
                "method": name,
                "options": options[name],
                "steps": arguments.steps.get(name),
                "levelled": arguments.levelled and not supervised,
                "good": len(good),
                "defects": SHOTS if supervised else 0,
                **measure(detector, parts.test if supervised else whole, run),
                "published_percent": PUBLISHED[name],
                "seconds": round(time.perf_counter() - started),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    result = {
        "product": arguments.data.resolve().name,
        "rows": rows,
        "command": command(),
        "machine": f"{hardware(arguments.device)}, {arguments.threads} thread(s)",
        "versions": versions("flawscope", "torch", "timm", "numpy"),
    }
    write_text(arguments.out.with_suffix(".json"), json.dumps(result, indent=1) + "\n")
    write_text(arguments.out.with_suffix(".md"), markdown(result))


def measure(detector: Detector, pictures: Pictures, run: Run) -> dict[str, Any]:
    found = score(detector, pictures, run, keep=("score", "heatmap") if mapped(detector) else ("score",))
    defective = np.array([sample.defective for sample in pictures.samples])
    more = {}
    if "heatmap" in found:
        rows = np.sort(found["heatmap"].reshape(len(defective), -1), 1)  # (N, H*W)
        largest = rows[:, -max(1, rows.shape[1] // 100) :].mean(1)
        more = {"image_auroc_of_largest_percent": auroc(defective.astype(int), largest)}
    return {
        "image_auroc": auroc(defective.astype(int), found["score"]),
        **more,
        "test_good": int((~defective).sum()),
        "test_defective": int(defective.sum()),
    }


def mapped(detector: Detector) -> bool:
    """Whether the detector has a heatmap."""
    return any(output.name == "heatmap" for output in detector.outputs)


def grey(pictures: Pictures) -> float:
    """The median of the pictures' median greys."""
    return float(np.median([np.median(pixels) for pixels in pictures]))


def markdown(result: dict[str, Any]) -> str:
    lines = [
        f"# SegAD's base methods alone on {result['product']}",
        "",
        "256×256, EfficientNet-Lite0, one seed; **shortened training** where the table names steps (DevNet "
        "and DRA then with 16 pictures a step). Published figures are of other backbones.",
        "",
        "| method | steps | good / defective to learn from | test | image AUROC | published |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['method']}{', light levelled' * row['levelled']} | {row['steps'] or 'full'} "
        f"| {row['good']} / {row['defects']} "
        f"| {row['test_good']} + {row['test_defective']} | {100 * row['image_auroc']:.1f} "
        f"| {row['published_percent']} |"
        for row in result["rows"]
    ]
    if result["product"] in LIGHT:
        lines += ["", LIGHT[result["product"]]]
    numbers = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    lines += ["", f"`{result['command']}`", "", f"{result['machine']}; {numbers}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
