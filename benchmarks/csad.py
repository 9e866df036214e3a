"""CSAD on rendered products, beside PatchCore and joined banks, and beside CSAD with true label maps.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/csad.py --work WORK --json OUT.json --markdown OUT.md
    … --methods csad --labels true          CSAD that learns the rendered label maps
    … --methods csad --name 'no counts' --options '{"counts": null}'

For each product and seed 200 good pictures are for training, 60 for the scale of the branches and for the
threshold, and 80 good and about 200 flawed ones (pin_tray 20, connector_block 17, fastener_bag 12 of each
flaw) for testing; they are rendered into WORK/d{seed}/{product} where they are not there yet. Every method
learns from the same pictures, at the preset default; EfficientAD is measured only where its steps are given.
Nothing is chosen on test pictures.

True label maps (`--labels true`) are learnt as a person's would be: through the proposer `folder`, which
takes the rendered `parts`; the network that learns them divides the test pictures. The rest is as ever.

Components are compared with the rendered ones: each learnt class counts as the true class that it covers most
in the pictures that are compared. The clear film of the bag counts as background, and pins of both metals are
one class, which two learnt ones may share. Branches alone and in pairs, and cell sizes, are computed from one
training: of the raw scores, and of the label maps. Findings are judged on logical flaws that the exported
model rejects at 5 % false rejects on average, by the first two of them and of several cells by the first; the
rule stands in `_csad_findings.py`, and what was said in WORK/fits/…/findings.jsonl.

Rows are written as they come; those that OUT.json has are not measured again, and fits are kept in WORK/fits.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _csad_fits import rendered
from _csad_measure import measured
from _csad_tables import page
from _csad_truth import PER_FLAW
from accuracy import about

from flawscope.errors import FlawscopeError
from flawscope.files import write_text
from flawscope.nn.watch import Watch

PEERS = ("patchcore", "joined_banks")


def specs(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What is asked for, by the name that rows have: method, preset, options, label maps."""
    plain = {"preset": "default", "options": {}, "labels": "found"}
    found = {}
    for method in given.methods:
        if method == "csad":
            name = given.name or ("csad, true labels" if given.labels == "true" else "csad")
            found[name] = {**plain, "method": "csad", "options": given.options, "labels": given.labels}
        else:
            found[method] = {**plain, "method": method}
    if given.efficientad:
        name = f"efficientad, {given.efficientad} steps"
        found[name] = {**plain, "method": "efficientad", "options": {"steps": given.efficientad}}
    return found


def missing(
    wanted: dict[str, dict[str, Any]], given: argparse.Namespace, rows: list[dict[str, Any]]
) -> Iterator[tuple[str, str, int]]:
    """Name, product and seed of rows that are asked for and not there."""
    there = {(row["name"], row["product"], row["seed"]) for row in rows}
    for seed in given.seeds:
        for product in given.products:
            for name in wanted:
                if (name, product, seed) not in there:
                    yield name, product, seed


def opened(path: Path, wanted: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the file has, with what is asked for; refuses another meaning of a name."""
    known = {"runs": [], "specs": {}, "rows": []}
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else known
    for name, spec in wanted.items():
        if result["specs"].setdefault(name, spec) != spec:
            raise SystemExit(f"{path}: {name} is something else there; give another --name.")
    return result


def listed(text: str) -> list[str]:
    """Items between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="pictures and fits are kept here")
    parser.add_argument("--products", type=listed, default=list(PER_FLAW))
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in listed(text)], default=[0, 1, 2])
    parser.add_argument("--size", type=int, default=256, help="pixels a side of the rendered pictures")
    parser.add_argument("--methods", type=listed, default=["csad", *PEERS])
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object over CSAD's preset")
    parser.add_argument("--labels", choices=["found", "true"], default="found")
    parser.add_argument("--name", help="what rows call this CSAD")
    parser.add_argument("--efficientad", type=int, metavar="STEPS", help="measure EfficientAD, too")
    parser.add_argument("--no-findings", dest="export", action="store_false", help="export no model")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--markdown", type=Path, help="tables of all rows of OUT.json")
    given = parser.parse_args(arguments)
    known = {"product": (given.products, list(PER_FLAW)), "method": (given.methods, ["csad", *PEERS])}
    for what, (names, choices) in known.items():
        for name in names:
            if name not in choices:
                parser.error(f"unknown {what} {name!r}: one of {', '.join(choices)}")
    return given


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 1 where a row failed."""
    given = parse(arguments)
    wanted = specs(given)
    result, run, failed = opened(given.json, wanted), about(), 0
    for path, name in ((given.json, "OUT.json"), (given.markdown, "OUT.md"), (given.work, "WORK")):
        run["command"] = run["command"].replace(str(path), name)
    for name, product, seed in list(missing(wanted, given, result["rows"])):
        place = rendered(given.work, product, seed, size=given.size)
        try:
            figures = measured(place, name, wanted[name], Watch(say=print), export=given.export)
        except FlawscopeError as error:
            print(f"{name}, {product}, seed {seed}: {error}", file=sys.stderr)
            failed = 1
            continue
        result["runs"] += [run] if run not in result["runs"] else []
        result["rows"].append({"name": name, "product": product, "seed": seed, "size": given.size, **figures})
        write_text(given.json, json.dumps(result, indent=1) + "\n")
        told = {key: figures[key] for key in ("image_auroc", "spro", "fit_seconds", "fit_processor")}
        print(json.dumps({"name": name, "product": product, "seed": seed, **told}), flush=True)
    text = page(result)
    if given.markdown:
        write_text(given.markdown, text)
    print(text)
    return failed


if __name__ == "__main__":
    sys.exit(main())
