"""README's table beside anomalib: its benchmarks one after the other, in one run on one machine.

    python -m venv anomalib-env && anomalib-env/bin/pip install 'anomalib[openvino]==2.7.0'
    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/beside_anomalib.py PRODUCT --anomalib anomalib-env \\
        --installed RUNTIME-ENV ANOMALIB-ENV --out benchmarks/results

PRODUCT is MVTec AD's screw. What runs are `patchcore_vs_anomalib.py` with coresets of 1 % and 10 %,
`efficientad_speed.py` and `aupro.py`; each writes its own results into OUT, and OUT/beside_anomalib.md puts
the table together. `--installed` names two environments without pip, in which `pip install .` and `pip
install anomalib==2.7.0` were run: their folders are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _machine import command, machine

HERE = Path(__file__).parent


def run(script: str, *given: object) -> None:
    """One benchmark, to its end."""
    print(f"{time.strftime('%H:%M:%S')} {script}", file=sys.stderr, flush=True)
    file = os.path.relpath(HERE / script)  # results name the command, and no folder of this machine
    subprocess.run([sys.executable, file, *map(str, given)], check=True, stdout=sys.stderr)


def megabytes(folder: Path) -> float:
    """What the files of a folder hold, in MB of 10^6 bytes; links are not followed, hard links count once."""
    seen = {
        (found.st_dev, found.st_ino): found.st_blocks * 512 for found in map(Path.lstat, folder.rglob("*"))
    }
    return sum(seen.values()) / 1e6


def patchcore_lines(share: str, result: dict[str, Any]) -> list[str]:
    """Rows of one coreset: the fit, and for 1 % memory, accuracy and latency."""
    ours, theirs = (
        next(row for row in result["rows"] if row["tool"] == tool) for tool in ("flawscope", "anomalib")
    )
    note = f" (extrapolated from {theirs['centres_timed']} centres)" if theirs["extrapolated"] else ""
    lines = [
        f"| PatchCore fit, coreset {share} | {ours['fit_s']:.1f} s | {theirs['fit_s']:.0f} s{note} "
        f"| {theirs['fit_s'] / ours['fit_s']:.0f}× faster |"
    ]
    if theirs["extrapolated"]:
        return lines
    memory = " | ".join(f"{row['peak_mb'] / 1024:.1f} GiB" for row in (ours, theirs))
    accuracy = " | ".join(f"{row['image_auroc']:.3f} / {row['pixel_auroc']:.3f}" for row in (ours, theirs))
    lines += [f"| peak memory of that fit | {memory} | |", f"| image / pixel AUROC, {share} | {accuracy} | |"]
    return lines + [
        f"| one picture, file to heatmap, same backbone, {row['engine']} | {row['one_ms']:.1f} ms "
        f"| {theirs['one_ms']:.1f} ms | {theirs['one_ms'] / row['one_ms']:.1f}× faster |"
        for row in result["rows"]
        if row["tool"] == "flawscope"
    ]


def efficientad_lines(result: dict[str, Any]) -> list[str]:
    """Rows of inspection without padding and of training steps."""
    rows = [row for row in result["rows"] if not row["padding"]]
    lines = []
    for row in (row for row in rows if row["tool"] == "flawscope"):
        peers = [peer for peer in rows if peer["tool"] == "anomalib" and peer["what"] == row["what"]]
        best = min(peers, key=lambda peer: peer["ms"])
        lines.append(
            f"| EfficientAD-S, {row['what']}, {row['how']} | {row['ms']:.0f} ms | {best['ms']:.0f} ms "
            f"({best['how']}) | {best['ms'] / row['ms']:.2f}× |"
        )
    return lines


def table(folder: Path, installed: list[Path]) -> str:
    """README's rows from the results in `folder`."""

    def read(name: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        return result

    lines = ["| | flawscope | anomalib 2.7.0 | |", "| --- | --- | --- | --- |"]
    lines += patchcore_lines("1 %", read("patchcore_vs_anomalib_1_percent"))
    lines += patchcore_lines("10 %", read("patchcore_vs_anomalib_10_percent"))
    lines += efficientad_lines(read("efficientad_speed"))
    aupro = read("aupro")
    ours, theirs = aupro["flawscope"]["median_s"], aupro["anomalib"]["median_s"]
    lines.append(
        f"| AU-PRO, 100 maps of 512×512 | {ours:.2f} s | {theirs:.1f} s | {theirs / ours:.0f}× faster |"
    )
    if installed:
        ours, theirs = map(megabytes, installed)
        lines.append(f"| installed | {ours:.0f} MB | {theirs:.0f} MB | {theirs / ours:.0f}× smaller |")
    return "\n".join(lines)


def main() -> None:
    """Run all, then write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("product", type=Path)
    parser.add_argument("--anomalib", type=Path, required=True, help="environment with anomalib")
    parser.add_argument("--installed", type=Path, nargs=2, default=[], metavar="ENV", help="ours, anomalib's")
    parser.add_argument("--out", type=Path, required=True, help="folder of results")
    given = parser.parse_args()
    about, began = machine(), time.strftime("%Y-%m-%d %H:%M")
    peer, out = given.anomalib / "bin" / "python", given.out
    for share, centres in ((1, 3300), (10, 300)):
        to = out / f"patchcore_vs_anomalib_{share}_percent.json"
        common = ("--anomalib-python", peer, "--anomalib-centres", centres, "--out", to)
        run("patchcore_vs_anomalib.py", given.product, "--ratios", share / 100, *common)
    speed, overlap = out / "efficientad_speed.json", out / "aupro.json"
    run("efficientad_speed.py", "--anomalib-python", peer, "--repeats", 12, "--steps", 6, "--out", speed)
    run("aupro.py", "--anomalib-python", peer, "--anomalib-runs", 2, "--out", overlap)
    words = ", ".join(f"{key} {value}" for key, value in about.items())
    text = f"{table(out, given.installed)}\n\n`{command()}`\n\n{words}; {began} to {time.strftime('%H:%M')}\n"
    (out / "beside_anomalib.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
