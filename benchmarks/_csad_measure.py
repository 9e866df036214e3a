"""Figures of one fitted detector on one rendered product."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _csad_findings import judged
from _csad_fits import Place, fitted
from _csad_scores import Raw, aurocs, by_branches, by_cells, confusion, overlaps
from _csad_truth import called, facts, told_apart, true_parts

from flawscope.data.masks import defect_areas
from flawscope.data.segment_maps import Labels
from flawscope.files import write_text
from flawscope.methods.csad.detector import CSAD
from flawscope.methods.detector import Detector
from flawscope.methods.running import answers
from flawscope.metrics import RegionOverlap, Saturation
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.bundle import is_bundle
from flawscope.runtime.images import check_image
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.prediction import Decision
from flawscope.runtime.provenance import Provenance
from flawscope.training.pack import Contents, Wish, pack
from flawscope.training.recipe import Recipe

FALSE_REJECTS = 0.05
_LIMITS = (0.05, 0.3)
_BATCH = 8


def measured(
    place: Place, name: str, spec: Mapping[str, Any], watch: Watch = UNWATCHED, *, export: bool = True
) -> dict[str, Any]:
    """Fit and measure; of CSAD also what `_of_csad` gives, and with `export` its findings."""
    detector, seconds = fitted(place, name, spec, watch)
    scores, spro = scored(detector, place)
    found: dict[str, Any] = {
        **seconds,
        "threads": torch.get_num_threads(),
        "pictures": {part: len(place.samples(part)) for part in ("training", "tuning", "test")},
        "image_auroc": aurocs(place.kinds, scores),
        "spro": spro,
    }
    if isinstance(detector, CSAD):
        found |= _of_csad(detector, place, name, watch, export=export)
    return found | {"kinds": place.kinds, "scores": _written(scores)}


def scored(detector: Detector, place: Place) -> tuple[list[float], dict[str, dict[str, float]]]:
    """Scores of the test pictures; sPRO at each limit of logical and structural flaws, and their mean.

    Heatmaps count at the pictures' own size; saturation of each flaw as defects_config.json has it.
    """
    kinds = {kind: RegionOverlap() for kind in ("logical", "structural")}
    test, run, values = place.samples("test"), Run(place.seed), []
    pictures = place.pictures("test", detector.options.frame)
    kept = answers(detector, pictures, run, keep=("score", "heatmap"))
    for sample, outputs in zip(test, kept, strict=True):
        values.append(float(outputs["score"]))
        if "heatmap" not in outputs:
            continue
        info = check_image(sample.path)
        heatmap = detector.options.frame.placement(info.height, info.width).back(outputs["heatmap"])
        areas = list(defect_areas(sample, info.height, info.width))
        for kind, overlap in kinds.items():
            if not sample.defective:
                overlap.update_defects(None, heatmap)
            elif sample.category == kind and areas:
                limits = [Saturation(pixels) for _, pixels in areas]
                overlap.update_defects(np.stack([area for area, _ in areas]), heatmap, limits)
    if not all(overlap.usable for overlap in kinds.values()):
        return values, {}
    spro = {}
    for limit in _LIMITS:
        own = {kind: overlap.compute(limit) for kind, overlap in kinds.items()}
        spro[str(limit)] = own | {"mean": sum(own.values()) / len(own)}
    return values, spro


def _of_csad(detector: CSAD, place: Place, name: str, watch: Watch, *, export: bool) -> dict[str, Any]:
    """Components against the truth, figures by branch and by cell size, and what findings name."""
    frame, folder = detector.options.frame, place.folder(name)
    parts = ("training", "tuning", "test")
    maps = {part: _labels(detector, place, part) for part in parts}
    raw = Raw(_raw(detector, place, "tuning"), _raw(detector, place, "test"))
    good = np.array([kind == "g" for kind in place.kinds])
    normal = [sample for sample in place.samples("test") if not sample.defective]
    truth = true_parts(place.root, place.product, normal, frame)
    components = {"network": overlaps(confusion(maps["test"][good], truth), truth.names)}
    kept = folder / "labels.npz"
    if kept.exists():
        components["pseudo_labels"] = _pseudo_labels(kept, place, detector)
    classes, options = len(detector.segmenter.names) - 1, detector.options
    found: dict[str, Any] = {
        "classes": classes,
        "components": components,
        "branches": dict(by_branches(raw, options, place.kinds)),
        "cells": dict(by_cells(maps, classes, raw, options, kinds=place.kinds, seed=place.seed)),
        "raw": {
            branch: {part: _written(getattr(raw, part)[:, index].tolist()) for part in ("tuning", "test")}
            for index, branch in enumerate(options.branches)
        },
    }
    if export:
        apart = told_apart(place.product, truth)
        names = called(confusion(maps["test"][good], apart), apart.names)
        found["findings"] = _findings(detector, place, watch, folder, names)
    return found


def _labels(detector: CSAD, place: Place, part: str) -> Labels:
    pictures = place.pictures(part, detector.options.frame)
    rows = answers(detector, pictures, Run(place.seed), keep=("components",))
    return np.stack([row["components"] for row in rows])


@torch.inference_mode()
def _raw(detector: CSAD, place: Place, part: str) -> torch.Tensor:
    pictures = place.pictures(part, detector.options.frame)
    found = [detector._raw(torch.from_numpy(pixels))[0] for pixels in pictures.batches(_BATCH)]
    return torch.cat(found).clone()


def _pseudo_labels(kept: Path, place: Place, detector: CSAD) -> dict[str, Any]:
    """Overlaps of the label maps that components learnt, over the pictures that may be learnt from."""
    with np.load(kept) as file:
        maps, labelled = file["maps"], file["labelled"]
    samples = [sample for sample, known in zip(place.samples("training"), labelled, strict=True) if known]
    truth = true_parts(place.root, place.product, samples, detector.options.frame)
    found = overlaps(confusion(maps[labelled], truth), truth.names)
    return found | {"labelled": int(labelled.sum()), "pictures": len(labelled)}


def _findings(
    detector: CSAD, place: Place, watch: Watch, folder: Path, names: list[str]
) -> dict[str, dict[str, int]]:
    """For each logical flaw, how many pictures are rejected, and of these how many are named rightly.

    What is said of each rejected picture stays in `findings.jsonl` of the fit's folder.
    """
    lines, counts = [], dict[str, dict[str, int]]()
    names += [""] * (len(detector.segmenter.names) - len(names))  # classes that no good test picture shows
    with Inspector.load(_model(detector, place, folder / "model", watch)) as inspector:
        for sample in place.samples("test"):
            if sample.category == "structural":
                continue
            line = place.line(sample)
            flaw = str(line["flaw"] or "good")
            count = counts.setdefault(flaw, {"pictures": 0, "rejected": 0, "component": 0, "named": 0})
            count["pictures"] += 1
            prediction = inspector.inspect(sample.path)
            if prediction.decision is not Decision.REJECT:
                continue
            count["rejected"] += 1
            if not sample.defective:
                continue
            info = check_image(sample.path)
            masks = [mask.read(info.height, info.width) for mask in sample.masks]
            wrong = facts(place.product, flaw, line["truth"], masks)
            said = judged(prediction.findings, wrong, names, place.product, (info.height, info.width))
            count["component"] += said["component"]
            count["named"] += said["named"]
            lines.append(json.dumps({**line, **said}))
    write_text(folder / "findings.jsonl", "\n".join(lines) + "\n")
    return counts


def _model(detector: CSAD, place: Place, out: Path, watch: Watch) -> Path:
    """The model folder, calibrated on the pictures that brought the branches to one scale."""
    if not is_bundle(out):
        options = detector.options.model_dump(mode="json")
        values = {"data": {"folder": str(place.root)}, "method": detector.name, "options": options}
        contents = Contents(
            engines=(("onnxruntime", "fp32"),),
            apart=place.pictures("tuning", detector.options.frame),
            held_out=None,
            wish=Wish(FALSE_REJECTS, FALSE_REJECTS, "on_average"),
            provenance=Provenance.now(place.seed, ()),
            recipe=Recipe.parse({**values, "preset": None}).to_yaml(),
        )
        pack(out, detector, Run(place.seed), contents, watch)
    return out


def _written(values: list[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def named(findings: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, dict[str, int]]]:
    """Counts by flaw, without the good pictures, then of all logical flaws."""
    total = {"pictures": 0, "rejected": 0, "component": 0, "named": 0}
    for flaw, counts in findings.items():
        if flaw != "good":
            yield flaw, dict(counts)
            total = {key: total[key] + counts[key] for key in total}
    yield "all", total
