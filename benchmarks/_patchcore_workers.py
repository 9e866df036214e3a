"""The two sides of `patchcore_vs_anomalib.py`, each run in an interpreter of its own."""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from _machine import versions

SIDE, BATCH, NEIGHBOURS = 256, 8, 9
Row = dict[str, Any]


def peak_mb() -> float:
    """Largest resident set of this process so far, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def latency(run: Callable[[Sequence[Path]], Any], files: Sequence[Path], repeats: int) -> Row:
    """Median milliseconds for one picture and for a batch, each on files that were not the one before."""
    result: Row = {}
    for name, size in (("one_ms", 1), ("batch_of_8_ms", BATCH)):
        times = []
        for index in range(repeats + 2):
            start = index * size % (len(files) - size)
            begin = time.perf_counter()
            run(files[start : start + size])
            times.append(time.perf_counter() - begin)
        result[name] = round(statistics.median(times[2:]) * 1e3, 2)
    return result


def test_files(root: Path) -> list[Path]:
    """All test pictures, in an order that mixes good and defective ones the same way on both sides."""
    files = sorted((root / "test").glob("*/*.png"))
    return sorted(files, key=lambda path: (path.stem, path.parent.name))


def fit_flawscope(options: argparse.Namespace, ratio: float) -> list[Row]:
    """Fit ours, then measure it in torch and in each engine of this machine."""
    import torch

    from flawscope.data.layouts import read_dataset
    from flawscope.data.pictures import PictureFiles
    from flawscope.data.training import TrainingData
    from flawscope.methods.registry import create
    from flawscope.nn.run import Run
    from flawscope.training.export import export

    dataset = read_dataset(options.product)
    model = create(
        "patchcore",
        {
            "backbone": "resnet18",
            "layers": ("layer2", "layer3"),
            "size": (SIDE, SIDE),
            "coreset": ratio,
            "reweighting": NEIGHBOURS,
        },
    )
    normal = PictureFiles(dataset.select(split="train", defective=False), model.options.frame)
    run = Run(precision=options.precision)
    start = time.perf_counter()
    model.fit(TrainingData(normal=normal, tuning=normal.subset([])), run)
    fit = {
        "tool": "flawscope",
        "coreset": ratio,
        "centres": len(model.bank.memory.bank),
        "fit_s": round(time.perf_counter() - start, 2),
        "peak_mb": peak_mb(),
        "extrapolated": False,
        "versions": versions("torch", "numpy", "onnxruntime"),
        "precision_of_features": str(run.feature_dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }
    with tempfile.TemporaryDirectory() as folder:
        graphs = export(model, Path(folder))
        return [fit | measured for measured in engines(graphs, dataset, model.options.frame, options)]


def engines(graphs: Any, dataset: Any, frame: Any, options: argparse.Namespace) -> list[Row]:
    """Accuracy and latency of an exported model in every engine that this machine has."""
    import numpy as np

    from flawscope.data.pictures import PictureFiles
    from flawscope.errors import MissingExtraError, OptionError
    from flawscope.runtime.images import load
    from flawscope.runtime.pipeline import Pipeline

    samples = dataset.select(split="test")
    rows = []
    for name, precision in (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")):
        try:
            pipeline = Pipeline.in_engine(graphs, name, precision)
        except (MissingExtraError, OptionError) as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        answers = list(pipeline.score(PictureFiles(samples, frame), pipeline.judged))
        outputs = {name: np.stack([answer[name] for answer in answers]) for name in pipeline.judged}
        times = latency(
            lambda files, pipeline=pipeline: [  # one by one, as the Inspector does it
                pipeline.run(load(path, frame)[np.newaxis])["heatmap"] for path in files
            ],
            test_files(options.product),
            options.repeats,
        )
        rows.append({"engine": f"{name} {precision}", **accuracy(samples, outputs), **times})
    return rows


def accuracy(samples: Sequence[Any], outputs: dict[str, Any]) -> Row:
    """Image AUROC, and pixel AUROC at 256 x 256 with masks reduced by nearest pixel, as anomalib does."""
    import cv2
    import numpy as np

    from flawscope import metrics
    from flawscope.data.masks import union_mask
    from flawscope.runtime.images import read_image

    masks = []
    for sample in samples:
        mask = union_mask(sample, *read_image(sample.path).shape[:2]) if sample.defective else None
        small = (
            None
            if mask is None
            else cv2.resize(mask.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        )
        masks.append(small)
    labels = [int(sample.defective) for sample in samples]
    return {
        "image_auroc": round(metrics.auroc(labels, outputs["score"]), 4),
        "pixel_auroc": round(metrics.pixel_auroc(masks, outputs["heatmap"]), 4),
    }


def fit_anomalib(options: argparse.Namespace, ratio: float) -> list[Row]:
    """Fit anomalib's PatchCore, test it and time its own forward pass, pre- and post-processing included."""
    import torch
    from anomalib.data import Folder
    from anomalib.data.utils.image import read_image
    from anomalib.engine import Engine
    from anomalib.models import Patchcore
    from anomalib.pre_processing import PreProcessor
    from safetensors.torch import load_file
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    root = options.product
    kinds = sorted(path.name for path in (root / "test").iterdir() if path.is_dir() and path.name != "good")
    data = Folder(
        name=root.name,
        root=root,
        normal_dir="train/good",
        normal_test_dir="test/good",
        abnormal_dir=[f"test/{kind}" for kind in kinds],
        mask_dir=[f"ground_truth/{kind}" for kind in kinds],
        train_batch_size=BATCH,
        eval_batch_size=BATCH,
        num_workers=0,
        test_split_mode="from_dir",
        val_split_mode="same_as_test",
    )
    steps = [Resize((SIDE, SIDE), antialias=True), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    model = Patchcore(
        backbone="resnet18",
        layers=["layer2", "layer3"],
        pre_trained=False,
        coreset_sampling_ratio=ratio,
        num_neighbors=NEIGHBOURS,
        pre_processor=PreProcessor(transform=Compose(steps)),
    )
    keys = model.model.feature_extractor.feature_extractor.load_state_dict(
        load_file(options.weights), strict=False
    )
    assert all("num_batches" in key for key in keys.missing_keys), keys.missing_keys
    selection = limit_selection(options.anomalib_centres)
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(
            accelerator="cpu", devices=1, default_root_dir=folder, logger=False, enable_progress_bar=False
        )
        start = time.perf_counter()
        engine.fit(model=model, datamodule=data)
        seconds, peak = time.perf_counter() - start, peak_mb()
        limited = selection["timed"] < selection["centres"]
        found = {} if limited else engine.test(model=model, datamodule=data)[0]
    rate = selection["seconds"] / selection["timed"]
    model.eval()

    def heatmaps(files: Sequence[Path]) -> Any:
        with torch.inference_mode():
            return model(torch.stack([read_image(path, as_tensor=True) for path in files])).anomaly_map

    return [
        {
            "tool": "anomalib",
            "engine": "torch fp32",
            "coreset": ratio,
            "centres": selection["centres"],
            "fit_s": round(seconds - selection["seconds"] + rate * selection["centres"], 2),
            "peak_mb": peak,
            "extrapolated": limited,
            "seconds_per_centre": round(rate, 5),
            "centres_timed": selection["timed"],
            "image_auroc": round(found["image_AUROC"], 4) if found else None,
            "pixel_auroc": round(found["pixel_AUROC"], 4) if found else None,
            **latency(heatmaps, test_files(root), options.repeats),
            "versions": versions("anomalib", "torch", "torchvision"),
            "threads": torch.get_num_threads(),
        }
    ]


def limit_selection(limit: int | None) -> dict[str, Any]:
    """Time anomalib's selection and cut it to `limit` centres; the rest of the bank is drawn at random."""
    import torch
    from anomalib.models.components import KCenterGreedy

    original, noted = KCenterGreedy.select_coreset_idxs, {}

    def select(self: Any) -> Any:
        size = self.coreset_size
        self.coreset_size = min(size, limit or size)
        start = time.perf_counter()
        chosen = list(original(self))
        noted.update(seconds=time.perf_counter() - start, timed=self.coreset_size, centres=size)
        self.coreset_size = size
        return chosen + torch.randperm(len(self.embedding))[: size - len(chosen)].tolist()

    KCenterGreedy.select_coreset_idxs = select
    return noted
