"""Why training makes multi-scale patches worse: losses and accuracy over the steps of short trainings.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/multiscale_patch_curves.py --data DATA --work WORK \\
        --out benchmarks/results/multiscale_patch_curves.json

Every variant trains as the method does, in steps of 64 pairs. At each checkpoint of `--at` the patches of
`--bank` training pictures become the bank, and `--good` good and `--defective` defective test pictures are
scored. A checkpoint's row also has each loss on training pictures and on the good test pictures, which are
not learned from; and of the bank's embeddings the spread (root mean square distance from their mean) and the
rank (the participation ratio of their covariance: how many directions carry the variance). The row of step 0
is the pretrained network behind a random convolution; variants that begin as `all losses` does have none.

On screw the light is levelled by this script: the median of each picture is brought to that of the training
pictures, for its good test pictures are darker than all others, which the method has no part in.

The table is written after every checkpoint. A stopped training goes on from its own checkpoint in WORK, and
rows that are there already are not measured again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from _multiscale_curves import Product
from accuracy import FOLDERS, about
from multiscale_patch import figures
from torch import Tensor

from flawscope.files import write_text
from flawscope.methods.multiscale_patch import MultiScalePatch
from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions
from flawscope.methods.multiscale_patch.patches import draw
from flawscope.methods.multiscale_patch.training import Networks, Objective, train
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.run import Checkpoints, Run, seeded
from flawscope.nn.training.stores import PixelStore
from flawscope.nn.watch import UNWATCHED

Row = dict[str, Any]
STARTS = {"bounded", "standardise", "mean_picture"}  # options that change where a training begins
PAIRS = 4  # of each loss in each picture on which losses are measured
SETTINGS: dict[str, Any] = {
    "backbone": "resnet18",
    "padding": True,
    "scales": (16,),
    "strides": (16,),
    "learning_rate": 1e-4,
    "kmeans_patches": 20,
    "examples": 0,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "all losses": {},
    "frozen trunk": {"trunk_rate": 0.0},
    "slower trunk": {"trunk_rate": 0.01},
    "bounded": {"bounded": True},
    "standardised": {"standardise": True},
    "mean picture": {"mean_picture": True},
    "noise": {"noise": 0.02},
    **{f"{name} alone": {"losses": (name,)} for name in ("ssl", "kmeans", "svdd", "cos")},
    **{f"{name} alone, frozen trunk": {"losses": (name,), "trunk_rate": 0.0} for name in ("ssl", "kmeans")},
}


def fresh(options: MultiScalePatchOptions, run: Run) -> Networks:
    """Networks as a training begins with them, up to what it does before its first step."""
    with seeded(run.generator(1).initial_seed()):
        networks = Networks(options)
    for backbone in networks.encoders.backbones() if options.weights == "pretrained" else ():
        load_pretrained(backbone)
    return networks.to(run.torch_device())


@torch.no_grad()
def losses_on(networks: Networks, options: MultiScalePatchOptions, store: PixelStore, run: Run) -> Row:
    """Each loss on all pictures of the store, the same pairs at every call."""
    several = options.model_copy(update={"together": PAIRS})
    objective = Objective(networks, several, run)
    found: Row = {}
    pixels = networks.encoders.centred(store.batch(range(len(store))))
    for scale in options.scales:
        places = draw(several, scale, len(store), run.generator(2, scale))
        for name, loss in objective(pixels, places, scale).items():
            found[f"{name}_{scale}"] = round(float(loss), 5)
    return found


def spectrum(rows: Tensor) -> Row:
    """Spread and rank of embeddings (n, D)."""
    variances = torch.linalg.eigvalsh(torch.cov(rows.double().T)).clamp_min(0)
    return {
        "spread": round(float(variances.sum().sqrt()), 5),
        "rank": round(float(variances.sum() ** 2 / variances.square().sum().clamp_min(1e-30)), 2),
    }


def measure(networks: Networks, options: MultiScalePatchOptions, product: Product, run: Run) -> Row:
    """What a checkpoint's row says of the networks."""
    detector = MultiScalePatch(options)
    detector.networks = networks.eval()
    detector.to(run.torch_device())
    detector.remember(product.bank, run, UNWATCHED, "bank")
    known = {scale: detector.banks[str(scale)].memory.bank for scale in options.scales}
    train_store, held_out = PixelStore(product.bank, run), PixelStore(product.held_out, run)
    return {
        "figures": figures(detector, product.test, run),
        "embeddings": {str(scale): spectrum(rows) for scale, rows in known.items()},
        "losses": losses_on(networks, options, train_store, run),
        "held_out_losses": losses_on(networks, options, held_out, run),
    }


def curve(given: argparse.Namespace, name: str, variant: str, rows: list[Row]) -> None:
    """Train one variant on one product; a row for each checkpoint that has none yet."""
    options = options_of(given, variant)
    missing = set(given.at) - done_of(rows, name, variant, options)
    if variant != "all losses" and not STARTS & set(VARIANTS[variant]):
        missing.discard(0)
    if not missing:
        return
    product = Product(given, name, options.frame)
    digest = hashlib.sha256(options.model_dump_json().encode()).hexdigest()[:12]
    run = Run(
        seed=given.seed, precision=given.precision, device=given.device, checkpoints=Checkpoints(given.work)
    )
    store = PixelStore(product.training, run)
    started = time.process_time()

    def reached(networks: Networks, step: int) -> bool:
        if step in missing:
            row = {"product": name, "variant": variant, "step": step, "seed": given.seed}
            row |= {"options": options.model_dump(mode="json"), **product.about()}
            row |= {**measure(networks, options, product, run), "machine": about(given.device)}
            row["processor_s"] = round(time.process_time() - started, 1)
            rows.append(row)
            write(rows, given.out)
            print("\n".join(lines([row])), flush=True)
        return False

    label = f"{name}-{variant}-{digest}".replace(" ", "-")
    for steps in (0, max(given.at)) if 0 in missing else (max(given.at),):
        networks = fresh(options, run)
        shortened = options.model_copy(update={"steps": steps})
        train(
            networks, store, shortened, run, UNWATCHED,
            name=f"{label}-{steps}", finished=lambda step, networks=networks: reached(networks, step),
        )  # fmt: skip
        if not steps:
            reached(networks, 0)


def done_of(rows: list[Row], product: str, variant: str, wanted: MultiScalePatchOptions) -> set[int]:
    """The steps of a training that have their row."""
    return {
        row["step"]
        for row in rows
        if (row["product"], row["variant"]) == (product, variant)
        and MultiScalePatchOptions(**row["options"]) == wanted
    }


def options_of(given: argparse.Namespace, variant: str) -> MultiScalePatchOptions:
    """The settings, the command line's and the variant's, the later over the earlier."""
    changes = {**SETTINGS, **given.options, **VARIANTS[variant], "steps": max(given.at)}
    return MultiScalePatchOptions(**changes)


def lines(rows: list[Row]) -> Iterator[str]:
    """The rows as lines of a table, in percent where they are shares."""
    for row in rows:
        found = row["figures"][-1]
        measures = " | ".join(
            f"{100 * found[key]:.1f}" for key in ("image_auroc", "pixel_auroc", "aupro_0.3")
        )
        shapes = ", ".join(
            f"{each['spread']:.3g} / {each['rank']:.1f}" for each in row["embeddings"].values()
        )
        losses = ", ".join(
            f"{name.split('_')[0]} {value:.3g} / {row['held_out_losses'][name]:.3g}"
            for name, value in row["losses"].items()
            if row["step"] or not name.startswith("kmeans")  # the centres come with the first step
        )
        sides = " + ".join(str(scale) for scale in row["options"]["scales"])
        kinds = ("training_pictures", "bank_pictures", "test_good", "test_defective")
        counts = " / ".join(str(row[kind]) for kind in kinds)
        start = f"| {row['product']} | {sides} | {counts} | {row['variant']} | {row['step']}"
        yield f"{start} | {measures} | {shapes} | {losses} |"


def place(row: Row) -> tuple[Any, ...]:
    """Where a row stands in the table."""
    variant = list(VARIANTS).index(row["variant"])
    return row["product"], row["options"]["scales"], variant, row["options"]["steps"], row["step"]


def page(rows: list[Row]) -> str:
    """The table, what was shortened, and the commands with their machines."""
    options = rows[0]["options"]
    strides = ", ".join(str(each) for each in sorted({row["options"]["strides"][0] for row in rows}))
    commands: dict[str, list[str]] = {}
    for row in rows:
        numbers = ", ".join(f"{name} {number}" for name, number in row["machine"]["versions"].items())
        key = f"{row['machine']['processor']}, {row['machine']['threads']} thread; {numbers}"
        commands.setdefault(key, []).append(row["machine"]["command"])
    text = [
        "# Multi-scale patches over the steps of training",
        "",
        f"**Shortened.** {options['backbone']} in place of VGG16; patches of the sizes named, since scales "
        f"learn apart, at strides of {strides} pixels, where the paper's are 16, 4 and 4; Adam at "
        f"{options['learning_rate']:g} (the paper: 1e-5); a few of the default's 150 000 steps on 320 "
        f"pictures, of {options['batch']} pairs; K-means among {options['kmeans_patches']} patches of each; "
        "some of the pictures. One seed. The light of screw is levelled. What the columns mean stands in "
        "`multiscale_patch_curves.py`.",
        "",
        "| product | patch | pictures: training / bank / good / defective | variant | step | image AUROC "
        "| pixel AUROC | AU-PRO 0.3 | spread / rank | losses: training / held out |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *lines(sorted(rows, key=place)),
    ]
    for machine, made in commands.items():
        text += ["", f"{machine}:", "", *(f"- `{command}`" for command in dict.fromkeys(made))]
    return "\n".join(text) + "\n"


def write(rows: list[Row], out: Path) -> None:
    """The rows as JSON, and the page beside it."""
    write_text(out, json.dumps({"results": rows}, indent=1) + "\n")
    write_text(out.with_suffix(".md"), page(rows))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the products' folders")
    parser.add_argument("--products", nargs="+", choices=FOLDERS, default=list(FOLDERS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--at", nargs="+", type=int, default=[0, 60, 200], help="steps that are measured")
    parser.add_argument("--training", type=int, default=160, help="most training pictures")
    parser.add_argument("--bank", type=int, default=60, help="training pictures whose patches are compared")
    parser.add_argument("--good", type=int, default=40, help="most good test pictures")
    parser.add_argument("--defective", type=int, default=60, help="most defective test pictures")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object over the settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="JSON file; the table goes beside it as .md")
    parser.add_argument("--whole", type=Path, help="write the table here, too, once every row is there")
    given = parser.parse_args()
    rows: list[Row] = json.loads(given.out.read_text())["results"] if given.out.exists() else []
    for product in given.products:
        for variant in given.variants:
            curve(given, product, variant, rows)
    if given.whole:
        write(rows, given.whole)


if __name__ == "__main__":
    main()
