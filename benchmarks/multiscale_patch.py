"""Multi-scale patches on real products: one, two, three scales, and each loss left out, shortened training.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/multiscale_patch.py --data DATA --work WORK \\
        --out benchmarks/results/multiscale_patch.json

Image and pixel AUROC and AU-PRO up to a false positive rate of 0.3, as `accuracy.py` computes them, with the
settings below, which are not the paper's: ResNet-18 in place of VGG16, whose patches cannot be encoded
densely, wider strides, a bank thinned to a coreset, and far fewer steps. `--options` changes them. The scales
learn apart, by losses and draws of their own, so that the maps of one training give the figures of one, two
and three scales, as trainings of these scales would. L_Kmeans has a thousandth of the paper's weight.
Variants are the losses left out, `equation 5` (the paper's weight), `scratch` (random weights at first) and
`untrained` (the pretrained features behind a random projection).

The table is written after every run. A stopped run goes on from its checkpoint in WORK, and finished ones are
taken from the table, where their options are the same.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accuracy import FOLDERS, about, localised

from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.training import TrainingData
from flawscope.files import write_text
from flawscope.methods.multiscale_patch import MultiScalePatch
from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions
from flawscope.methods.multiscale_patch.training import steps_in_all
from flawscope.methods.registry import create
from flawscope.methods.running import score
from flawscope.metrics.ranking import auroc
from flawscope.nn.run import Checkpoints, Run

Row = dict[str, Any]
LOSSES = ("svdd", "cos", "ssl", "kmeans")
SETTINGS: dict[str, Any] = {
    "backbone": "resnet18",
    "padding": True,
    "strides": (16, 8, 8),
    "patches": 8,
    "batch": 128,
    "together": 8,
    "steps": 500,
    "learning_rate": 1e-4,
    "clusters": 50,
    "kmeans_weight": 1e-3,
    "standardise": True,
    "bank_limit": 20_000,
    "examples": 0,
}
SHORTLY = "{made} × {pictures} × {together}, {learning_rate:g}, {kmeans_weight:g}; {strides}; {clusters}"
POINTS = 25  # of a loss curve
VARIANTS: dict[str, dict[str, Any]] = {
    "all losses": {},
    **{f"without {name}": {"losses": tuple(each for each in LOSSES if each != name)} for name in LOSSES},
    "equation 5": {"kmeans_weight": 1.0},
    "scratch": {"weights": "random", "learning_rate": 1e-3},
    "untrained": {"steps": 0},
}


def figures(detector: MultiScalePatch, test: Pictures, run: Run) -> list[Row]:
    """Figures of the largest scale alone, then with each further one."""
    outputs = score(detector, test, run)
    defective = [sample.defective for sample in test.samples]
    joined = torch.zeros(len(test), *detector.options.size)
    rows = []
    for index, scale in enumerate(detector.options.scales):
        with torch.inference_mode():
            joined = joined + detector.coverage[str(scale)].cpu()(
                torch.from_numpy(outputs[f"distance_{scale}"])
            )
        side, step = detector.options.window
        scores = F.avg_pool2d(joined.unsqueeze(1), side, step).flatten(1).amax(1).numpy()
        rows.append(
            {
                "scales": detector.options.scales[: index + 1],
                "image_auroc": auroc(defective, scores),
                **localised(test.samples, joined.numpy().astype(np.float32), detector.options.frame),
            }
        )
    return rows


def measure(given: argparse.Namespace, product: str, variant: str) -> Row:
    """Train one variant on one product and score its test pictures."""
    detector = create("multiscale_patch", options_of(given, variant))
    assert isinstance(detector, MultiScalePatch)
    dataset = read_dataset(given.data / FOLDERS[product])
    normal = PictureFiles(dataset.select(split="train", defective=False), detector.options.frame)
    folder = given.work / f"{product}-{variant}".replace(" ", "-")
    run = Run(
        seed=given.seed, device=given.device, precision=given.precision, checkpoints=Checkpoints(folder)
    )
    started = time.perf_counter()
    detector.fit(TrainingData(normal=normal, tuning=normal.subset([])), run)
    fitted = time.perf_counter()
    found = figures(detector, PictureFiles(dataset.select(split="test"), detector.options.frame), run)
    return {
        "product": product,
        "variant": variant,
        "seed": given.seed,
        "options": detector.options.model_dump(mode="json"),
        "training_pictures": len(normal),
        "test_pictures": len(dataset.select(split="test")),
        "figures": found,
        "made_steps": steps_in_all(detector.options, len(normal)),
        "history": detector.learnt.history[:: -(-len(detector.learnt.history) // POINTS)],
        "fit_seconds": round(fitted - started, 1),
        "score_seconds": round(time.perf_counter() - fitted, 1),
        "machine": about(given.device),
    }


def options_of(given: argparse.Namespace, variant: str) -> dict[str, Any]:
    """The shortened settings, the command line's and the variant's, the later over the earlier."""
    return {**SETTINGS, **given.options, **VARIANTS[variant]}


def table(rows: list[Row]) -> str:
    """The rows as Markdown, in percent."""
    lines = [
        "| product | variant | scales | image AUROC | pixel AUROC | AU-PRO 0.3 | settings | fit s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        for found in row["figures"]:
            measures = " | ".join(
                f"{100 * found[key]:.1f}" for key in ("image_auroc", "pixel_auroc", "aupro_0.3")
            )
            scales = " + ".join(str(scale) for scale in found["scales"])
            lines.append(
                f"| {row['product']} | {row['variant']} | {scales} | {measures} "
                f"| {shortly(row)} | {row['fit_seconds']} |"
            )
    return "\n".join(lines)


def shortly(row: Row) -> str:
    """The settings of a row in which the rows differ."""
    pictures = row["options"]["batch"] // row["options"]["together"]
    return SHORTLY.format(**row["options"], made=row["made_steps"], pictures=pictures)


def page(rows: list[Row]) -> str:
    """Table, what the settings mean, and the commands with their machines."""
    commands: dict[str, list[str]] = {}
    for row in rows:
        about = row["machine"]
        numbers = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        commands.setdefault(f"{about['processor']}; Python {about['python']}, {numbers}", []).append(
            about["command"]
        )
    networks = ", ".join(sorted({row["options"]["backbone"] for row in rows}))
    lines = [
        "# Multi-scale patches",
        "",
        "**Shortened training.** Settings: steps × pictures a step × patches of each kind a picture, "
        "Adam's learning rate, weight of L_Kmeans; strides from patch to patch; centres K of L_Kmeans. "
        "The paper's are batches of 64 and 100 patches of each kind a picture, 1e-5 and 1; strides of 16,"
        " 4 and 4; of epochs and centres it says nothing. The default takes 64 pairs a step, 100 of each "
        "picture an epoch, for 300 epochs (150 000 steps on screw, 187 500 on magnetic tile). All rows "
        "take embeddings of D = 64 numbers, which begin `standardise`d, and find the centres among as "
        "many patches a picture as a step takes of one. In place of VGG16 the encoders are the first "
        f"stages of {networks}. One seed; no row was chosen on test pictures. Trainings on a GPU shared "
        "it, up to nine at once, so their times compare with nothing. In the commands, from before 64 "
        "pairs a step were the default, `batch` counts pictures of `patches` patches each.",
        "",
        table(rows),
    ]
    for about, made in commands.items():
        lines += ["", f"{about}:", "", *(f"- `{command}`" for command in dict.fromkeys(made))]
    return "\n".join(lines) + "\n"


def write(rows: list[Row], out: Path) -> None:
    """The rows as JSON, and the page beside it."""
    write_text(out, json.dumps({"results": rows}, indent=1) + "\n")
    write_text(out.with_suffix(".md"), page(rows))


def kept(*files: Path) -> list[Row]:
    """Rows of earlier runs."""
    return [row for file in files if file.exists() for row in json.loads(file.read_text())["results"]]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder that holds the products' folders")
    parser.add_argument("--products", nargs="+", choices=FOLDERS, default=["screw", "magnetic_tile"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object over the settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--work", type=Path, help="folder of the checkpoints")
    parser.add_argument(
        "--gather", type=Path, nargs="+", help="join the tables of these files and run nothing"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file; the table goes beside it as .md")
    given = parser.parse_args()
    if given.gather:
        write(kept(*given.gather), given.out)
        return
    if not (given.data and given.work):
        parser.error("--data and --work are missing")
    rows = kept(given.out)
    for product in given.products:
        for variant in given.variants:
            key = (product, variant, given.seed, MultiScalePatchOptions(**options_of(given, variant)))
            if key in [
                (row["product"], row["variant"], row["seed"], MultiScalePatchOptions(**row["options"]))
                for row in rows
            ]:
                continue
            rows.append(measure(given, product, variant))
            write(rows, given.out)
            print(table(rows[-1:]), flush=True)


if __name__ == "__main__":
    main()
