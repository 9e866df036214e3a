"""SegAD: what anomaly maps look like over segments, judged by a forest that knows some defects.

Baitieva, Hurych, Besnier, Bernard: Supervised Anomaly Detection for Complex Industrial Images. CVPR 2024.

Detectors that know only good pictures map each picture; statistics of their maps over segments, and where
asked for a supervised classifier's score, decide in a boosted random forest (section 4). The forest sees no
picture that the detectors have learnt from: it learns from the tuning pictures and the defective ones. Nor,
by default, does it see a classifier's score of a picture that the classifier learnt from; the paper lets 80 %
of those overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.samples import Sample
from flawscope.data.segment_maps import write_segment_map
from flawscope.data.training import TrainingData, Unseen
from flawscope.errors import DataError
from flawscope.methods.detector import HEATMAP, SCORE, Detector, Facts, Learnt, Needs, Stage
from flawscope.methods.fit_once import fit_once
from flawscope.methods.registry import contradiction, create
from flawscope.methods.segad.appearance import Appearance
from flawscope.methods.segad.classifying import held_out_scores, natural_of, require_kinds
from flawscope.methods.segad.final import FOREST, fit, undivided, unfitted, with_appearance
from flawscope.methods.segad.forest import load, require_agreement
from flawscope.methods.segad.options import NAME, SegADOptions
from flawscope.methods.segad.reading import FAR_APART, SegmentReader, far_apart, read_table
from flawscope.methods.segad.table import Table
from flawscope.nn.banks.preflight import in_turn
from flawscope.nn.moments import Levels
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.manifest import OutputSpec
from flawscope.segmenters import build_segmenter

FEWEST = 2  # pictures of either kind that the forest learns from
USUAL = (0.05, 0.95)
SEGMENTS = "segments.png"
LIKENESS = "the picture/likeness to known defects"


def outputs_of(features: tuple[str, ...], *, steps: bool = True) -> tuple[OutputSpec, ...]:
    """Score, a step function of the features or not, heatmap, and what explains them; the features' names."""
    return (
        SCORE.model_copy(update={"parity": "features"}) if steps else SCORE,
        HEATMAP,
        OutputSpec(name="segments", kind="label_map", about="segment of each pixel"),
        OutputSpec(
            name="features",
            kind="vector",
            about="statistics of each detector's heatmap over each segment",
            names=features,
        ),
        OutputSpec(name="contributions", kind="vector", about="what each feature adds to the score"),
        OutputSpec(name="usual_low", kind="vector", about="5 % quantile of each feature over good pictures"),
        OutputSpec(
            name="usual_high", kind="vector", about="95 % quantile of each feature over good pictures"
        ),
    )


class SegAD(Detector):
    """Statistics of other detectors' heatmaps over segments, judged by a forest that learns known defects."""

    name: ClassVar = NAME
    Options = SegADOptions
    options: SegADOptions
    presets: ClassVar = {
        "default": {
            "detectors": [{"method": "patchcore", "preset": "default"}],
            "size": [320, 320],
            "segments": {"kind": "one"},
        }
    }
    explains: ClassVar = "segments"
    outputs = outputs_of(())

    usual: Tensor

    def __init__(self, options: SegADOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        options, known = self.options, dict[str, Any](facts or {})
        bases = [
            create(spec.method, spec.options, own)
            for spec, own in zip(
                options.detectors, known.get("bases") or [{}] * len(options.detectors), strict=True
            )
        ]
        spec = options.classifier
        self.classifier = create(spec.method, spec.options, known.get("classifier")) if spec else None
        require_kinds(bases, self.classifier, looks=options.appearance is not None)
        self.appearance = Appearance() if options.appearance else None
        self.reader = SegmentReader(
            bases,
            build_segmenter(options.segments, options.frame),
            options.statistics,
            scores=options.detector_scores,
            unsmoothed=options.unsmoothed,
            looks=None if options.appearance is None else options.appearance.share,
        )
        self.final = unfitted(options)
        if known.get("segments"):
            self._declare(len(known["segments"]))
        self.levels = Levels(len(bases), "moments")
        self.register_buffer("usual", torch.zeros(2, 1))  # (2, F)

    def needs(self) -> Needs:
        """See `Detector.needs`; the tuning pictures show the forest what good pictures look like."""
        options = self.options
        required = options.defects in ("real", "both") or self.classifier is not None
        own = (
            f"segments of kind {options.segments.kind} lie in whole pictures"
            if options.segments.placed
            else ""
        )
        costs = [cost for base in self.bases if (cost := base.needs().cost) is not None]
        return Needs(
            normal=3,
            tuning=FEWEST,
            defective=FEWEST,
            natural=natural_of([*self.bases, self.classifier]),
            optional=frozenset() if required else frozenset({"defective"}),
            tuning_share=0.5,  # section 5.1: 1000 of VAD's 2000 good pictures
            instead={"tuning": "raise it", "defective": "set options.defects=synthetic"},
            cost=(lambda pictures: in_turn([cost(pictures) for cost in costs])) if costs else None,
            whole=next(filter(None, (own, *(base.needs().whole for base in self.bases))), ""),
        )

    @property
    def bases(self) -> list[Detector]:
        """The detectors whose maps are read, K of them."""
        return [base for base in self.reader.bases if isinstance(base, Detector)]

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Train the detectors on `data.normal`; grow the forest on `data.tuning` and `data.defective`.

        Raises:
            DataError: what a detector or the segmenter refuses.
        """
        for index, base in enumerate(self.bases):
            learnt = data.for_detector(self.options.scaled if base.needs().tuning else 0.0)
            self.reader.bases[index] = fit_once(base, learnt, run, watch)
        table = self.collect(data.unseen(), run, watch)
        found = self.settle(table, run.seed)
        if said := undivided(self.final, table):
            watch.say(said)
        return found

    def collect(self, unseen: Unseen, run: Run, watch: Watch = UNWATCHED) -> Table:
        """Features and truth of the pictures that the forest learns from, by detectors that are trained.

        Fits the segmenter and trains the classifier; the maps' levels are measured on the way. The good
        pictures come first, then the defective ones, real before synthetic.

        Raises:
            DataError: as `learn`.
            OptionError: ignored components beside a classifier.
        """
        segmenter, options = self.reader.segmenter, self.options
        segmenter.fit(unseen.learnt if len(unseen.learnt) else unseen.normal, run, watch, unseen.parts)
        if segmenter.ignored and self.classifier is not None:
            raise contradiction(
                NAME, "no classifier where components are ignored, for it sees whole pictures"
            )
        self._check_segments()
        self.reader.prepare()
        table, moments = read_table(self.reader, unseen.normal, run, watch)
        self.levels.take(moments)
        real = None
        if unseen.defective is not None and options.defects != "synthetic":
            real, _ = read_table(self.reader, unseen.defective, run, watch)
            table = table.joined(real)
        if real is None or options.defects == "both":
            made, _ = read_table(self.reader, unseen.normal, run, watch, synthetic=True)
            self._compare(made, unseen, real, run, watch)
            table = table.joined(made)
        if self.classifier is not None:
            self.classifier, scores = held_out_scores(
                self.classifier, options.classifier_folds, unseen, run, watch
            )
            table = table.with_column(scores)
        return table

    def settle(self, table: Table, seed: int) -> Learnt:
        """Learn the final classifier from the table's rows, and the usual range of each feature."""
        if self.appearance is not None:
            table, seen = with_appearance(table, self.options, seed)
            self.appearance.take(seen)
        made = fit(self.final, table, self.options, seed)
        good = table.features[~table.defective]
        self.usual = torch.from_numpy(np.quantile(good, USUAL, axis=0).astype(np.float32))  # (2, F)
        self.eval()
        count, names = self.reader.segmenter.count, self.reader.segmenter.names
        self._declare(count)
        facts: dict[str, Any] = {
            "segments": list(names),
            "bases": [dict(base.learnt.facts) for base in self.bases],
            "classifier": dict(self.classifier.learnt.facts) if self.classifier is not None else {},
        }
        if count > 1:  # drawings write a number into each segment that has no other name
            marks = [str(index) if name == f"segment {index}" else "" for index, name in enumerate(names)]
            facts["marks"] = marks
        files: dict[str, bytes | Callable[[Path], None]] = {**made}
        labels = self.reader.static_labels()
        if labels is not None and count > 1:
            drawn = labels.cpu().numpy().astype(np.uint8)
            files[SEGMENTS] = lambda path: write_segment_map(path, drawn)
        return Learnt(facts=facts, files=files)

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; score is the final classifier's margin, 0 where it cannot tell."""
        del scalars
        return self._judged(pixels, self.reader.segmenter(pixels))

    def answer(self, pixels: Tensor, samples: Sequence[Sample], **scalars: Tensor) -> dict[str, Tensor]:
        """`forward` of pictures whose files are known: the segmenter may have label maps of their own."""
        del scalars
        return self._judged(pixels, self.reader.segmenter.labelled(pixels, samples))

    def hold(self, outputs: Mapping[str, NDArray[Any]], engine: str) -> None:
        """See `HoldsEngines`: scores are those of XGBoost's own forest on the engine's features."""
        ubj = self.learnt.files.get(FOREST)
        if isinstance(ubj, bytes):
            require_agreement(load(ubj), outputs["features"], outputs["score"], f"graph in {engine}")

    def stages(self) -> tuple[Stage, ...]:
        """See `Detector.stages`: segments must be found in pixels alone."""
        self.reader.segmenter.check_exportable()
        return super().stages()

    def _judged(self, pixels: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """All outputs of pictures with labels (N, H, W)."""
        maps, scores, looks = self.reader.read(pixels, labels)
        features = self.reader.features(maps, scores, labels)
        if self.classifier is not None:
            features = torch.cat([features, self.classifier(pixels)["score"].unsqueeze(1)], 1)
        if self.appearance is not None:
            features = torch.cat([features, self.appearance(looks).unsqueeze(1)], 1)
        score, contributions = self.final(features)
        low, high = (self.usual[row].expand_as(features) for row in (0, 1))
        heatmaps = maps[:, : len(self.reader.bases)]
        return {
            "score": score,
            "heatmap": self.levels(heatmaps).mean(1) if len(self.reader.bases) > 1 else maps[:, 0],
            "segments": labels.to(torch.uint8),  # at most 64
            "features": features,
            "contributions": contributions,
            "usual_low": low,
            "usual_high": high,
        }

    def _declare(self, segments: int) -> None:
        """Name the features of so many segments in the outputs."""
        beside = {"the classifier/score": self.classifier, LIKENESS: self.appearance}
        own = (name for name, made in beside.items() if made is not None)
        names = (*self.reader.feature_names(segments), *own)
        self.outputs = outputs_of(names, steps=self.options.logistic is None)

    def _check_segments(self) -> None:
        """Refuse segments that no good picture shows; where no ground can be told, the segmenter says so.

        Parts may hide what lies below them, and the segmenter sees to the parts.
        """
        absent = self.reader.segmenter.absent
        if absent and self.options.segments.kind not in ("object", "overlaid"):
            raise DataError(
                f"segment {absent[0]}",
                expected="pixels of it in some good picture",
                got="none in any",
                fix="Correct the segment map, or ask for fewer segments.",
            )

    def _compare(self, made: Table, unseen: Unseen, real: Table | None, run: Run, watch: Watch) -> None:
        """Say where a detector sees synthetic defects quite otherwise than real ones (table 2)."""
        if unseen.defective is None:
            return
        if real is None:
            real, _ = read_table(self.reader, unseen.defective, run, watch)
        count, statistics = self.reader.segmenter.count, len(self.options.statistics)
        for index, base in enumerate(self.bases):
            first = index * count * statistics
            heights = [
                table.features[:, first : first + count * statistics : statistics].max(1)
                for table in (made, real)
            ]
            apart = far_apart(heights[0], heights[1])
            if apart > FAR_APART:
                watch.say(
                    f"{base.name} maps synthetic and real defects quite differently ({apart:.0%} apart): "
                    f"what the forest learns from synthetic ones may not hold. Learn from the real ones, "
                    f"options.defects=real, or leave {base.name} out."
                )
