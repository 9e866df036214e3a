"""How well a Mask R-CNN that learnt few annotated pictures finds the parts of others: mIoU.

    python benchmarks/instances.py --data WORK/pin_tray --annotated 10
    … --json OUT.json --options '{"steps": 600}'    more, with the figures kept

DATA is a data set whose label maps lie in DATA/parts, with names.json, as `flawscope.products.loco` renders
them. Of its good training pictures so many are annotated, evenly spread over all of them; the agreement is
measured on other good pictures, of the test ones where there are any.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import command, machine, versions
from numpy.typing import NDArray

from flawscope.data.annotations.attach import attach
from flawscope.data.label_folder import LabelFolder
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample, spread
from flawscope.data.segment_maps import to_frame_size
from flawscope.files import write_text
from flawscope.metrics.overlap import overlaps
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters import InstancesOptions
from flawscope.segmenters.instances.segmenter import Instances


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """Fit on annotated pictures and compare with the maps of others."""
    options = InstancesOptions.model_validate({"preset": given.preset, **given.options})
    frame, labels = Frame(given.size, given.size), LabelFolder(given.data / "parts", given.data)
    dataset = read_dataset(given.data)
    known = attach(dataset, labels.folder).require_learnt().learnt
    annotated = spread(known, given.annotated)
    learnt = {sample.path for sample in annotated}
    others = dataset.select(split="test", defective=False) or known
    unseen = spread([sample for sample in others if sample.path not in learnt], given.pictures)
    segmenter, parts = Instances(options, frame), PictureFiles(annotated, frame)
    started, used = time.perf_counter(), time.process_time()
    segmenter.fit(parts, Run(given.seed), Watch(say=print), parts)
    seconds = {"fit": time.perf_counter() - started, "fit_processor": time.process_time() - used}
    found, truth = compared(segmenter, labels, unseen)
    agreement = overlaps(found, truth, segmenter.names)
    print(f"{given.data.name}: {agreement} on {len(unseen)} pictures, fitted in {seconds['fit']:.0f} s")
    return {
        "data": given.data.name,
        "size": given.size,
        "seed": given.seed,
        "annotated": len(annotated),
        "pictures": len(unseen),
        "options": options.model_dump(mode="json"),
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "held_out": segmenter.facts,
        "unseen": agreement.facts(),
    }


@torch.inference_mode()
def compared(
    segmenter: Instances, labels: LabelFolder, samples: list[Sample]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels (n, H, W) that are found in these pictures, and those of their maps, numbered alike."""
    frame, names = segmenter.frame, labels.names() or ()
    numbers = np.array([segmenter.names.index(name) if name in segmenter.names else 0 for name in names])
    pictures = PictureFiles(samples, frame)
    found = [segmenter(torch.from_numpy(picture)[None]).numpy()[0] for picture in pictures]
    truth = [numbers[to_frame_size(labels.read(sample), frame)] for sample in samples]
    return np.stack(found), np.stack(truth)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="data set with label maps in parts/")
    parser.add_argument("--annotated", type=int, default=10, help="pictures whose label maps are learnt")
    parser.add_argument("--pictures", type=int, default=30, help="most pictures that are measured on")
    parser.add_argument("--size", type=int, default=256, help="pixels a side of the frame")
    parser.add_argument("--preset", choices=["cpu", "paper"], default="cpu")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object over the preset")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where rows are kept, one more with each call")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    given = parse(arguments)
    row = measured(given)
    if given.json:
        kept = json.loads(given.json.read_text(encoding="utf-8")) if given.json.is_file() else {"rows": []}
        ran = {"machine": machine(), "versions": versions("torch", "torchvision"), "command": command()}
        result = {"rows": [*kept["rows"], {**row, **ran}]}
        write_text(given.json, json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
