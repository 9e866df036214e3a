"""How well a teacher predicts the features it was distilled from, on several folders of pictures; JSON.

FLAWSCOPE_WEIGHTS=weights python benchmarks/teacher_r2.py pdn_s --teacher resnet18 --layers layer2,layer3 \\
    --unseen mvtec_ad/screw/train/good bsdata/data --seen-in-part natural_images_1000 --limit 50
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flawscope.distill.run import build_targets, evaluate_teacher, parse_options
from flawscope.files import sha256
from flawscope.nn.backbones.teachers import load_teacher
from flawscope.nn.backbones.weights import list_weights
from flawscope.nn.run import Run
from flawscope.runtime.machine import processor

PACKAGES = ("flawscope", "torch", "torchvision", "timm", "numpy", "pillow", "safetensors")
MEANING = {
    "unseen": "no picture of this folder was in the teacher's training data",
    "seen in part": "most of these pictures were trained on, and which ones is not known: no held-out figure",
}


def main() -> None:
    """Measure what the command line names."""
    arguments = _arguments()
    chosen = {
        "teacher": tuple(arguments.teacher.split(",")),
        "layers": tuple(tuple(part.split(",")) for part in arguments.layers.split("/")),
        "features": arguments.features,
        "student": arguments.student,
        "student_size": arguments.student_size,
        "teacher_size": (arguments.teacher_size,),
    }
    options, run = parse_options(chosen), Run(precision="fp32")
    rows = []
    kinds = (("unseen", arguments.unseen), ("seen in part", arguments.seen_in_part))
    cases = [(kind, folder, enlarge) for kind, folders in kinds for folder in folders for enlarge in (0, 1)]
    for kind, folder, enlarge in cases:
        started = time.perf_counter()
        seen = options.model_copy(update={"enlarge": bool(enlarge)})
        figures = evaluate_teacher(arguments.weights, folder, seen, run, limit=arguments.limit)
        rows.append(
            {
                "pictures": _without_path(str(folder)),
                "kind": kind,
                "means": MEANING[kind],
                "teachers_see": "the student's pixels enlarged" if enlarge else "the file at their own size",
                "count": figures.pictures,
                "r2": {name: round(value, 4) for name, value in figures.r2.items()},
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
        print(rows[-1], file=sys.stderr)
    _, sources = build_targets(options)
    print(
        json.dumps(
            {
                "what": "R² of the normalised teacher features, fp32; variance about the mean over the row's "
                "pictures, summed over a layer's channels",
                "weights": load_teacher(arguments.weights).source,
                "sha256": [info.sha256 for info in list_weights() if info.name == arguments.weights],
                "teachers": [
                    {"network": name, "file": path.name, "sha256": sha256(path)}
                    for name, path in zip(options.teacher, sources, strict=True)
                    if path is not None
                ],
                "sizes": {"student": arguments.student_size, "teacher": arguments.teacher_size},
                "results": rows,
                "machine": _machine(),
                "command": shlex.join([Path(sys.argv[0]).name, *map(_without_path, sys.argv[1:])]),
            },
            indent=1,
            ensure_ascii=False,
        )
    )


def _without_path(word: str) -> str:
    """A folder's path inside the folder `data` that holds the data sets."""
    return word.partition("/data/")[2] or word


def _machine() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("weights", help="a teacher's name or file")
    parser.add_argument("--teacher", default="resnet18", help="networks that it was distilled from")
    parser.add_argument("--layers", default="layer2,layer3")
    parser.add_argument("--features", default="layers", choices=("layers", "patchcore"))
    parser.add_argument("--student", default="pdn_s", choices=("pdn_s", "pdn_m"))
    parser.add_argument("--student-size", type=int, default=256)
    parser.add_argument("--teacher-size", type=int, default=512)
    parser.add_argument("--unseen", type=Path, nargs="*", default=[], help="folders of unseen pictures")
    parser.add_argument(
        "--seen-in-part", type=Path, nargs="*", default=[], help="folders of training pictures"
    )
    parser.add_argument("--limit", type=int, default=50, help="most pictures of a folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
