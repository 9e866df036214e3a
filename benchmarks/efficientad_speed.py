"""EfficientAD-S beside anomalib's: milliseconds a picture and a training step, one machine, one run.

    python -m venv ANOMALIB && ANOMALIB/bin/pip install 'anomalib[openvino]==2.7.0'
    python benchmarks/efficientad_speed.py --anomalib-python ANOMALIB/bin/python \\
        --out benchmarks/results/efficientad_speed.json

Both sides have random weights, which cost what trained ones do, and run at 256 x 256 on one picture in
memory, each in a process of its own, one after the other. Inspection ends with heatmap and score. A training
step takes one picture through all losses, backwards and through Adam; data loading is left out on both sides.
anomalib's networks have no padding; ours are measured with and without. The floor is the time of the 35.5 G
multiply-adds of teacher and student (without padding) at the float32 rate of a large convolution here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _efficientad_workers import Row, anomalib_side, flawscope_side
from _machine import machine

GMAC = 35.5


def peak_gmacs() -> float:
    """Float32 multiply-adds a second (in 1e9) of one large convolution, the best of eight."""
    import torch

    convolution = torch.nn.Conv2d(256, 256, 3, padding=1).to(memory_format=torch.channels_last)
    pixels = torch.rand(1, 256, 128, 128).contiguous(memory_format=torch.channels_last)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(8):
            start = time.perf_counter()
            convolution(pixels)
            best = min(best, time.perf_counter() - start)
    return 256 * 256 * 9 * 128**2 / best / 1e9


def table(rows: list[Row], peak: float) -> str:
    """Markdown table with the share of the floor, and anomalib's fastest way against each of ours."""
    lines = [
        f"Floor of inspection without padding at {peak:.0f} G multiply-adds a second (fp32): "
        f"{GMAC / peak * 1e3:.0f} ms.",
        "",
        "| what | tool | how | padding | ms | anomalib's best / this | share of the fp32 floor |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (row["what"], row["tool"], row["padding"])):
        peers = [peer["ms"] for peer in rows if peer["tool"] == "anomalib" and peer["what"] == row["what"]]
        factor = f"{min(peers) / row['ms']:.2f}×" if peers and row["tool"] == "flawscope" else ""
        inspecting = row["what"] == "inspect" and not row["padding"]
        floor = f"{GMAC / peak * 1e3 / row['ms']:.0%}" if inspecting else ""
        padding = "yes" if row["padding"] else "no"
        lines.append(
            f"| {row['what']} | {row['tool']} | {row['how']} | {padding} | {row['ms']} | {factor} | {floor} |"
        )
    return "\n".join(lines)


def work(python: str, tool: str, repeats: int, steps: int) -> list[Row]:
    """Run one side in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        command = [python, __file__, "--worker", tool, "--out", str(out)]
        command += ["--repeats", str(repeats), "--steps", str(steps)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        rows: list[Row] = json.loads(out.read_text())
    return rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anomalib-python", help="interpreter with anomalib; without: ours alone")
    parser.add_argument("--repeats", type=int, default=20, help="pictures")
    parser.add_argument("--steps", type=int, default=8, help="training steps")
    parser.add_argument("--out", type=Path, help="JSON file; the table goes beside it as .md")
    parser.add_argument("--worker", choices=["flawscope", "anomalib"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        side = flawscope_side if given.worker == "flawscope" else anomalib_side
        given.out.write_text(json.dumps(side(given.repeats, given.steps)))
        return
    about = machine()
    rows = work(sys.executable, "flawscope", given.repeats, given.steps)
    if given.anomalib_python:
        rows += work(given.anomalib_python, "anomalib", given.repeats, given.steps)
    peak = peak_gmacs()
    text = table(rows, peak)
    print(text)
    if given.out:
        command = " ".join(["python", "benchmarks/efficientad_speed.py", *sys.argv[1:]])
        result = {"command": command, "machine": about, "peak_gmac_per_s": round(peak, 1), "rows": rows}
        given.out.write_text(json.dumps(result, indent=1) + "\n")
        machine_text = ", ".join(f"{key} {value}" for key, value in about.items())
        given.out.with_suffix(".md").write_text(f"{text}\n\n`{command}`\n\n{machine_text}\n")


if __name__ == "__main__":
    main()
