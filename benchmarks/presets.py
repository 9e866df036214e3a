"""Presets beside each other, on real and on rendered products, from features computed once.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/presets.py --data DATA --work WORK --json OUT.json \\
        --preset today=patchcore:default --preset 'smaller=patchcore:default:{"bank_limit": 3000}'

A preset is NAME=METHOD[:PRESET][:OPTIONS], OPTIONS a JSON object over the preset; without PRESET the method's
own defaults hold. The method must have a frozen backbone. The first is what the others are compared with.

Products are screw (MVTec AD, as published), magnetic tile and BSData (every third good picture is for
testing), and all rendered ones at 384×384: with each seed 100 good pictures for training, 60 for testing and
8 of each flaw. The seed is also that of the fit. The backbone's maps are kept as float16, of pictures as they
lie: `upright` is off in every preset. Pixel figures are those of `flawscope evaluate`: each pixel of each
test picture counts once, at the picture's own resolution. Fit times are from features, on the clock and of
all cores together.

Intervals are of paired bootstraps over the test pictures, good and defective ones drawn apart, the same draw
for both presets: they tell what other pictures of these products could change, not what other products could.

`--against` tells what the others gain over one more preset, such as the default. `--choose` takes the presets
as candidates, leaves out one product after the other, and tells what is best on the others (mean of image and
pixel AUROC) and what it gives on the one left out.

Rows are written as they come, and those that OUT.json has are not computed again; OUT.md has the tables.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _cached_maps import CachedBackbone, Numbered, keep_maps, maps_folder, read_maps
from _localisation import add, figures
from _preset_tables import Table, by_seed, choice, gains, image_figures, markdown
from accuracy import FOLDERS, about

from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.splits import split_normals
from flawscope.data.training import TrainingData
from flawscope.files import write_text
from flawscope.methods.detector import Detector
from flawscope.methods.registry import create, method_class, options_of, parse_options
from flawscope.methods.running import answers
from flawscope.metrics import RegionOverlap
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.run import Run
from flawscope.products import PRODUCTS, write_loco

_PROTOCOL = """\
Screw as published, magnetic tile and BSData with every third good picture for testing; the others are
rendered, for each seed anew: 100 good pictures for training, 60 for testing, 8 of each flaw. The seed is
that of the fit too. No threshold is used, and nothing is tuned on test pictures here. Image AUROC over all
test pictures, and over good ones and structural or logical flaws alone; pixel figures are those of
`flawscope evaluate`: each pixel of each picture counts once, at the picture's own resolution. Figures of a
product are means over its seeds. Features come from files in float16, computed once, of pictures as they
lie: no preset turns them here (`upright`). Fit times are from there, on the clock and summed over cores.
Intervals hold 95 % of 2000 paired bootstraps over the test pictures, good and defective ones apart: they tell
what other pictures of these products could change, not what other products could."""
_PRODUCTS = [*FOLDERS, *PRODUCTS]
_LETTERS = {"structural": "s", "logical": "l", None: "d"}


@dataclass(frozen=True)
class Preset:
    """A method and its options, under the name that the tables give it."""

    name: str
    method: str
    options: dict[str, Any]
    spelt: str

    def detector(self) -> Detector:
        """With a backbone of random weights, since its maps come from elsewhere."""
        made = create(self.method, {**self.options, "weights": "random"})
        backbone = getattr(made, "backbone", None)
        if not isinstance(backbone, Backbone) or backbone.trainable:
            raise SystemExit(f"{self.name}: {self.method} has no frozen backbone whose maps could be kept.")
        return made


def preset(text: str) -> Preset:
    """NAME=METHOD[:PRESET][:OPTIONS]."""
    name, _, rest = text.partition("=")
    head, brace, tail = rest.partition("{")
    method, _, start = head.rstrip(":").partition(":")
    options = options_of(method, start or None, json.loads(brace + tail) if brace else {})
    return Preset(name, method, options | ({"upright": False} if "upright" in options else {}), rest)


class Place:
    """The pictures of one product: those it learns from, those of its test, and the kept maps of both."""

    def __init__(self, data: Path, work: Path, product: str, seed: int) -> None:
        self.work, self.product = work, product
        self.pictures = product if product in FOLDERS else f"{product}@{seed}"
        folder = data / FOLDERS[product] if product in FOLDERS else _rendered(work, product, seed)
        dataset = read_dataset(folder)
        self.training = dataset.select(split="train", defective=False)
        self.test = dataset.select(split="test")
        wanted = {sample.path for sample in (*self.training, *self.test)}
        self.samples = [sample for sample in dataset if sample.path in wanted]
        self.numbers = {sample.path: number for number, sample in enumerate(self.samples)}

    def keep_maps(self, detectors: Sequence[Detector]) -> None:
        """Those that the detectors need; of one network at one frame in one pass."""
        wanted: dict[Path, dict[str, None]] = {}
        by_folder: dict[Path, Detector] = {}
        for detector in detectors:
            folder = self._folder(detector)
            by_folder[folder] = detector
            wanted.setdefault(folder, {}).update(dict.fromkeys(detector.backbone.layers))
        for folder, detector in by_folder.items():
            pictures = PictureFiles(self.samples, detector.options.frame)
            keep_maps(folder, detector.backbone, list(wanted[folder]), pictures)

    def on_maps(self, detector: Detector) -> Detector:
        """The same detector, on the kept maps."""
        backbone = detector.backbone
        maps = read_maps(self._folder(detector), backbone.layers, len(self.samples))
        detector.backbone = CachedBackbone(backbone, maps)
        return detector

    def numbered(self, samples: Sequence[Sample], detector: Detector) -> Numbered:
        """Pictures for a detector on maps."""
        return Numbered(samples, detector.options.frame, self.numbers)

    def _folder(self, detector: Detector) -> Path:
        return maps_folder(self.work, self.pictures, detector.backbone, detector.options.frame)


def _rendered(work: Path, product: str, seed: int) -> Path:
    folder = work / f"s{seed}" / product
    if not folder.exists():
        counts = {"train": 100, "validation": 1, "test_good": 60, "per_flaw": 8}
        write_loco(folder.parent, product, seed=seed, size=384, **counts)
    return folder


def measure(detector: Detector, place: Place, run: Run) -> dict[str, Any]:
    """Fit on the good training pictures and score the test pictures, both from kept maps."""
    split = split_normals(place.training, seed=run.seed, tuning=0.1 if detector.needs().tuning else 0.0)
    normal, tuning = (place.numbered(part, detector) for part in (split.training, split.tuning))
    clock, processor = time.perf_counter(), time.process_time()
    detector.fit(TrainingData(normal=normal, tuning=tuning), run)
    fitted, spent = time.perf_counter(), time.process_time() - processor
    scores, overlap = [], RegionOverlap()
    answer = answers(detector, place.numbered(place.test, detector), run, keep=("score", "heatmap"))
    for sample, outputs in zip(place.test, answer, strict=True):
        scores.append(float(f"{outputs['score']:.6g}"))
        add(overlap, sample, detector.options.frame, outputs["heatmap"])
    kinds = "".join(_LETTERS[sample.category] if sample.defective else "g" for sample in place.test)
    return {
        **image_figures(kinds, scores),
        **figures(overlap),
        "training_pictures": len(normal),
        "fit_seconds": round(fitted - clock, 2),
        "fit_processor": round(spent, 2),
        "score_seconds": round(time.perf_counter() - fitted, 2),
        "threads": torch.get_num_threads(),
        "kinds": kinds,
        "scores": " ".join(f"{score:.6g}" for score in scores),
    }


def missing_rows(given: argparse.Namespace, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows that are asked for and not there yet, one after the other."""
    there = {(row["preset"], row["product"], row["seed"]) for row in rows}
    for seed in given.seeds:
        for product in given.products:
            left = [each for each in given.preset if (each.name, product, seed) not in there]
            if not left:
                continue
            place = Place(given.data, given.work, product, seed)
            place.keep_maps([each.detector() for each in left])
            for each in left:
                figures = measure(place.on_maps(each.detector()), place, Run(seed))
                about_row = {"product": product, "pictures": place.pictures, "seed": seed}
                yield {"preset": each.name, **about_row, **figures}


def opened(path: Path, presets: Sequence[Preset]) -> dict[str, Any]:
    """What the file has, with the presets that are asked for."""
    result = json.loads(path.read_text()) if path.exists() else {"runs": [], "presets": {}, "rows": []}
    for each in presets:
        kind = method_class(each.method).Options
        options = parse_options(each.method, kind, each.options).model_dump(mode="json")
        meant = {"preset": each.spelt, "options": options}
        if result["presets"].setdefault(each.name, meant) != meant:
            raise SystemExit(f"{path}: {each.name} is another preset there; name this one otherwise.")
    return result


def page(result: dict[str, Any], names: Sequence[str], *, against: str | None, choose: bool) -> str:
    """The result as a Markdown page; with gains over a further preset `against`."""
    table = Table(result["rows"], names)
    lines = ["# Presets", "", _PROTOCOL, "", *([result["note"], ""] if "note" in result else [])]
    if table.seeds:
        lines += [*markdown(table), ""]
        told = "Δ image on the rendered products alone, by seed: other pictures of the same products."
        lines += [told, "", *by_seed(table), ""]
    if table.seeds and against:
        other = Table(result["rows"], [against, *(name for name in names if name != against)])
        lines += [f"Δ image to {against}, with its 95 % interval.", "", *gains(other), ""]
    if table.seeds and choose:
        lines += ["What leave-one-product-out takes among these presets:", "", *choice(table), ""]
    lines += [f"- {name}: `{result['presets'][name]['preset']}`" for name in names]
    for run in result["runs"]:
        numbers = ", ".join(f"{key} {value}" for key, value in run["versions"].items())
        place = f"{run['processor']}, {run['threads']} threads, Python {run['python']}, {numbers}"
        lines.append(f"- `{run['command']}`\n  on {place}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the real products")
    parser.add_argument(
        "--work", type=Path, required=True, help="rendered products and features are kept here"
    )
    parser.add_argument("--preset", type=preset, action="append", required=True, metavar="NAME=METHOD…")
    parser.add_argument("--products", nargs="+", choices=_PRODUCTS, default=_PRODUCTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--against", metavar="NAME", help="tell gains over this preset, too")
    parser.add_argument("--choose", action="store_true", help="tell what leave-one-product-out takes")
    parser.add_argument("--json", type=Path, required=True, help="rows; the tables beside it, as .md")
    parser.add_argument("--note", help="a sentence to keep with the result")
    given = parser.parse_args()
    names = [each.name for each in given.preset]
    if given.against not in (None, *names):
        parser.error(f"--against {given.against} is none of the presets: {', '.join(names)}")
    result = opened(given.json, given.preset)
    run = about()
    for path, name in ((given.json, "OUT.json"), (given.data, "DATA"), (given.work, "WORK")):
        run["command"] = run["command"].replace(str(path), name)
    for row in missing_rows(given, result["rows"]):
        result["runs"] += [run] if run not in result["runs"] else []
        result["rows"].append(row)
        result["rows"].sort(key=lambda each: (_PRODUCTS.index(each["product"]), each["seed"]))
        write_text(given.json, json.dumps(result, indent=1) + "\n")
        print({key: value for key, value in row.items() if key not in ("kinds", "scores")}, flush=True)
    if given.note:
        result["note"] = given.note
        write_text(given.json, json.dumps(result, indent=1) + "\n")
    text = page(result, names, against=given.against, choose=given.choose)
    write_text(given.json.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    main()
