"""SADSeM beside tiled PatchCore and others on rendered products that lie anywhere, at growing picture sizes.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/sadsem.py --work WORK --json OUT.json --markdown OUT.md
    … --rows sadsem 'sadsem, no masks' …                   the ablation of table 1: all rows called sadsem
    … --sides 256 1024 --efficientad 10000                 EfficientAD, where its steps are given
    … --products --bsdata BSDATA                         photographs of BSData, as large as they are

The scaling protocol of the paper (section 3.4): no method sees more than 256×256 pixels at once, but for rows
that say so: 'patchcore, whole', and 'patchcore, positions' with a bank for each quarter of the picture.
Products are rendered at 256, 512, 768 and 1024 pixels a side, turned by any angle and shifted by up to a
tenth, so that no place tells what it shows. At 256 they are seen whole; beyond, in tiles of 256, which
SADSeM takes side by side and the others with a stride of 128, the best of table 7 for PatchCore and
EfficientAD (PNI: 256). A picture scores what its highest tile scores.

All methods learn from the same good pictures; of the good ones that are left over some scale SADSeM's
components, the others give the thresholds, which no figure here depends on. SADSeM learns its components from
the first 10 training pictures with their rendered label maps as annotations; of BSData, from 10 that
`flawscope annotate init` drafts and nobody corrects. Nothing is chosen on test pictures.

Every row is measured in a process of its own, whose largest memory, in training too, is noted. Seconds a
picture are those of the evaluation, masks and figures included. Rows are written as they come; those that
OUT.json has are not measured again, and models are kept in WORK/models.
Curves against the side are drawn beside OUT.md, where three sides are measured.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from _sadsem_rows import CROP, NATIVE, SIDES, Job, measured, rows_of
from _sadsem_tables import curves, page
from accuracy import about

from flawscope.errors import FlawscopeError
from flawscope.files import write_text

PRODUCTS = ("impeller", "vent_cover", "pin_tray")
BSDATA = "bsdata"


def missing(given: argparse.Namespace, rows: list[dict[str, Any]]) -> Iterator[Job]:
    """What is asked for and not there; the ablation and others at every side that is asked for."""
    there = {(row["name"], row["product"], row["seed"], row["side"]) for row in rows}
    wanted = [(product, side, None) for product in given.products for side in given.sides]
    wanted += [(BSDATA, NATIVE, given.bsdata)] if given.bsdata else []
    for seed in given.seeds:
        for product, side, folder in wanted:
            for name in given.rows:
                native = side == NATIVE and given.specs[name].get("whole")  # no frame is as large as all are
                if (name, product, seed, side) not in there and not native:
                    yield Job(given.work, name, product, seed, side, folder)


def opened(path: Path, specs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the file has, with what is asked for; refuses another meaning of a name."""
    known = {"runs": [], "specs": {}, "rows": []}
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else known
    for name, spec in specs.items():
        if result["specs"].setdefault(name, spec) != spec:
            raise SystemExit(f"{path}: {name} is something else there; write to another file.")
    return result


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="pictures and models are kept here")
    parser.add_argument("--products", nargs="*", default=list(PRODUCTS), choices=PRODUCTS)
    parser.add_argument("--bsdata", type=Path, help="folder of BSData, measured at its native size, too")
    parser.add_argument("--sides", nargs="+", type=int, default=list(SIDES), choices=SIDES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--rows", nargs="+", default=["sadsem", "patchcore"], help="what is measured")
    parser.add_argument("--efficientad", type=int, metavar="STEPS", help="measure EfficientAD, too")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--markdown", type=Path, help="tables of all rows of OUT.json")
    given = parser.parse_args(arguments)
    given.specs = rows_of(given.efficientad)
    if given.efficientad:
        given.rows.append(f"efficientad, {given.efficientad} steps")
    for name in given.rows:
        if name not in given.specs:
            parser.error(f"unknown row {name!r}: one of {', '.join(given.specs)}")
    return given


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 1 where a row failed."""
    given = parse(arguments)
    wanted = {name: given.specs[name] for name in given.rows}
    result, run, failed = opened(given.json, wanted), about(), 0
    named = {"OUT.json": given.json, "OUT.md": given.markdown, "WORK": given.work, "BSDATA": given.bsdata}
    for name, path in named.items():
        run["command"] = run["command"].replace(str(path), name) if path else run["command"]
    spawned = multiprocessing.get_context("spawn")
    for job in list(missing(given, result["rows"])):
        try:
            with ProcessPoolExecutor(1, mp_context=spawned) as alone:
                figures = alone.submit(measured, job, wanted[job.name]).result()
        except FlawscopeError as error:
            print(f"{job}: {error}", file=sys.stderr)
            failed = 1
            continue
        result["runs"] += [run] if run not in result["runs"] else []
        result["rows"].append({**job.key, **figures})
        write_text(given.json, json.dumps(result, indent=1) + "\n")
        print(json.dumps({**job.key, **figures}), flush=True)
    text = page(result, crop=CROP)
    if given.markdown:
        write_text(given.markdown, text)
        for name, drawing in curves(result).items():
            write_text(given.markdown.with_name(f"{given.markdown.stem}_{name}.svg"), drawing)
    print(text)
    return failed


if __name__ == "__main__":
    sys.exit(main())
