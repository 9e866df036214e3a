"""SegAD: what anomaly maps look like over segments, judged by a forest that knows some defects.

Baitieva, Hurych, Besnier, Bernard: Supervised Anomaly Detection for Complex Industrial Images. CVPR 2024.

Detectors that know only good pictures map each picture; statistics of their maps over segments, and where
asked for a supervised classifier's score, decide in a boosted random forest (section 4). The forest sees no
picture that the detectors have learnt from: it learns from the tuning pictures and the defective ones. Nor,
by default, does it see a classifier's score of a picture that the classifier learnt from; the paper lets 80 %
of those overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flawscope.data.segment_maps import write_segment_map
from flawscope.data.training import TrainingData, Unseen
from flawscope.errors import DataError
from flawscope.files import write_atomically
from flawscope.methods.detector import HEATMAP, SCORE, Detector, Output
from flawscope.methods.fingerprint import fit_once
from flawscope.methods.registry import create
from flawscope.methods.segad.classifying import held_out_scores
from flawscope.methods.segad.forest import Forest, grow, load, require_agreement
from flawscope.methods.segad.options import SegADOptions
from flawscope.methods.segad.reading import read_table
from flawscope.methods.segad.statistics import SegmentStatistics
from flawscope.methods.segad.table import FAR_APART, Table, far_apart
from flawscope.nn.banks.preflight import Preflight
from flawscope.nn.levels import Levels
from flawscope.nn.run import Run
from flawscope.segmenters import build_segmenter

FEWEST_DEFECTS = 2
FEWEST_UNSEEN = 2
USUAL = (0.05, 0.95)
FOREST, SEGMENTS = "forest.ubj", "segments.png"


class SegAD(Detector):
    """Statistics of other detectors' heatmaps over segments, judged by a forest that learns known defects."""

    Options = SegADOptions
    options: SegADOptions
    outputs: ClassVar = (
        SCORE,
        HEATMAP,
        Output("segments", "label_map", "segment of each pixel"),
        Output("features", "vector", "statistics of each detector's heatmap over each segment"),
        Output("contributions", "vector", "what each feature adds to the score"),
        Output("usual_low", "vector", "5 % quantile of each feature over good pictures"),
        Output("usual_high", "vector", "95 % quantile of each feature over good pictures"),
    )
    fitted: ClassVar = ("*",)
    minimum_normals: ClassVar = 3
    uses_defects: ClassVar = True
    tuning_share: ClassVar = 0.5  # section 5.1: 1000 of VAD's 2000 good pictures

    usual: Tensor

    def __init__(self, options: SegADOptions) -> None:
        super().__init__(options)
        self.detectors = nn.ModuleList(create(spec.method, spec.options) for spec in options.detectors)
        spec = options.classifier
        self.classifier = create(spec.method, spec.options) if spec else None
        self.segmenter = build_segmenter(options.segments, self.frame)
        self.forest = Forest()
        self.statistics: SegmentStatistics | None = None
        self.levels = Levels(len(self.detectors), "moments")
        self.register_buffer("usual", torch.zeros(2, 1))  # (2, F)
        self.ubj: bytes | None = None

    @property
    def uses_tuning(self) -> bool:
        """The tuning pictures are those from which the forest learns what good pictures look like."""
        return True

    @property
    def parts(self) -> list[Detector]:
        """The detectors whose maps are read, K of them."""
        return [part for part in self.detectors if isinstance(part, Detector)]

    def preflight(self, pictures: int) -> Preflight | None:
        """The sum of what those detectors take that can tell."""
        known = [cost for part in self.parts if (cost := part.preflight(pictures)) is not None]
        if not known:
            return None
        return Preflight(
            sum(cost.seconds for cost in known), max(cost.bytes for cost in known), known[0].available_bytes
        )

    def fit(self, data: TrainingData, run: Run) -> Self:
        """Train the detectors on `data.normal`; grow the forest on `data.tuning` and `data.defective`.

        Raises:
            DataError: too few pictures of any part, or what a detector or the segmenter refuses.
            Stopped: `run.stop` was set; a later call with the same run takes up where it was.
        """
        self.check_enough(data)
        unseen = data.unseen()
        self._check(unseen)
        self.remarks = []
        for part, spec in zip(self.parts, self.options.detectors, strict=True):
            learnt = data.for_detector(self.options.scaled if part.uses_tuning else 0.0)
            fit_once(part, spec.method, learnt, run)
            self.remarks += part.remarks
        return self.settle(self.collect(unseen, run), run.seed)

    def collect(self, unseen: Unseen, run: Run) -> Table:
        """Features and truth of the pictures that the forest learns from, by detectors that are trained.

        Fits the segmenter and trains the classifier; the maps' levels are measured on the way. The good
        pictures come first, then the defective ones, real before synthetic.

        Raises:
            DataError, Stopped: as `fit`.
        """
        self._check(unseen)
        self.segmenter.fit(unseen.learnt if len(unseen.learnt) else unseen.normal, run, unseen.parts)
        self.remarks += self.segmenter.remarks
        self._check_segments()
        self._prepare()
        good, moments = read_table(self, unseen.normal, run)
        self.levels.take(moments)
        table, options = good, self.options
        real = None
        if unseen.defective is not None and options.defects != "synthetic":
            real, _ = read_table(self, unseen.defective, run)
            table = table.joined(real)
        if real is None or options.defects == "both":
            made, _ = read_table(self, unseen.normal, run, synthetic=True)
            self._compare(made, unseen, real, run)
            table = table.joined(made)
        if self.classifier is not None and options.classifier is not None:
            scores = held_out_scores(
                self.classifier, options.classifier, options.classifier_folds, unseen, run
            )
            table = table.with_column(scores)
        return table

    def settle(self, table: Table, seed: int) -> Self:
        """Grow the forest on the table's rows and take it over, with the usual range of each feature."""
        booster = grow(table.features, table.defective, self.options.forest, seed)
        self.forest.pack(booster, table.features)
        self.ubj = bytes(booster.save_raw("ubj"))
        good = table.features[~table.defective]
        self.usual = torch.from_numpy(np.quantile(good, USUAL, axis=0).astype(np.float32))  # (2, F)
        return self.eval()

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; score is the forest's margin, 0 where it cannot tell."""
        del scalars
        maps, scores = self.read(pixels)
        labels = self.segmenter(pixels)
        features = self.features(maps, scores, labels)
        if self.classifier is not None:
            features = torch.cat([features, self.classifier(pixels)["score"].unsqueeze(1)], 1)
        score, contributions = self.forest(features)
        low, high = (self.usual[row].expand_as(features) for row in (0, 1))
        return {
            "score": score,
            "heatmap": self.levels(maps).mean(1) if len(self.detectors) > 1 else maps[:, 0],
            "segments": labels.to(torch.uint8),  # at most 64
            "features": features,
            "contributions": contributions,
            "usual_low": low,
            "usual_high": high,
        }

    def read(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Heatmaps (N, K, H, W) and image scores (N, K) of the detectors."""
        answers = [part(pixels) for part in self.detectors]
        maps = torch.stack([answer["heatmap"] for answer in answers], 1)
        return maps, torch.stack([answer["score"] for answer in answers], 1)

    def features(self, maps: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """(N, F) without the classifier's score: by detector, segment, statistic; then detector scores."""
        if self.statistics is None:
            raise RuntimeError("SegAD is used before fit or restore")
        features = self.statistics(maps, labels).flatten(1)  # (N, K, L, S) -> (N, K * L * S)
        return torch.cat([features, scores], 1) if self.options.detector_scores else features

    def restore(self, tensors: Mapping[str, Tensor]) -> Self:
        """See `Detector.restore`."""
        super().restore(tensors)
        self._prepare()
        return self

    @property
    def judged(self) -> str | None:
        """The forest's inputs: its margin is a step function of them, which `check_answers` holds exact."""
        return None if self.ubj is None else "features"

    def check_answers(self, outputs: Mapping[str, NDArray[Any]], engine: str) -> None:
        """Hold an engine's scores against XGBoost's own on the engine's features."""
        if self.ubj is not None:
            booster = load(self.ubj)
            require_agreement(booster, outputs["features"], outputs["score"], f"graph in {engine}")

    def write_companions(self, folder: Path) -> None:
        """The forest as XGBoost's own file, and a static map as a picture."""
        if self.ubj is not None:
            with write_atomically(folder / FOREST) as stream:
                stream.write(self.ubj)
        if self.segmenter.static and self.segmenter.count > 1:
            write_segment_map(folder / SEGMENTS, self._static_labels().cpu().numpy().astype(np.uint8))

    def _prepare(self) -> None:
        """Statistics for the segmenter's number of segments, and for its map where there is one."""
        labels = self._static_labels() if self.segmenter.static else None
        self.statistics = SegmentStatistics(self.segmenter.count, self.options.statistics, labels)
        self.statistics.to(self.levels.zero.device)

    def _static_labels(self) -> Tensor:
        """The one label map (H, W) of a static segmenter."""
        labels: Tensor = self.segmenter(self.levels.zero.new_zeros(1, 3, *self.options.size))[0]
        return labels

    def _check(self, unseen: Unseen) -> None:
        if len(unseen.normal) < FEWEST_UNSEEN:
            raise DataError(
                "tuning pictures",
                expected=f"at least {FEWEST_UNSEEN} good pictures that the detectors have not seen",
                got=str(len(unseen.normal)),
                fix="Add good pictures, or raise split.tuning.",
            )
        given = unseen.defective is not None and len(unseen.defective) > 0
        if given or self.options.defects in ("real", "both") or self.classifier is not None:
            found = 0 if unseen.defective is None else len(unseen.defective)
            if found < FEWEST_DEFECTS:
                raise DataError(
                    "defective pictures",
                    expected=f"at least {FEWEST_DEFECTS} for SegAD",
                    got=str(found),
                    fix="Name their folder with --defects FOLDER, or set options.defects=synthetic.",
                )

    def _check_segments(self) -> None:
        """Refuse segments that no good picture shows; where no ground can be told, that is remarked."""
        absent = self.segmenter.absent
        if absent and self.options.segments.kind != "object":
            raise DataError(
                f"segment {absent[0]}",
                expected="pixels of it in some good picture",
                got="none in any",
                fix="Correct the segment map, or ask for fewer segments.",
            )

    def _compare(self, made: Table, unseen: Unseen, real: Table | None, run: Run) -> None:
        """Remark where a detector sees synthetic defects quite otherwise than real ones (table 2)."""
        if unseen.defective is None:
            return
        if real is None:
            real, _ = read_table(self, unseen.defective, run)
        count, statistics = self.segmenter.count, len(self.options.statistics)
        for index, spec in enumerate(self.options.detectors):
            first = index * count * statistics
            heights = [
                table.features[:, first : first + count * statistics : statistics].max(1)
                for table in (made, real)
            ]
            apart = far_apart(heights[0], heights[1])
            if apart > FAR_APART:
                self.remarks.append(
                    f"{spec.method} maps synthetic and real defects quite differently ({apart:.0%} apart): "
                    f"what the forest learns from synthetic ones may not hold. Learn from the real ones, "
                    f"options.defects=real, or leave {spec.method} out."
                )
