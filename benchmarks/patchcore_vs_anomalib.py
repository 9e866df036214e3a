"""PatchCore beside anomalib's: fit, memory, accuracy and latency on one product, one machine, one run.

    python -m venv ANOMALIB && ANOMALIB/bin/pip install anomalib==2.7.0
    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/patchcore_vs_anomalib.py PRODUCT \\
        --anomalib-python ANOMALIB/bin/python --out benchmarks/results/patchcore_vs_anomalib.json

PRODUCT is a folder in the MVTec AD layout; WEIGHTS holds resnet18_*.safetensors (torchvision's keys), which
both sides load. Both take the same pictures at 256 x 256 and ResNet-18's layers 2 and 3, each in a process of
its own, one after the other. Peak memory is the process's largest resident set up to the end of the fit,
imports included. Latency goes from a picture file to its heatmap, the median over `--repeats` different
pictures or batches of 8.

anomalib's greedy selection takes the same time for each centre. With `--anomalib-centres K`, coresets larger
than K are timed on their first K centres only and filled up at random, so that latency keeps its bank size;
their fit time is the measured rate times the number of centres, it is called extrapolated, and no AUROC is
given for them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from _machine import command, machine
from _patchcore_workers import Row, fit_anomalib, fit_flawscope


def table(rows: Sequence[Row]) -> str:
    """Markdown table; factors stand against anomalib's row of the same coreset."""
    lines = [
        "| tool | engine | coreset | centres | fit s | peak MiB | image AUROC | pixel AUROC "
        "| one picture ms | batch of 8 ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        peers = [peer for peer in rows if peer["tool"] == "anomalib" and peer["coreset"] == row["coreset"]]
        peer = peers[0] if peers and row["tool"] != "anomalib" else None
        cells = [row["tool"], row["engine"], f"{row['coreset']:.0%}", str(row["centres"])]
        mark = f" (extrapolated from {row['centres_timed']} centres)" if row["extrapolated"] else ""
        cells.append(against(row, peer, "fit_s") + mark)
        cells.append(f"{row['peak_mb']:.0f}")
        cells += ["–" if row[key] is None else f"{row[key]:.4f}" for key in ("image_auroc", "pixel_auroc")]
        cells += [against(row, peer, key) for key in ("one_ms", "batch_of_8_ms")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def against(row: Row, peer: Row | None, key: str) -> str:
    """The figure, and how many times less it is than the peer's."""
    return f"{row[key]:.1f}" + (f" ({peer[key] / row[key]:.1f}×)" if peer else "")


def work(python: str, tool: str, ratio: float) -> list[Row]:
    """Run one fit in a process of its own and read its rows."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        command = [
            python,
            __file__,
            *sys.argv[1:],
            "--worker",
            tool,
            "--ratios",
            str(ratio),
            "--out",
            str(out),
        ]
        subprocess.run(command, check=True, stdout=sys.stderr)
        rows: list[Row] = json.loads(out.read_text())
    print(table(rows), file=sys.stderr)
    return rows


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("product", type=Path)
    parser.add_argument("--weights", type=Path, help="default: resnet18_*.safetensors in FLAWSCOPE_WEIGHTS")
    parser.add_argument(
        "--anomalib-python", help="interpreter of an environment with anomalib; without: ours alone"
    )
    parser.add_argument(
        "--anomalib-centres", type=int, metavar="K", help="time at most K centres of anomalib"
    )
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.01, 0.1])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"], help="of our features")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, help="JSON file; the table goes beside it as .md")
    parser.add_argument("--worker", choices=["flawscope", "anomalib"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.product = options.product.resolve()
    if options.weights is None:
        folders = [Path(name) for name in os.environ.get("FLAWSCOPE_WEIGHTS", "").split(os.pathsep) if name]
        options.weights = next(
            (file for folder in folders for file in folder.glob("resnet18_*.safetensors")), None
        )
        if options.weights is None:
            parser.error("no resnet18_*.safetensors in FLAWSCOPE_WEIGHTS; pass --weights")
    return options


def main() -> None:
    """Measure both sides and write JSON and Markdown."""
    options = arguments()
    if options.worker:
        fit = fit_flawscope if options.worker == "flawscope" else fit_anomalib
        options.out.write_text(json.dumps(fit(options, options.ratios[0])))
        return
    result: Row = {
        "product": options.product.name,
        "command": command(),
        "machine": machine(),
        "rows": [],
    }
    for ratio in options.ratios:
        result["rows"] += work(sys.executable, "flawscope", ratio)
        if options.anomalib_python:
            result["rows"] += work(options.anomalib_python, "anomalib", ratio)
    text = table(result["rows"])
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")
        about = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
        options.out.with_suffix(".md").write_text(f"{text}\n\n`{result['command']}`\n\n{about}\n")


if __name__ == "__main__":
    main()
