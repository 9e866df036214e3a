"""Where one picture's milliseconds go, from file to findings: a JPEG of 384×384 and one of 4 megapixels.

python benchmarks/budget.py models/bracket --picture bracket/test/good/000.png --threads 2

The picture is brought to 384×384 and 2048×2048 with faint noise, which enlarging would take from it, and
written as JPEG. The stretches inside the graph come from ONNX Runtime's profile, whichever engine the rest
was measured with: a node belongs to the part of the detector whose tensors it reads, else to that of its
inputs, and to `joined` where several meet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _machine import command, machine, versions
from PIL import Image

from flawscope.runtime.engines import usable_cores
from flawscope.runtime.images import decode, to_frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.overlay import find_regions

RESULTS = Path(__file__).parent / "results"
SIZES = {"384×384": 384, "2048×2048": 2048}
PARTS = ("decode", "resize", "engine", "upsample", "regions", "whole")
PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless", "pillow")
_OWNED = "detector."
_DEEPEST = 3  # names of a tensor's place that tell the part of the detector: banks.0.memory


def main() -> None:
    """Measure what the command line names."""
    options = _options()
    threads = options.threads or usable_cores()
    found = {
        "command": command(),
        "machine": machine() | {"threads": threads},
        "versions": versions(*PACKAGES),
        "repeats": options.repeats,
        "models": [_of_model(model, options, threads) for model in options.models],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (options.out / "budget.json").write_text(text, encoding="utf-8")
    table = _markdown(found)
    (options.out / "budget.md").write_text(table, encoding="utf-8")
    print(table)


def _of_model(folder: Path, options: argparse.Namespace, threads: int) -> dict[str, Any]:
    inspector = Inspector.load(folder, engine=options.engine, threads=threads)
    manifest, frame = inspector.bundle.manifest, inspector.bundle.manifest.frame
    pictures = dict(_jpegs(options.picture))
    whole = {name: _budget(inspector, data, options.repeats) for name, data in pictures.items()}
    pixels = to_frame(decode(pictures["384×384"], frame), frame)[None]
    return {
        "model": folder.name,
        "method": manifest.method,
        "frame": [frame.height, frame.width],
        "reduced": frame.reduced,
        "engine": f"{inspector.pipeline.engine} {inspector.pipeline.precision}",
        "milliseconds": whole,
        "inside_onnxruntime_fp32": _inside(inspector, pixels, options.repeats, threads),
    }


def _jpegs(path: Path) -> Iterator[tuple[str, bytes]]:
    picture = Image.open(path).convert("RGB")
    for name, side in SIZES.items():
        pixels = np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS), np.float32)
        noise = np.random.default_rng(0).normal(0, 2, pixels.shape)
        noisy = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
        with tempfile.TemporaryFile() as stream:
            noisy.save(stream, "JPEG", quality=92)
            stream.seek(0)
            yield name, stream.read()


def _budget(inspector: Inspector, data: bytes, repeats: int) -> dict[str, dict[str, float]]:
    """Medians of wall and processor milliseconds of each part, all parts in turn in each round."""
    manifest = inspector.bundle.manifest
    frame, heatmap, levels = manifest.frame, manifest.output("heatmap"), manifest.heatmap
    times = defaultdict[str, list[tuple[float, float]]](list)
    for _ in range(repeats + 2):
        image = _timed(times["decode"], lambda: decode(data, frame))
        pixels = _timed(times["resize"], lambda image=image: to_frame(image, frame)[None])
        outputs = _timed(times["engine"], lambda pixels=pixels: inspector.pipeline.run(pixels))
        if heatmap is not None and levels is not None:
            placement, values = frame.placement(*image.size), outputs[heatmap][0]
            own = _timed(times["upsample"], lambda values=values, p=placement: p.back(values))
            _timed(times["regions"], lambda own=own: find_regions(own, levels.threshold))
        _timed(times["whole"], lambda: inspector.inspect(data))
    return {
        part: {
            "wall": round(statistics.median(wall for wall, _ in times[part][2:]), 2),
            "processor": round(statistics.median(processor for _, processor in times[part][2:]), 2),
        }
        for part in PARTS
        if times[part]
    }


def _timed(kept: list[tuple[float, float]], work: Callable[[], Any]) -> Any:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    kept.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)))
    return result


def _inside(inspector: Inspector, pixels: Any, repeats: int, threads: int) -> dict[str, float]:
    """Median milliseconds of each part of the detector, in the order of their work."""
    import onnxruntime

    manifest, rounds = inspector.bundle.manifest, list[dict[str, float]]()
    scalars = {name: np.array(value, np.float32) for name, value in manifest.scalar_values().items()}
    known: dict[str, Any] = {"pixels": pixels, **scalars}
    for stage in manifest.stages:
        file, feeds = inspector.bundle.folder / stage.file, {name: known[name] for name in stage.inputs}
        with tempfile.TemporaryDirectory() as folder:
            settings = onnxruntime.SessionOptions()
            settings.enable_profiling = True
            settings.profile_file_prefix = str(Path(folder) / "profile")
            settings.intra_op_num_threads = threads
            settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
            session = onnxruntime.InferenceSession(str(file), settings, ["CPUExecutionProvider"])
            for _ in range(repeats + 2):
                answers = session.run(list(stage.outputs), feeds)
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        known |= dict(zip(stage.outputs, answers, strict=True))
        rounds.append(_grouped(events, _owners(file), repeats))
    total = defaultdict[str, float](float)
    for one in rounds:
        for part, milliseconds in one.items():
            total[part] += milliseconds
    return {part: round(milliseconds, 2) for part, milliseconds in total.items()}


def _grouped(events: list[dict[str, Any]], owners: dict[str, str], repeats: int) -> dict[str, float]:
    """The median over the rounds of each node's time, summed by part.

    Nodes that ONNX Runtime adds, such as changes of layout, count with what ran before them.
    """
    times, place, part = defaultdict[str, list[float]](list), dict[str, str](), "scaling"
    for event in events:
        name = event["name"].removesuffix("_kernel_time")
        if event.get("cat") == "Node" and name != event["name"]:
            part = owners.get(name, owners.get(name.removesuffix("_nchwc"), part))
            place.setdefault(name, part)
            times[name].append(event["dur"] / 1e3)
    found = defaultdict[str, float](float)
    for name, values in times.items():
        found[place[name]] += statistics.median(values[-repeats:])
    return found


def _owners(file: Path) -> dict[str, str]:
    """The part of the detector that each node of a graph, and each value, belongs to."""
    import onnx

    graph = onnx.load(str(file), load_external_data=False).graph
    owners = {tensor.name: _part(tensor.name) for tensor in graph.initializer}
    fixed = set(owners)
    for node in graph.node:
        stored = {owners[name] for name in node.input if name in fixed} - {""}
        flowing = {owners.get(name, "scaling") for name in node.input if name and name not in fixed} - {""}
        several = "joined" if len(flowing - {"scaling"}) > 1 else ""
        owner = next(iter(stored), several or next(iter(flowing - {"scaling"}), "scaling" if flowing else ""))
        if not flowing:
            fixed.update(node.output)
        owners |= dict.fromkeys((node.name, *node.output), owner)
    return {name: owner for name, owner in owners.items() if owner}


def _part(name: str) -> str:
    """`bank.memory` of `detector.bank.memory.centre`; empty for tensors of no part."""
    if not name.startswith(_OWNED):
        return ""
    place = name.removeprefix(_OWNED).split(".")[:-1]
    return "backbone" if place[:1] == ["backbone"] else ".".join(place[:_DEEPEST])


def _markdown(found: dict[str, Any]) -> str:
    lines = ["# One picture's budget", ""]
    for model in found["models"]:
        budgets = model["milliseconds"]
        height, width = model["frame"]
        lines += [
            f"## {model['model']} ({model['method']}, {height}×{width}, {model['engine']})",
            "",
            "| milliseconds, wall (processor) | " + " | ".join(f"JPEG {name}" for name in budgets) + " |",
            "| --- |" + " --- |" * len(budgets),
        ]
        for part in PARTS:
            cells = [budget[part] for budget in budgets.values() if part in budget]
            if cells:
                told = (f"{cell['wall']:.2f} ({cell['processor']:.2f})" for cell in cells)
                lines.append(f"| {_TOLD[part]} | " + " | ".join(told) + " |")
        lines += ["", "Inside the graph, ONNX Runtime fp32:", "", "| part | ms |", "| --- | --- |"]
        lines += [f"| {part} | {value:.2f} |" for part, value in model["inside_onnxruntime_fp32"].items()]
        lines.append("")
    where = found["machine"]
    lines += [
        f"Medians of {found['repeats']}. {where['processor']}, {where['threads']} threads, load "
        f"{where['load_before']} before; {', '.join(f'{k} {v}' for k, v in found['versions'].items())}.",
        "",
        f"    {found['command']}",
    ]
    return "\n".join(lines) + "\n"


_TOLD = {
    "decode": "decode",
    "resize": "resize to the frame",
    "engine": "graph",
    "upsample": "heatmap to the picture's size",
    "regions": "regions",
    "whole": "file to findings, measured as a whole",
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="+", type=Path, help="model folders")
    parser.add_argument("--picture", type=Path, required=True, help="a picture of the product")
    parser.add_argument("--engine", default="auto", help="engine; by default the model's")
    parser.add_argument("--threads", type=int, help="processor threads; every core by default")
    parser.add_argument("--repeats", type=int, default=21, help="rounds, of which the median counts")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for budget.json and budget.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
