"""What an int8 backbone gives: time and parity of a model whose convolutions are quantised; prints JSON.

python benchmarks/quantised_backbone.py models/screw --ranges screw/train/good --pictures screw/test/good

The convolutions and the clipping behind them are quantised statically (QDQ, a scale for each output channel,
ranges from good pictures that the model has learnt from); the search and all after it stay in float32. The
answers are held against the same graph in float32, as the gate of half precision does.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from _machine import command, machine, versions
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from flawscope.runtime.bundle import load
from flawscope.runtime.engines import Pair, installed
from flawscope.runtime.images import load as load_picture
from flawscope.runtime.listing import list_images
from flawscope.runtime.machine import units
from flawscope.runtime.parity import BOUNDS, Compared
from flawscope.runtime.pipeline import Graphs, Pipeline
from flawscope.runtime.timing import measured_speeds

QUANTISED = ("Conv", "Clip", "Relu")


def main() -> None:
    """Quantise, compare, time."""
    options = _options()
    opened = load(options.model)
    frame = opened.manifest.frame
    ranges, pictures = (
        [load_picture(path, frame) for path in list_images(folder)[: options.count]]
        for folder in (options.ranges, options.pictures)
    )
    graphs = Graphs.of(opened)
    plain = Pipeline.in_engine(graphs)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        quantised = {
            name: _quantised(graphs, Path(folder) / name, ranges, first=name == "int8")
            for name in ("int8", "int8, first convolution in float32")
        }
        seconds = (time.perf_counter() - started) / len(quantised)
        variants: list[tuple[str, Graphs, Pair]] = [(pair[1], graphs, pair) for pair in installed()]
        for name, made in quantised.items():
            variants += [(name, made, pair) for pair in installed() if pair[1] == "fp32"]
        pipelines = [Pipeline.in_engine(made, *pair) for _, made, pair in variants]
        times = measured_speeds(pipelines, pictures[:8]).rows
        for (name, _, pair), pipeline, speed in zip(variants, pipelines, times, strict=True):
            rows.append({"engine": pair[0], "precision": name, "ms": round(speed.milliseconds, 1)})
            rows[-1] |= _compared(plain, pipeline, pictures)
    print(
        json.dumps(
            {
                "machine": machine(),
                "versions": versions("onnxruntime", "openvino", "onnx"),
                "units": units(),
                "note": options.note,
                "command": command(),
                "method": opened.manifest.method,
                "frame": [frame.height, frame.width],
                "pictures": {"ranges": len(ranges), "compared": len(pictures)},
                "seconds_to_quantise": round(seconds, 1),
                "bound_of_half_precision": BOUNDS["bf16"],
                "results": rows,
            },
            indent=1,
        )
    )


def _compared(plain: Pipeline, pipeline: Pipeline, pictures: Sequence[NDArray[np.float32]]) -> dict[str, Any]:
    """Largest differences from onnxruntime in float32, as shares of the spread."""
    one = Compared(pipeline, "onnxruntime fp32")
    for pixels in pictures:
        (reference,) = plain.score([pixels])
        one.add(pixels, reference)
    figures = one.figures()
    names = ("score_relative", "heatmap_relative", "rank_change")
    return {name: float(f"{getattr(figures, name):.3g}") for name in names}


def _quantised(graphs: Graphs, folder: Path, ranges: Sequence[NDArray[np.float32]], *, first: bool) -> Graphs:
    """The model's one graph with its convolutions in int8; `first` quantises that of the pixels, too."""
    (stage,) = graphs.stages
    folder.mkdir()
    source = graphs.folder / stage.file
    nodes = [node.name for node in onnx.load(source).graph.node if node.op_type in QUANTISED]
    quantize_static(
        str(source),
        str(folder / stage.file),
        _Ranges(iter(ranges)),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(QUANTISED),
        nodes_to_quantize=nodes[0 if first else 1 :],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return replace(graphs, folder=folder)


class _Ranges(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pictures: Iterator[NDArray[np.float32]]) -> None:
        self._pictures = pictures

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        pixels = next(self._pictures, None)
        return None if pixels is None else {"pixels": pixels[None]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--ranges", type=Path, required=True, help="folder of good pictures, learnt from")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures to compare on")
    parser.add_argument("--count", type=int, default=32, help="pictures of either, at most")
    parser.add_argument("--note", default="", help="what else the machine was doing")
    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime advises on preparing graphs
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
