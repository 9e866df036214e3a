"""A fitted detector as a model folder: export, parity, scores, thresholds, manifest, in this order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import flawscope
from flawscope.data.pictures import Pictures
from flawscope.data.tiles import file_of_each_part, files_of, groups_of, largest_grid
from flawscope.files import write_text
from flawscope.methods.detector import Detector
from flawscope.methods.running import write_files
from flawscope.nn.heatmaps import finest_grid
from flawscope.nn.run import Run, write_tensors
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.calibration import Calibration, Promise
from flawscope.runtime.conditions import of_files
from flawscope.runtime.engine_table import Speeds
from flawscope.runtime.engines import Pair
from flawscope.runtime.groups import Judge, numbered
from flawscope.runtime.manifest import Manifest, heatmap_range
from flawscope.runtime.parity import PICTURES
from flawscope.runtime.pipeline import Graphs
from flawscope.runtime.provenance import Provenance
from flawscope.runtime.tiling import Tiling
from flawscope.training.export import export
from flawscope.training.fold_scores import HeldOut, score_apart
from flawscope.training.parity import choose_engine

LOSSES = "losses.json"


@dataclass(frozen=True, slots=True)
class Wish:
    """The promise on false rejects that a model is asked to keep (see `flawscope.runtime.calibration`).

    `grouped_by` says where pictures have groups from; empty: each counts by itself.
    """

    alpha: float
    delta: float
    promise: Promise = "with_confidence"
    judge: Judge = "picture"
    grouped_by: str = ""

    def require(self, apart: Pictures) -> None:
        """Refuse pictures, or all their tiles, that are too few to calibrate on, before anything is learnt.

        Raises:
            CalibrationError: as `thresholds`.
        """
        groups = groups_of(apart)
        scores = np.zeros(len(groups), np.float32)
        self.thresholds(HeldOut((scores,), None, in_folds=False, groups=(groups,)))

    def thresholds(self, held_out: HeldOut) -> Calibration:
        """The calibration that such scores support; scores of folds give the weaker promise.

        Raises:
            CalibrationError: the scores support no rate below one half.
        """
        scores = [fold.tolist() for fold in held_out.scores]
        settings: dict[str, Any] = {"alpha": self.alpha, "delta": self.delta}
        groups: list[tuple[int, ...]] = []
        if self.grouped_by:
            settings |= {"judge": self.judge, "grouped_by": self.grouped_by}
            names = [name for fold in held_out.groups for name in fold]
            numbers = iter(numbered(names) or range(len(names)))
            groups = [tuple(islice(numbers, len(fold))) for fold in held_out.groups]
        if held_out.in_folds:
            return Calibration.from_folds(scores, groups, **settings)
        settings |= {"promise": self.promise, "groups": groups[0] if groups else ()}
        return Calibration(scores=tuple(scores[0]), **settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What goes into a model folder beside the detector.

    Attributes:
        engines: what may run the model; it is calibrated on the fastest whose parity holds.
        apart: pictures, or all their tiles, for parity and for the thresholds; at the model's frame.
        held_out: their scores where models of folds gave them; None: the model itself scores them.
        wish: what the thresholds promise.
        provenance: pictures, seed and machine.
        recipe: the YAML that makes the model again.
        tiling: how pictures are cut into the frames of `apart`; None: they are seen whole.
        files: further text files by name.
        timed: how fast engines run graphs like the detector's, where that is known; nothing is timed then.
    """

    engines: tuple[Pair, ...]
    apart: Pictures
    held_out: HeldOut | None
    wish: Wish
    provenance: Provenance
    recipe: str
    tiling: Tiling | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    timed: Speeds | None = None


def pack(out: Path, detector: Detector, run: Run, contents: Contents, watch: Watch = UNWATCHED) -> Bundle:
    """Write the model folder `out` in one step; a model that stood there stays until the new one is whole.

    Raises:
        BundleError: the graph differs from the trained network on the engines by more than the bound.
        CalibrationError: the scores support no rate below one half.
        OutputError: `out` cannot be written.
    """
    with bundle.writing(out) as draft:
        with watch.stage("exporting", 1) as stage:
            graphs = _write_files(draft.folder, detector, contents)
            stage.advance()
        compared = contents.apart.subset(range(min(PICTURES, len(contents.apart))))
        chosen = choose_engine(
            detector, graphs, compared, run, watch, wanted=contents.engines, timed=contents.timed
        )
        held_out = contents.held_out
        if held_out is None:
            held_out = score_apart(chosen.pipeline, contents.apart, watch)
        draft.manifest = Manifest(
            flawscope=flawscope.__version__,
            method=detector.name,
            options=detector.options.model_dump(mode="json"),
            frame=contents.apart.frame,
            tiling=contents.tiling,
            calibrated_tiles=largest_grid(contents.apart),
            outputs=graphs.outputs,
            cells=finest_grid(detector),
            stages=graphs.stages,
            scalars=detector.options.scalars,
            explains=detector.explains,
            learnt=dict(detector.learnt.facts),
            engine=chosen.pipeline.engine,
            precision=chosen.pipeline.precision,
            calibration=contents.wish.thresholds(held_out),
            conditions=of_files(file_of_each_part(contents.apart), contents.apart.frame, contents.tiling),
            heatmap=None if held_out.levels is None else heatmap_range(held_out.levels),
            parity=chosen.parity,
            speeds=chosen.speeds,
            provenance=contents.provenance.calibrated_in_folds(
                files_of(contents.apart) if held_out.in_folds else ()
            ),
        )
    return draft.bundle


def _write_files(folder: Path, detector: Detector, contents: Contents) -> Graphs:
    """Write graphs, weights, recipe and the rest; returns the graphs."""
    graphs = export(detector, folder)
    write_tensors(folder / bundle.WEIGHTS, detector.state_dict())
    write_files(detector, folder)
    texts = {bundle.RECIPE: contents.recipe, **contents.files}
    if detector.learnt.history:
        texts[LOSSES] = json.dumps(list(detector.learnt.history)) + "\n"
    for name, text in texts.items():
        write_text(folder / name, text)
    return graphs
