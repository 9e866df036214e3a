"""Pictures seen whole, in tiles, and in tiles with an overview: what each finds, and what it takes.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/tiling.py --data FOLDER --work WORK --json OUT.json \\
        --markdown OUT.md

For each folder in a layout that flawscope reads and each way to see its pictures one model is trained at the
product preset, as `flawscope train` does it, and evaluated on all test pictures: image AUROC, pixel AUROC and
AU-PRO up to 30 % false positives, seconds of fit, and seconds a picture of the evaluation, masks and figures
included. Every model learns from the same number of good pictures. `by itself` is what `train` takes where
nobody names method or tiles. Nothing is chosen on test pictures. Rows are written as they come; those that
OUT.json has are not measured again, and models are kept in WORK.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from accuracy import about

from flawscope.data.layouts import read_dataset
from flawscope.files import write_text
from flawscope.runtime import bundle
from flawscope.runtime.inspector import Inspector
from flawscope.station.evaluate import evaluate
from flawscope.training.recipe import Recipe
from flawscope.training.train import train

WAYS: dict[str, dict[str, Any] | None] = {
    "whole": {"size": "none"},
    "tiles": {"size": "auto", "overview": False},
    "tiles and overview": {"size": "auto", "overview": True},
    "by itself": None,
}
COLUMNS = ("image_auroc", "pixel_auroc", "aupro_30")


def recipe_of(folder: Path, way: str, training: int, method: str) -> Recipe:
    """Train on so many good pictures; as many are set aside for scaling whichever way pictures are seen."""
    said = {} if WAYS[way] is None else {"method": method, "tiling": WAYS[way]}
    return Recipe.parse(
        said
        | {
            "data": {"folder": str(folder)},
            "split": {"training": training, "tuning": 0.1},
            "calibration": {"promise": "on_average", "false_rejects": 0.1},
            "engine": {"name": "onnxruntime", "precision": "fp32"},
        }
    )


def measured(folder: Path, way: str, given: argparse.Namespace) -> dict[str, Any]:
    """Train where there is no model yet, and evaluate."""
    out, seconds = given.work / folder.name / way.replace(" ", "_"), None
    if not bundle.is_bundle(out):
        seconds = train(recipe_of(folder, way, given.training, given.method), out).seconds["fit"]
    dataset, started = read_dataset(folder), time.perf_counter()
    with Inspector.load(out) as inspector:
        tiling = inspector.bundle.manifest.tiling
        found = evaluate(inspector, dataset)
    each = (time.perf_counter() - started) / max(1, len(found.records))
    figures = {"image_auroc": found.detection["auroc"].value, **found.localisation}
    return {
        **{name: round(figures[name], 4) for name in COLUMNS if figures.get(name) is not None},
        "fit_seconds": None if seconds is None else round(seconds),
        "seconds_a_picture": round(each, 3),
        "pictures": len(found.records),
        "tiling": None if tiling is None else tiling.model_dump(mode="json"),
    }


def page(result: dict[str, Any]) -> str:
    """The rows as a table, and how they came about."""
    lines = [
        "# Pictures whole, in tiles, and in tiles with an overview",
        "",
        (__doc__ or "").split("\n\n")[2],
        "",
    ]
    lines += [
        "| pictures | seen | image AUROC | pixel AUROC | AU-PRO | fit s | s a picture |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        cells = [f"{100 * row[name]:.1f}" if name in row else "" for name in COLUMNS]
        cells += [str(row["fit_seconds"] or ""), f"{row['seconds_a_picture']:.2f}"]
        lines.append(
            f"| {row['data']} ({row['training']} to learn from) | {row['way']} | {' | '.join(cells)} |"
        )
    lines.append("")
    for known in result["runs"]:
        versions = ", ".join(f"{name} {number}" for name, number in known["versions"].items())
        on = f"{known['processor']}, {known['threads']} threads, {versions}"
        lines += [f"- `{known['command']}`", f"  on {on}"]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of pictures")
    parser.add_argument("--work", type=Path, required=True, help="models are kept here")
    parser.add_argument("--training", type=int, default=60, help="good pictures to learn from")
    parser.add_argument("--method", default="joined_banks")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, help="how pictures are seen")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    none: dict[str, Any] = {"rows": [], "runs": []}
    result = json.loads(given.json.read_text(encoding="utf-8")) if given.json.exists() else none
    run = about()
    for folder in given.data:
        for way in given.ways:
            key = {"data": folder.name, "way": way, "training": given.training, "method": given.method}
            if any(key.items() <= row.items() for row in result["rows"]):
                continue
            result["rows"].append(key | measured(folder, way, given))
            result["runs"] += [run] if run not in result["runs"] else []
            write_text(given.json, json.dumps(result, indent=1) + "\n")
            if given.markdown:
                write_text(given.markdown, page(result))


if __name__ == "__main__":
    main()
