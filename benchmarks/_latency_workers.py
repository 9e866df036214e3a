"""What `latency.py` measures, each in a process of its own that stays warm and works when it is told to.

A worker reads lines `one I N` (N pictures from the I-th on, one by one) and `stream N` (N pictures as fast as
they go) and answers each with a line of JSON: milliseconds a picture, a list for `one`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from _machine import versions

BATCH = 8
Facts = dict[str, Any]
One = Callable[[Path], object]
Stream = Callable[[Sequence[Path]], object]


def flawscope_model(spec: Facts, keep: ExitStack) -> tuple[One, Stream, Facts]:
    """A model folder in one engine and precision."""
    from flawscope.runtime.bundle import load
    from flawscope.runtime.inspector import Inspector
    from flawscope.runtime.pipeline import Graphs, Pipeline

    bundle = load(Path(spec["model"]))
    pipeline = Pipeline.in_engine(
        Graphs.of(bundle), spec["engine"], spec["precision"], threads=spec["threads"]
    )
    inspector = keep.enter_context(Inspector(bundle, pipeline))
    facts = {
        "options": bundle.manifest.options,
        "graph_mb": round(sum(file.stat().st_size for file in bundle.folder.glob("*.onnx*")) / 2**20, 1),
        "versions": versions("flawscope", "numpy", "onnxruntime", "opencv-python-headless"),
    }
    return inspector.inspect, lambda paths: list(inspector.inspect_many(paths, batch=BATCH)), facts


def earlier_model(spec: Facts, keep: ExitStack) -> tuple[One, Stream, Facts]:
    """A model folder by the code of an earlier flawscope, in the engine that it takes by itself."""
    import flawscope
    from flawscope.runtime.inspector import Inspector

    if Path(spec["source"]) not in Path(flawscope.__file__).parents:
        raise SystemExit(f"no flawscope in {spec['source']}")
    inspector = keep.enter_context(Inspector.load(spec["model"], threads=spec["threads"]))
    facts = {"options": inspector.bundle.manifest.options, "versions": versions("numpy", "onnxruntime")}
    return inspector.inspect, lambda paths: list(inspector.inspect_many(paths, batch=BATCH)), facts


def flawscope_backbone(spec: Facts, keep: ExitStack) -> tuple[One, Stream, Facts]:
    """The floor: the graph that `write_backbone` wrote, decoding and resizing included."""
    from flawscope.runtime.bundle import load
    from flawscope.runtime.engines import open_engine
    from flawscope.runtime.images import load as load_picture

    frame = load(Path(spec["model"])).manifest.frame
    engine = open_engine(
        spec["engine"], Path(spec["graph"]), precision=spec["precision"], threads=spec["threads"]
    )
    pool = keep.enter_context(ThreadPoolExecutor(2))

    def one(path: Path) -> object:
        return engine.run({"pixels": load_picture(path, frame)[None]})

    return one, lambda paths: list(pool.map(one, paths)), {"versions": versions("numpy", "onnxruntime")}


def write_backbone(model: Path, path: Path) -> bool:
    """Write the backbones of a model, up to their feature maps, as a graph; False where it has none."""
    from flawscope.methods.registry import available, create
    from flawscope.runtime.bundle import load

    manifest = load(model).manifest
    if manifest.method not in available():
        return False
    import torch

    from flawscope.nn.backbones.build import Backbone

    detector = create(manifest.method, manifest.options).eval()
    backbones = torch.nn.ModuleList(each for each in detector.modules() if isinstance(each, Backbone))
    if not len(backbones):
        return False

    class Maps(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbones = backbones

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(maps for each in self.backbones for maps in each(pixels).values())

    pixels, maps = torch.zeros(1, 3, manifest.frame.height, manifest.frame.width), Maps().eval()
    with torch.no_grad():
        names = [f"map_{index}" for index in range(len(maps(pixels)))]
        program = torch.onnx.export(
            maps, (pixels,), dynamo=True, verbose=False, input_names=["pixels"], output_names=names
        )
    assert program is not None
    program.save(str(path))
    return True


def anomalib_model(spec: Facts, keep: ExitStack) -> tuple[One, Stream, Facts]:
    """anomalib's PatchCore at 256×256, layers 2 and 3, with random weights and a random bank of that size."""
    import torch
    from anomalib.data.utils.image import read_image
    from anomalib.models import Patchcore

    torch.set_num_threads(spec["threads"])
    torch.manual_seed(0)
    model = Patchcore(
        backbone=spec["backbone"], pre_trained=False, coreset_sampling_ratio=spec["coreset"], visualizer=False
    ).eval()
    with torch.inference_mode():
        model.model.train()
        patches = model.model(torch.rand(1, 3, 256, 256))  # (P, D) of one picture
    model.eval()
    members = round(spec["coreset"] * spec["pictures"] * len(patches))
    chosen = torch.randint(len(patches), (members,))
    spread = patches.std(0) * torch.randn(members, patches.shape[1])
    model.model.embedding_store.clear()
    model.model.memory_bank = (patches[chosen] + spread).clone()
    facts = {"members": members, "dimensions": patches.shape[1], "weights": "random"}
    facts["versions"] = versions("anomalib", "torch", "torchvision", "openvino")
    pool = keep.enter_context(ThreadPoolExecutor(spec["threads"]))
    if spec["engine"] == "torch":

        def answer(files: Sequence[Any]) -> Any:
            with torch.inference_mode():
                return model(torch.stack(list(files))).anomaly_map

        def stream(paths: Sequence[Path]) -> None:
            pictures = pool.map(lambda path: read_image(path, as_tensor=True), paths)
            for group in _groups(pictures, BATCH):
                answer(group)

        return lambda path: answer([read_image(path, as_tensor=True)]), stream, facts

    import cv2
    from anomalib.deploy import OpenVINOInferencer

    folder = keep.enter_context(tempfile.TemporaryDirectory())
    os.chdir(folder)  # anomalib leaves a cache in the working folder
    fixed = {"dynamic_axes": None, "dynamic_shapes": None, "opset_version": 18}  # one picture at a time
    graph = model.to_openvino(folder, input_size=(256, 256), onnx_kwargs=fixed)
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": spec["threads"]}
    if spec["precision"] != "default":
        config["INFERENCE_PRECISION_HINT"] = {"fp32": "f32", "bf16": "bf16"}[spec["precision"]]
    inferencer = OpenVINOInferencer(graph, device="CPU", config=config)
    facts["computes_in"] = inferencer.model.get_property("INFERENCE_PRECISION_HINT").get_type_name()

    def small(path: Path) -> Any:
        return cv2.resize(read_image(path), (256, 256), interpolation=cv2.INTER_AREA)

    def many(paths: Sequence[Path]) -> None:
        for picture in pool.map(small, paths):
            inferencer.predict(picture)

    return lambda path: inferencer.predict(small(path)), many, facts


def _groups(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    given = iter(items)
    while group := list(islice(given, size)):
        yield group


TOOLS = {
    "flawscope": flawscope_model,
    "earlier": earlier_model,
    "backbone": flawscope_backbone,
    "anomalib": anomalib_model,
}


def main() -> None:
    """Serve one participant, as its specification in JSON says, to the process that started this one."""
    spec = json.loads(sys.argv[1])
    answers, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr  # libraries may print
    paths = [Path(name) for name in spec["files"]]
    with ExitStack() as keep:
        one, stream, facts = TOOLS[spec["tool"]](spec, keep)
        for path in paths[:3]:
            one(path)
        print(json.dumps(facts), file=answers, flush=True)
        for line in sys.stdin:
            name, *numbers = line.split()
            if name == "one":
                start, count = map(int, numbers)
                times = [
                    _milliseconds(lambda path=path: one(path))
                    for path in islice(cycle(paths), start, start + count)
                ]
                print(json.dumps(times), file=answers, flush=True)
            else:
                count = int(numbers[0])
                taken = _milliseconds(lambda count=count: stream(list(islice(cycle(paths), count))))
                print(json.dumps(taken / count), file=answers, flush=True)


def _milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


if __name__ == "__main__":
    main()
