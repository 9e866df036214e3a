"""What `flawscope train FOLDER` makes where nobody names a method, beside methods that are named.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/product.py --data DATA --work WORK --json OUT.json \\
        --way 'patchcore=--method patchcore' --way product=

A way is NAME=ARGUMENTS of `flawscope train`; the first is what the others are compared with. Each is trained
and evaluated by the command line, with the splits, the calibration and the engine that it takes by itself.

Rendered products are those of csad.py and committee.py: with each seed 200 good pictures for training, 60 to
calibrate on, 80 good and about 200 flawed ones for testing, 256×256. Screw is as published, of magnetic tile
and BSData every third good picture is for testing; they have one seed. Intervals are those of presets.py.

A model is trained where WORK has none of that way, product and seed. Rows are written as they come, and those
that OUT.json has are not computed again; the tables are beside it, as .md.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _committee_places import FURTHER, PRODUCTS, RENDERED
from _csad_fits import rendered
from _preset_tables import Table, image_figures, markdown
from accuracy import FOLDERS, about

from flawscope.data.layouts import read_dataset
from flawscope.files import write_text
from flawscope.runtime import bundle
from flawscope.runtime.explain.joint import RAW
from flawscope.runtime.inspector import Inspector

_LETTERS = {"structural": "s", "logical": "l", None: "d"}
_PROTOCOL = """\
`flawscope train` and `flawscope evaluate`, as the command line runs them. Rendered products (256×256): 200
good pictures for training, 60 to calibrate on, 80 good and about 200 flawed ones for testing, of each seed;
screw as published; of magnetic tile and BSData every third good picture is for testing. Image AUROC over all
test pictures, and over good ones and structural or logical flaws alone; pixel figures over each pixel at the
picture's own resolution. Fit times are of the whole command: fit, export, parity, calibration, on the clock
and of the processor. Intervals hold 95 % of 2000 paired bootstraps over the test pictures, good and defective
ones apart."""


def ran(arguments: list[str], log: Path) -> tuple[str, float, float]:
    """What one command of flawscope printed, its seconds on the clock, and those of the processor."""
    clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("a", encoding="utf-8") as told:
        order = [sys.executable, "-m", "flawscope", *arguments]
        done = subprocess.run(order, check=False, stdout=subprocess.PIPE, stderr=told, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise SystemExit(f"flawscope {shlex.join(arguments)}: exit code {done.returncode}, see {log}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, time.perf_counter() - clock, spent


def pictures_of(given: argparse.Namespace, product: str, seed: int) -> Path:
    """The product's folder, rendered where it is not there yet."""
    if product in FOLDERS:
        return given.data / FOLDERS[product]
    return rendered(given.work, product, seed, size=256, per_flaw=FURTHER.get(product, 0)).root


def measured(given: argparse.Namespace, way: str, product: str, seed: int) -> dict[str, Any]:
    """One row: a way's model of one product, trained where it is not there yet, and evaluated."""
    folder = pictures_of(given, product, seed)
    place = given.work / "product" / f"{product}-{seed}" / way
    place.mkdir(parents=True, exist_ok=True)
    model, timed, log = place / "model", place / "seconds.json", place / "log.txt"
    if not timed.exists():
        arguments = [str(folder), "--out", str(model), "--seed", str(seed), *shlex.split(given.way[way])]
        _, clock, processor = ran(["train", *arguments], log)
        write_text(timed, json.dumps([round(clock, 1), round(processor, 1)]) + "\n")
    clock, processor = json.loads(timed.read_text(encoding="utf-8"))
    printed, _, _ = ran(["evaluate", str(model), str(folder), "--out", str(place / "report"), "--json"], log)
    found, manifest = json.loads(printed), bundle.load(model).manifest
    with (place / "report" / "pictures.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    category = {str(sample.path): sample.category for sample in read_dataset(folder)}
    kinds = "".join(_LETTERS[category[row["path"]]] if row["defective"] == "1" else "g" for row in rows)
    scores = [float(row["score"]) for row in rows]
    rejected = [row["decision"] == "reject" for row in rows]
    alone = of_members(model, kinds, [row["path"] for row in rows])
    return {
        **image_figures(kinds, scores),
        **({"members": alone} if alone else {}),
        "pixel_auroc": round(found["localisation"]["pixel_auroc"], 5),
        "aupro_0.3": round(found["localisation"]["aupro_30"], 5),
        "good_rejected": sum(hit for hit, kind in zip(rejected, kinds, strict=True) if kind == "g"),
        "flawed_rejected": sum(hit for hit, kind in zip(rejected, kinds, strict=True) if kind != "g"),
        "method": manifest.method,
        "fit_seconds": clock,
        "fit_processor": processor,
        "kinds": kinds,
        "scores": " ".join(f"{score:.6g}" for score in scores),
    }


def of_members(model: Path, kinds: str, paths: list[str]) -> dict[str, dict[str, float]]:
    """Figures of each member's own score on pictures of such kinds, of a committee's model."""
    inspector = Inspector.load(model)
    names = next((one.names for one in inspector.bundle.manifest.outputs if one.name == RAW), ())
    raw = [inspector.inspect(path).outputs[RAW] for path in paths] if names else []  # (K,) each
    figures = [image_figures(kinds, [float(row[number]) for row in raw]) for number in range(len(names))]
    return {
        name: {key: round(value, 5) for key, value in one.items()}
        for name, one in zip(names, figures, strict=True)
    }


def beside_members(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Image AUROC of committees and of their members alone, in percent; Markdown lines."""
    kinds = ("image", "structural", "logical")
    yield f"| product | {' | '.join(kinds)} |"
    yield "|---" * (1 + len(kinds)) + "|"
    for row in rows:
        if members := row.get("members"):
            of = {row["method"]: row, **members}
            cells = [
                ", ".join(f"{name} {100 * one[f'{kind}_auroc']:.1f}" for name, one in of.items())
                for kind in kinds
            ]
            yield f"| {row['product']}, seed {row['seed']} | {' | '.join(cells)} |"


def decided(table: Table) -> Iterator[str]:
    """What each way took, and how many pictures it rejected, by product; Markdown lines."""
    yield f"| product | {' | '.join(table.presets)} |"
    yield "|---" * (1 + len(table.presets)) + "|"
    for product in table.seeds:
        cells = []
        for way in table.presets:
            rows = table.rows(way, product)
            good, flawed = (sum(row[f"{part}_rejected"] for row in rows) for part in ("good", "flawed"))
            kinds = "".join(row["kinds"] for row in rows)
            methods = ", ".join(dict.fromkeys(row["method"] for row in rows))
            number = kinds.count("g")
            cells.append(f"{methods}: {good} of {number}, {flawed} of {len(kinds) - number}")
        yield f"| {product} | {' | '.join(cells)} |"


def page(result: dict[str, Any], ways: list[str]) -> str:
    """The result as a Markdown page."""
    table = Table(result["rows"], ways)
    lines = ["# What `train` makes by itself", "", _PROTOCOL, ""]
    if table.seeds:
        told = (
            "The method of each model, and the good and flawed test pictures that it rejects at its promise."
        )
        lines += [*markdown(table), "", told, "", *decided(table), ""]
    if any("members" in row for row in result["rows"]):
        told = "Image AUROC of committees and of their members' own scores, in percent."
        lines += [told, "", *beside_members(result["rows"]), ""]
    lines += [
        f"- {way}: `{' '.join(['flawscope train FOLDER', result['ways'][way]]).strip()}`" for way in ways
    ]
    for run in result["runs"]:
        numbers = ", ".join(f"{key} {value}" for key, value in run["versions"].items())
        where = f"{run['processor']}, {run['threads']} threads, Python {run['python']}, {numbers}"
        lines.append(f"- `{run['command']}`\n  on {where}")
    return "\n".join(lines) + "\n"


def way(text: str) -> tuple[str, str]:
    """NAME=ARGUMENTS."""
    name, _, arguments = text.partition("=")
    return name, arguments.strip()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the real products")
    parser.add_argument("--work", type=Path, required=True, help="rendered pictures and models are kept here")
    parser.add_argument("--way", type=way, action="append", required=True, metavar="NAME=ARGUMENTS")
    parser.add_argument("--products", nargs="+", choices=PRODUCTS, default=PRODUCTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--json", type=Path, required=True, help="rows; the tables beside it, as .md")
    given = parser.parse_args()
    given.way = dict(given.way)
    result = (
        json.loads(given.json.read_text()) if given.json.exists() else {"runs": [], "ways": {}, "rows": []}
    )
    for name, arguments in given.way.items():
        if result["ways"].setdefault(name, arguments) != arguments:
            raise SystemExit(f"{given.json}: {name} is another way there; name this one otherwise.")
    run = about()
    for path, name in ((given.json, "OUT.json"), (given.data, "DATA"), (given.work, "WORK")):
        run["command"] = run["command"].replace(str(path), name)
    there = {(row["preset"], row["product"], row["seed"]) for row in result["rows"]}
    for seed in given.seeds:
        for product in given.products:
            for name in given.way:
                if (name, product, seed) in there or (product not in RENDERED and seed != given.seeds[0]):
                    continue
                drawn = f"{product}@{seed}" if product in RENDERED else product
                row = {"preset": name, "product": product, "pictures": drawn, "seed": seed}
                row |= measured(given, name, product, seed)
                result["runs"] += [run] if run not in result["runs"] else []
                result["rows"].append(row)
                result["rows"].sort(key=lambda each: (PRODUCTS.index(each["product"]), each["seed"]))
                write_text(given.json, json.dumps(result, indent=1) + "\n")
                print(
                    {key: value for key, value in row.items() if key not in ("kinds", "scores")}, flush=True
                )
    text = page(result, list(given.way))
    write_text(given.json.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    main()
