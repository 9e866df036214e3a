"""Milliseconds a picture from file to heatmap, and pictures a second, beside the floor and anomalib.

    python -m venv PEER && PEER/bin/pip install 'anomalib[openvino]==2.7.0'
    python benchmarks/latency.py patchcore:default patchcore:fast models/bracket --product screw \\
        --peer-python PEER/bin/python --work WORK --out benchmarks/results/latency.json

A model is a folder, or METHOD:PRESET, which is trained on `--product` into WORK unless it lies there. Each
runs in every engine and precision of this machine, or in those that `--engines` names; the one that `inspect`
would take is marked, and so is where parity does not hold. The floor is the same backbone up to its feature
maps, decoding and resizing included, in the same engines. anomalib runs in the interpreter of
`--peer-python`: PatchCore at 256×256, layers 2 and 3, with the backbones and coresets of `--peers`, the banks
as large as `--peer-pictures` training pictures make them. Its weights and banks are random, which costs what
trained ones do; it runs in torch and in its OpenVINO export at the precision that OpenVINO chooses itself.

`--earlier SRC MODEL` is one more participant: a model that an earlier flawscope has made, inspected by its
code, which lies in SRC, in the engine that it takes by itself.

The pictures of the product's test set are saved as JPEG of `--side` pixels a side. Every participant is a
process of its own, which stays warm; they take turns, in an order that turns about, so that what else the
machine does meets all alike. A turn times pictures one by one; then a stream of pictures, all cores at work.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from _latency_workers import write_backbone
from _machine import command, machine

from flawscope.files import write_text
from flawscope.runtime.bundle import load
from flawscope.runtime.engines import installed, usable_cores
from flawscope.runtime.images import read_image
from flawscope.runtime.listing import list_images
from flawscope.runtime.pipeline import choose

Row = dict[str, Any]
PEERS = ("wide_resnet50_2:0.01", "wide_resnet50_2:0.1", "resnet18:0.01", "resnet18:0.1")
PEER_ENGINES = (("torch", "fp32"), ("openvino", "default"))


class Participant:
    """A worker process, warm, and the times that it took so far, in milliseconds a picture."""

    def __init__(self, python: str, spec: Row, row: Row) -> None:
        self.row, self.one, self.stream = row, list[float](), list[float]()
        script = str(Path(__file__).with_name("_latency_workers.py"))
        own = {**os.environ, "PYTHONPATH": spec["source"]} if "source" in spec else None
        self._process = subprocess.Popen(
            [python, script, json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=own,
        )
        try:
            row.update(self._answer())
        except EOFError:
            self.close()
            raise

    def turn(self, start: int, pictures: int, stream: int) -> None:
        """Measure once."""
        self.one += self._ask(f"one {start} {pictures}")
        self.stream.append(self._ask(f"stream {stream}"))

    def finished(self) -> Row:
        """The row, with medians, least and most."""
        rates = sorted(1e3 / taken for taken in self.stream)
        return self.row | {
            "one_ms": _spread(self.one),
            "pictures": len(self.one),
            "a_second": _spread(rates),
            "streams": len(rates),
        }

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, line: str) -> Any:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise EOFError("a worker ended; its own lines stand above")
        return json.loads(line)


def participants(given: argparse.Namespace, work: Path, files: list[str]) -> Iterator[tuple[str, Row, Row]]:
    """Interpreter, specification and first cells of the row of each."""
    common = {"threads": given.threads, "files": files}
    for name in given.models:
        model = _model(name, given)
        manifest = load(model).manifest
        chosen = choose(manifest)
        pairs = [pair for pair in installed() if not given.engines or ":".join(pair) in given.engines]
        kept = {(entry.engine, entry.precision) for entry in manifest.parity if entry.within}
        graph = work / f"{model.name}-backbone.onnx"
        floor = write_backbone(model, graph)
        for engine, precision in pairs:
            spec = {"model": str(model), "engine": engine, "precision": precision, **common}
            row = {"engine": engine, "precision": precision, "what": model.name}
            marks = {"chosen": (engine, precision) == chosen, "parity_holds": (engine, precision) in kept}
            yield sys.executable, {"tool": "flawscope", **spec}, {"tool": "flawscope", **row, **marks}
            if floor:
                spec = {"tool": "backbone", "graph": str(graph), **spec}
                yield sys.executable, spec, {"tool": "floor", **row}
    if given.earlier:
        source, model = (Path(path).resolve() for path in given.earlier)
        row = {"tool": "earlier", "engine": "its own", "precision": "choice", "what": model.name}
        yield sys.executable, {**row, "model": str(model), "source": str(source), **common}, row
    for name in given.peers if given.peer_python else ():
        backbone, _, share = name.partition(":")
        for engine, precision in PEER_ENGINES:
            row = {"tool": "anomalib", "what": name, "engine": engine, "precision": precision}
            spec = {"backbone": backbone, "coreset": float(share), "pictures": given.peer_pictures}
            yield given.peer_python, {**row, **spec, **common}, row


def _model(name: str, given: argparse.Namespace) -> Path:
    """The folder of a model, trained first where a method and preset name it."""
    if Path(name).is_dir():
        return Path(name).resolve()
    method, _, preset = name.partition(":")
    folder: Path = (given.work / f"{method}-{preset}").resolve()
    if not folder.is_dir():
        line = [sys.executable, "-m", "flawscope", "train", str(given.product), "--out", str(folder)]
        subprocess.run(
            [*line, "--method", method, "--set", f"preset={preset}", "--tiling", "none"],
            check=True,
            stdout=sys.stderr,
        )
    return folder


def pictures(product: Path, folder: Path, *, side: int, count: int) -> list[str]:
    """Test pictures saved as JPEG, quality 95, of `side` × `side` pixels."""
    import cv2

    found = list_images(product / "test", recursive=True)
    files = []
    for index, path in enumerate(found[:: max(1, len(found) // count)][:count]):
        image = cv2.resize(read_image(path), (side, side), interpolation=cv2.INTER_AREA)
        file = folder / f"{index:03d}.jpg"
        cv2.imwrite(str(file), image[..., ::-1] if image.ndim == 3 else image)
        files.append(str(file))
    return files


def units() -> str:
    """Of the processor, those that decide how fast products of matrices are."""
    known = {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"}
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return " ".join(sorted(known & set(flags)))


def _spread(values: list[float]) -> Row:
    return {
        "median": round(statistics.median(values), 2),
        "least": round(min(values), 2),
        "most": round(max(values), 2),
    }


def table(rows: list[Row]) -> str:
    """Markdown; the floor's share stands beside the model and engine whose floor it is."""
    floors = {
        (row["what"], row["engine"], row["precision"]): row["one_ms"]["median"]
        for row in rows
        if row["tool"] == "floor"
    }
    lines = [
        "| tool | what | engine | one picture ms (least to most) | floor's share | pictures a second |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        one, rate = row["one_ms"], row["a_second"]
        floor = floors.get((row["what"], row["engine"], row["precision"]))
        share = f"{floor / one['median']:.0%}" if floor and row["tool"] == "flawscope" else ""
        what = row["what"] + (f", {row['members']} × {row['dimensions']}" if "members" in row else "")
        engine = f"{row['engine']} {row.get('computes_in', row['precision'])}"
        engine += ", **chosen**" if row.get("chosen") else ""
        engine += ", parity not held" if row.get("parity_holds") is False else ""
        time = f"{one['median']} ({one['least']} to {one['most']})"
        lines.append(f"| {row['tool']} | {what} | {engine} | {time} | {share} | {rate['median']} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    given = _options()
    about = machine() | {"units": units(), "threads": given.threads}
    result: Row = {"command": command(), "machine": about}
    result |= {"side": given.side, "product": given.product.name, "peer_pictures": given.peer_pictures}
    with ExitStack() as keep:
        folder = Path(keep.enter_context(tempfile.TemporaryDirectory()))
        files = pictures(given.product, folder, side=given.side, count=given.count)
        present = []
        for python, spec, row in participants(given, folder, files):
            try:
                present.append(Participant(python, spec, row))
            except EOFError:
                print(f"left out: {row}", file=sys.stderr)
                continue
            keep.callback(present[-1].close)
        for number in range(given.turns):
            first = number % len(present)
            order = present[first:] + present[:first]
            for each in order if number % 2 == 0 else reversed(order):
                each.turn(number * given.pictures, given.pictures, given.stream)
        result["rows"] = [each.finished() for each in present]
    text = table(result["rows"])
    print(text)
    if given.out:
        found = {name: of for row in result["rows"] for name, of in row["versions"].items()}
        told = ", ".join(f"{key} {value}" for key, value in (about | found).items())
        note = "anomalib's weights and banks are random." if given.peer_python else ""
        write_text(given.out, json.dumps(result, indent=1) + "\n")
        write_text(given.out.with_suffix(".md"), f"{text}\n\n{note}\n\n`{result['command']}`\n\n{told}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="model folders, or METHOD:PRESET to train")
    parser.add_argument("--product", type=Path, required=True, help="folder in the layout of MVTec AD")
    parser.add_argument("--engines", nargs="*", help="as onnxruntime:fp32; default: all that run here")
    parser.add_argument(
        "--earlier", nargs=2, metavar=("SRC", "MODEL"), help="an earlier flawscope's source, a model of its"
    )
    parser.add_argument("--peer-python", help="interpreter with anomalib; without: ours alone")
    parser.add_argument("--peers", nargs="*", default=PEERS, help="BACKBONE:SHARE of anomalib's PatchCore")
    parser.add_argument("--peer-pictures", type=int, default=240, help="training pictures of their banks")
    parser.add_argument("--work", type=Path, default=Path("latency_models"), help="folder of trained models")
    parser.add_argument("--side", type=int, default=384, help="of the JPEG pictures, in pixels")
    parser.add_argument("--count", type=int, default=64, help="different pictures")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--pictures", type=int, default=10, help="one by one in a turn")
    parser.add_argument("--stream", type=int, default=32, help="pictures of a stream in a turn")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="default: every core")
    parser.add_argument("--out", type=Path, help="JSON file; the table goes beside it as .md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
