"""Memory that calibration takes beyond the model, on large pictures and a model with many outputs.

The graph answers as SegAD does: a score, a heatmap and a label map at the size of the pictures, and a vector
of features. It is opened, and then scores the pictures as training does after fit. Reported is by how much
the process grows above what it takes with the model opened, at its peak.

    python benchmarks/calibration_memory.py --json benchmarks/results/calibration_memory.json
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shlex
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
from PIL import Image

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.files import write_text
from flawscope.runtime.bundle import GRAPH
from flawscope.runtime.engines import installed
from flawscope.runtime.images import Frame
from flawscope.runtime.machine import processor
from flawscope.runtime.manifest import OutputSpec, StageSpec
from flawscope.runtime.pipeline import Graphs, Pipeline
from flawscope.training.fold_scores import score_apart

FILES = 16  # different pictures; calibration reads them over and over
GRAPH_TEXT = """
<ir_version: 9, opset_import: ["": 18]>
segments_and_maps (float[n, 3, S, S] pixels)
    => (float[n] score, float[n, S, S] heatmap, uint8[n, S, S] segments, float[n, 3] features)
<int64[1] channel = {1}, int64[2] sides = {1, 2}, int64[2] area = {2, 3}, float four = {4}>
{
    heatmap = ReduceMean<keepdims = 0>(pixels, channel)
    score = ReduceMax<keepdims = 0>(heatmap, sides)
    features = ReduceMean<keepdims = 0>(pixels, area)
    levels = Mul(heatmap, four)
    segments = Cast<to = 2>(levels)
}
"""
OUTPUTS = {"score": "score", "heatmap": "heatmap", "segments": "label_map", "features": "vector"}


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        graphs = write_graph(Path(folder), options.side)
        files = write_pictures(Path(folder), options.side)
        samples = [Sample(files[index % FILES], "train", defective=False) for index in range(options.count)]
        pictures = PictureFiles(samples, Frame(options.side, options.side))
        pipeline = Pipeline.in_engine(graphs, options.engine)
        before, started = resident(), time.perf_counter()
        if options.keep_all:
            kept = list(pipeline.score(pictures))
            found = len(kept)
        else:
            found = len(score_apart(pipeline, pictures).scores[0])
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result: dict[str, Any] = {
        "engine": options.engine,
        "pictures": found,
        "side": options.side,
        "keeps": "every output of every picture" if options.keep_all else "scores and map levels",
        "with_the_model_open_mib": round(before / 2**20),
        "growth_at_peak_mib": round((peak - before) / 2**20),
        "seconds": round(seconds, 1),
        "machine": processor(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("onnxruntime", "openvino", "numpy")},
        "command": shlex.join(["python", *sys.argv]),
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if options.json:
        write_text(options.json, text)


def write_graph(folder: Path, side: int) -> Graphs:
    """The graph at `side` × `side` pixels, and what it promises."""
    model = onnx.parser.parse_model(GRAPH_TEXT.replace("S", str(side)))
    onnx.save(model, str(folder / GRAPH))
    stage = StageSpec(file=GRAPH, inputs=("pixels",), outputs=tuple(OUTPUTS))
    outputs: Any = tuple(OutputSpec.model_validate({"name": n, "kind": k}) for n, k in OUTPUTS.items())
    return Graphs(folder, (stage,), outputs, {})


def write_pictures(folder: Path, side: int) -> list[Path]:
    """Different pictures of smooth noise."""
    random, files = np.random.default_rng(0), []
    for index in range(FILES):
        coarse = Image.fromarray(random.integers(0, 256, (side // 16, side // 16, 3), np.uint8))
        files.append(folder / f"{index}.png")
        coarse.resize((side, side), Image.Resampling.BILINEAR).save(files[-1], compress_level=1)
    return files


def resident() -> int:
    """Bytes of memory that the process takes now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=299, help="pictures")
    parser.add_argument("--side", type=int, default=1024, help="of each picture, in pixels")
    engines = sorted({name for name, _ in installed()})
    parser.add_argument("--engine", choices=engines, default="onnxruntime")
    parser.add_argument("--keep-all", action="store_true", help="keep every output, for comparison")
    parser.add_argument("--json", type=Path, help="file to write the figures to as well")
    return parser.parse_args()


if __name__ == "__main__":
    main()
