"""CSAD as a detector: components, how much of each where, and structural flaws, from one pass of a network.

The source is named in this package's docstring. Pictures are divided into components (section 3.2); patch
histograms (section 3.3), counts and words are compared with those of good pictures; a branch for structural
flaws (section 3.4) reads the same network. Each branch's score is brought to the scale of good pictures that
nothing has learnt from, and the scores are added (section 3.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import BundleError
from flawscope.methods.csad.counts import ComponentCounts
from flawscope.methods.csad.histogram import PatchHistogram
from flawscope.methods.csad.options import PRESETS, CSADOptions
from flawscope.methods.csad.structures import build_structure
from flawscope.methods.csad.words import VisualWords
from flawscope.methods.detector import HEATMAP, SCORE, Detector, Facts, Learnt, Needs
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.moments import Levels
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch, batches
from flawscope.runtime.manifest import OutputSpec
from flawscope.segmenters import build_segmenter
from flawscope.segmenters.components.segmenter import Components

FEWEST = 4  # good pictures that histograms are compared with
_BATCH = 8
_TOLERANCE = 1e-3  # of the score, against what its parts say


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the branches say of N pictures: scores (N,) and maps (N, H, W) as they are, further outputs."""

    scores: list[Tensor]
    maps: list[Tensor]
    outputs: dict[str, Tensor]


class CSAD(Detector):
    """Components missing, extra, swapped or misplaced, and structural flaws beside them."""

    name: ClassVar = "csad"
    Options = CSADOptions
    options: CSADOptions
    presets: ClassVar = PRESETS
    explains: ClassVar = "components"
    outputs: tuple[OutputSpec, ...] = (SCORE, HEATMAP)

    def __init__(self, options: CSADOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        options, known = self.options, dict[str, Any](facts or {})
        self.backbone = build_backbone(
            options.backbone, options.layers, strides=options.strides, size=options.size
        )
        self.segmenter = build_segmenter(options.segments, options.frame)
        self.structure = (
            build_structure(options.structure, self.backbone, options.size) if options.structure else None
        )
        self.words = self._fresh_words()
        self.histogram: PatchHistogram | None = None
        self.counts: ComponentCounts | None = None
        self.levels = Levels(len(options.branches), "moments", between=options.trimmed)
        self.map_levels = Levels(len(self._maps), "moments", between=options.trimmed)
        if known:
            grids = [(int(rows), int(columns)) for rows, columns in known["grids"]]
            self._compose(tuple(known["names"]), grids)

    def needs(self) -> Needs:
        """See `Detector.needs`; tuning pictures bring the branches to one scale."""
        structure = self.options.structure
        return Needs(
            normal=FEWEST,
            tuning=max(2, structure.tuning if structure else 0),
            natural=structure.natural if structure else 0,
            instead={"natural": "set structure.penalty=none", "tuning": "raise it"},
        )

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Learn components, then what good pictures show of them; the scales come from `data.tuning`.

        Raises:
            WeightsError: no weights for the backbone.
            DataError: no components to be told from the ground, or none that good pictures share.
            OptionError, Stopped: what a branch raises.
        """
        self.segmenter.fit(data.normal, run, watch, data.parts)
        self.segmenter.check_exportable()
        if self.options.weights == "pretrained":
            load_pretrained(self.backbone)
        self.backbone.to(run.torch_device())
        history: list[dict[str, float]] = list(getattr(self.segmenter, "history", ()))
        if self.structure is not None:
            learnt = self.structure.learn(data, self.backbone, run, watch)
            history = history or learnt
        self.to(run.torch_device()).eval()
        labels = self._labels(data.normal, run, watch, "finding components")
        names, grids = self._named(), list[tuple[int, int]]()
        if self.options.histogram is not None:
            grids = list(self.options.histogram.grids(labels, len(names) - 1))
        self._compose(names, grids)
        self.words = self._fresh_words()
        self.to(run.torch_device()).eval()
        self._compare(labels, data, run, watch)
        facts: dict[str, Any] = {"names": list(names), "grids": [list(grid) for grid in grids]}
        reference = partial(self._check, self.counts) if self.counts is not None else None
        return Learnt(facts=facts, history=history, reference=reference)

    def _named(self) -> tuple[str, ...]:
        """What findings call the classes, the background first."""
        called = self.options.names
        return tuple(called.get(name, name) for name in self.segmenter.names)

    def _fresh_words(self) -> VisualWords | None:
        return VisualWords(self.backbone, self.options.words) if self.options.words else None

    def _compose(self, names: tuple[str, ...], grids: Sequence[tuple[int, int]]) -> None:
        """Make the branches that depend on what was learnt, and declare what comes out."""
        options, classes = self.options, len(names) - 1
        if options.histogram is not None:
            self.histogram = PatchHistogram(classes, options.size, grids, options.histogram)
        if options.counts is not None:
            self.counts = ComponentCounts(classes, options.size, options.counts)
        self.outputs = self._outputs(names)

    def _outputs(self, names: Sequence[str]) -> tuple[OutputSpec, ...]:
        """Score and heatmap, and what explains them; the entries' names."""
        branches, classes = self._smooth, tuple(names[1:])
        found = [SCORE.model_copy(update={"parity": "branches"}) if self.counts else SCORE]
        if self._maps:
            found.append(HEATMAP)
        found.append(OutputSpec(name="components", kind="label_map", about="class of each pixel"))
        if branches:
            about = "score of each branch, in deviations of good pictures"
            found.append(OutputSpec(name="branches", kind="vector", about=about, names=branches))
        if self.histogram is not None:
            found += _with_range("histogram", "share of each class in each cell", self.histogram.names)
        if self.counts is not None:
            found += _with_range("counts", "number of components of each class", classes)
        return tuple(found)

    @property
    def _smooth(self) -> tuple[str, ...]:
        """Branches whose score is no step function."""
        return tuple(name for name in self.options.branches if name != "counts")

    @property
    def _maps(self) -> tuple[str, ...]:
        """Branches that have a map."""
        return tuple(name for name in self.options.branches if name in ("structure", "histogram"))

    def _compare(self, labels: Tensor, data: TrainingData, run: Run, watch: Watch) -> None:
        """Fill the branches from label maps (n, H, W) and pictures; the scales from the tuning pictures."""
        histograms, patches = self._read(data.normal, run, watch, "counting components")
        held_histograms, held_patches = self._read(data.tuning, run, watch, "counting components")
        if self.histogram is not None:
            self.histogram.learn(labels, histograms, held_histograms, run.seed)
        if self.counts is not None:
            held_labels = self._labels(data.tuning, run, watch, "finding components")
            self.counts.learn(labels, held_labels, run.seed)
        if self.words is not None:
            self.words.learn(patches, held_patches, run.seed)
        found = [
            (scores.cpu(), peaks.cpu())
            for pixels in batches(data.tuning, run, watch, "scaling the branches", _BATCH)
            for scores, peaks in [self._raw(pixels)]
        ]
        scores, peaks = (torch.cat(parts) for parts in zip(*found, strict=True))  # (m, B), (m, M)
        self.levels.learn(scores.unbind(1))
        self.map_levels.learn(peaks.unbind(1))

    @torch.no_grad()
    def _labels(self, pictures: Pictures, run: Run, watch: Watch, title: str) -> Tensor:
        """Label maps (n, H, W) uint8."""
        found = [
            self._divided(pixels, self.backbone(pixels))[0].to(torch.uint8).cpu()
            for pixels in batches(pictures, run, watch, title, _BATCH)
        ]
        return torch.cat(found)

    @torch.no_grad()
    def _read(self, pictures: Pictures, run: Run, watch: Watch, title: str) -> tuple[Tensor, Tensor]:
        """Histograms (n, D), and patches (n, C, h, w) of the words, as far as there are such branches."""
        histograms, patches = [], []
        for pixels in batches(pictures, run, watch, title, _BATCH):
            maps = self.backbone(pixels)
            if self.histogram is not None:
                histograms.append(self.histogram.count(self._divided(pixels, maps)[1]).cpu())
            if self.words is not None:
                patches.append(self.words.grid(maps).cpu())
        nothing = torch.empty(0)
        return (torch.cat(histograms) if histograms else nothing), (
            torch.cat(patches) if patches else nothing
        )

    @torch.no_grad()
    def _raw(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, B) of the branches as they are, and the peaks (N, M) of their maps."""
        seen = self._judged(pixels)
        peaks = [maps.flatten(1).amax(1) for maps in seen.maps]
        return torch.stack(seen.scores, 1), torch.stack(peaks, 1) if peaks else pixels.new_zeros(
            len(pixels), 0
        )

    def _divided(self, pixels: Tensor, maps: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Labels (N, H, W) int64, and masks (N, K', H, W) of the classes that count in histograms."""
        if isinstance(self.segmenter, Components):
            logits = self.segmenter.logits(pixels, maps)  # (N, K + 1, H, W)
            labels, shares = logits.argmax(1), torch.softmax(logits * self.options.sharpness, 1)
            counted = 0 if self.options.histogram and self.options.histogram.background else 1
            return labels, shares[:, counted:]
        labels = self.segmenter(pixels)
        return labels, self.histogram.masks(labels) if self.histogram is not None else pixels

    def _judged(self, pixels: Tensor) -> _Judged:
        """What the branches say of pictures (N, 3, H, W)."""
        maps = self.backbone(pixels)
        found, masks = self._divided(pixels, maps)
        scores, drawn, outputs = [], [], {"components": found.to(torch.uint8)}
        if self.structure is not None:
            whole = self.structure.heatmap(self.structure(pixels, maps))  # (N, H, W)
            drawn.append(whole)
            scores.append(whole.flatten(1).amax(1))
        if self.histogram is not None:
            histograms = self.histogram.count(masks)
            outputs |= _ranged("histogram", histograms, self.histogram.range(histograms))
            drawn.append(self.histogram.heatmap(masks, histograms))
            scores.append(self.histogram(histograms))
        if self.counts is not None:
            score, counts, _, _ = self.counts(found)
            outputs |= _ranged("counts", counts, self.counts.range(counts))
            scores.append(score)
        if self.words is not None:
            scores.append(self.words(maps))
        return _Judged(scores, drawn, outputs)

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`."""
        del scalars
        seen = self._judged(pixels)
        scores = self.levels(torch.stack(seen.scores, 1))  # (N, B)
        smooth = [index for index, name in enumerate(self.options.branches) if name != "counts"]
        outputs = {"score": self._fused(scores)} | seen.outputs
        if smooth:
            outputs["branches"] = scores[:, smooth]
        if seen.maps:
            outputs["heatmap"] = self.map_levels(torch.stack(seen.maps, 1)).sum(1)  # (N, H, W)
        return outputs

    def _fused(self, scores: Tensor) -> Tensor:
        """One score (N,) of levelled ones (N, B)."""
        return scores.sum(1) if self.options.fusion == "sum" else scores.amax(1)

    def _check(self, counts: ComponentCounts, outputs: Mapping[str, NDArray[Any]], engine: str) -> None:
        """Hold an engine's scores against what its own branches and counts amount to.

        Raises:
            BundleError: they contradict each other.
        """
        place = self.options.branches.index("counts")
        with torch.inference_mode():
            counted = counts.fused(torch.from_numpy(outputs["counts"]))
        columns = list(torch.from_numpy(outputs["branches"]).unbind(1)) if "branches" in outputs else []
        columns.insert(place, (counted - self.levels.zero[place]) * self.levels.gain[place])
        expected = self._fused(torch.stack(columns, 1)).numpy()
        apart = float(np.abs(expected - outputs["score"]).max())
        if apart > _TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise BundleError(
                f"scores by {engine}",
                expected="what its branches and counts amount to",
                got=f"others, by up to {apart:.3g}",
                fix="Report the method and its options as a bug.",
            )


def _ranged(name: str, values: Tensor, usual: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {name: values, f"{name}_low": usual[0], f"{name}_high": usual[1]}


def _with_range(name: str, about: str, names: tuple[str, ...]) -> list[OutputSpec]:
    """A vector, and from where to where its entries lie in good pictures."""
    return [
        OutputSpec(name=name, kind="vector", about=about, names=names),
        OutputSpec(name=f"{name}_low", kind="vector", about=f"least usual {about}"),
        OutputSpec(name=f"{name}_high", kind="vector", about=f"largest usual {about}"),
    ]
