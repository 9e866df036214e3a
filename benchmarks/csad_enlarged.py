"""What CSAD's banks of patches find of pictures that are enlarged for them, on kept fits of `csad.py`.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/csad_enlarged.py --work WORK --json OUT.json --markdown OUT.md

Of each product and seed the fit of the preset that does not enlarge is taken, from WORK/fits or trained anew;
then the banks alone are learnt again, from pictures enlarged so many times, and the branches brought to one
scale anew. Label maps, components and all other branches stay. Pictures, and what is learnt from which, are
those of `csad.py`. Rows are written as they come; those that OUT.json has are not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from _csad_fits import Place, fitted, rendered
from _csad_scores import aurocs
from _csad_truth import PER_FLAW
from accuracy import about
from csad import listed

from flawscope.data.training import TrainingData
from flawscope.files import write_text
from flawscope.methods.csad.detector import CSAD
from flawscope.methods.csad.patches import Patches, PatchesOptions
from flawscope.methods.running import answers, with_tensors
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED

SPEC: Mapping[str, Any] = {
    "method": "csad",
    "preset": "default",
    "options": {"structure": {"kind": "patches", "enlarged": 1.0}},
    "labels": "found",
}
_ABOUT = """\
Image AUROC in percent of logical and of structural flaws, each beside the good test pictures, and of the
branch `structure` alone on structural ones. Rendered (synthetic) pictures of 256×256, frame 320×320; `times`
is how much that frame is enlarged for the banks. One fit a seed: label maps, components and the other
branches are the same in each row of it. Seconds: what learning the banks takes, of all cores together.
"""


def again(known: CSAD, times: float, data: TrainingData, run: Run) -> tuple[CSAD, float]:
    """The same CSAD with banks of pictures that are enlarged, and the seconds that learning them took."""
    structure = known.options.structure
    assert isinstance(structure, PatchesOptions)
    larger = structure.model_copy(update={"enlarged": times})
    fresh = CSAD(known.options.model_copy(update={"structure": larger}), known.learnt.facts)
    kept = {name: value for name, value in known.state_dict().items() if not name.startswith("structure.")}
    fresh = with_tensors(fresh, {**fresh.state_dict(), **kept})
    fresh.learnt = known.learnt
    assert isinstance(fresh.structure, Patches)
    started = time.process_time()
    fresh.structure.learn(data, fresh.backbone, run, UNWATCHED)
    seconds = time.process_time() - started
    fresh.eval()._scale(data.tuning, run, UNWATCHED)
    return fresh, seconds


def scored(detector: CSAD, place: Place) -> dict[str, Any]:
    """Image AUROC of all branches together, and of the structural one."""
    pictures = place.pictures("test", detector.options.frame)
    found = list(answers(detector, pictures, Run(place.seed), keep=("score", "branches")))
    branch = next(output.names for output in detector.outputs if output.name == "branches").index("structure")
    alone = aurocs(place.kinds, [float(one["branches"][branch]) for one in found])
    return {
        "image_auroc": aurocs(place.kinds, [float(one["score"]) for one in found]),
        "structure_alone": alone["structural"],
    }


def page(result: dict[str, Any]) -> str:
    """The table, means over the seeds at the end of each product."""
    rows = result["rows"]
    lines = ["# Pictures enlarged for CSAD's banks", "", _ABOUT]
    lines += [
        "| product | seed | times | logical | structural | structure alone | seconds |",
        "|---" * 7 + "|",
    ]
    for product in dict.fromkeys(row["product"] for row in rows):
        own = [row for row in rows if row["product"] == product]
        groups = [(str(row["seed"]), [row]) for row in own]
        groups += [("mean", [row for row in own if row["times"] == times]) for times in result["times"]]
        lines += [_line(product, *group) for group in groups]
    lines.append("")
    for run in result["runs"]:
        versions = ", ".join(f"{key} {value}" for key, value in run["versions"].items())
        lines.append(f"- `{run['command']}`\n  on {run['processor']}, {run['threads']} threads, {versions}")
    return "\n".join(lines) + "\n"


def _line(product: str, seed: str, rows: list[dict[str, Any]]) -> str:
    shown = [100 * fmean(row["image_auroc"][kind] for row in rows) for kind in ("logical", "structural")]
    shown.append(100 * fmean(row["structure_alone"] for row in rows))
    took = [row["seconds"] for row in rows if row["seconds"]]
    cells = [product, seed, f"{rows[0]['times']:g}", *(f"{value:.1f}" for value in shown)]
    return f"| {' | '.join([*cells, f'{fmean(took):.0f}' if took else '–'])} |"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="pictures and fits are kept here")
    parser.add_argument("--products", type=listed, default=list(PER_FLAW))
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in listed(text)], default=[1, 2, 3])
    parser.add_argument("--times", type=lambda text: [float(part) for part in listed(text)], default=[1, 1.6])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--markdown", type=Path, help="table of all rows of OUT.json")
    given = parser.parse_args()
    known = {"runs": [about()], "times": given.times, "rows": []}
    for path, name in ((given.json, "OUT.json"), (given.markdown, "OUT.md"), (given.work, "WORK")):
        known["runs"][0]["command"] = known["runs"][0]["command"].replace(str(path), name)
    result = json.loads(given.json.read_text(encoding="utf-8")) if given.json.exists() else known
    for seed in given.seeds:
        for product in given.products:
            there = {
                row["times"] for row in result["rows"] if (row["product"], row["seed"]) == (product, seed)
            }
            if there.issuperset(given.times):
                continue
            place = rendered(given.work, product, seed, size=256)
            plain, _ = fitted(place, "csad_not_enlarged", SPEC)
            assert isinstance(plain, CSAD)
            frame = plain.options.frame
            data = TrainingData(place.pictures("training", frame), place.pictures("tuning", frame))
            for times in given.times:
                if times in there:
                    continue
                detector, seconds = (plain, 0.0) if times == 1 else again(plain, times, data, Run(seed))
                row = {"product": product, "seed": seed, "times": times, "seconds": round(seconds, 1)}
                result["rows"].append({**row, **scored(detector, place)})
                write_text(given.json, json.dumps(result, indent=1) + "\n")
                print(json.dumps(result["rows"][-1]), flush=True)
    text = page(result)
    if given.markdown:
        write_text(given.markdown, text)
    print(text)


if __name__ == "__main__":
    main()
