"""CSAD as a detector: components, how much of each where, and structural flaws, from one pass of a network.

The source is named in this package's docstring. Pictures are divided into components (section 3.2); patch
histograms (section 3.3), counts, places, shapes, colours, hues and words are held against those of good
pictures; a branch for structural flaws (section 3.4) reads the same network. Each branch's score is brought
to the scale of good pictures that nothing has learnt from; their sum counts (section 3.5), or the largest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.methods.agreement import require_agreement
from flawscope.methods.csad.cells import WHOLE, Grid
from flawscope.methods.csad.compared import (
    MAPPED,
    PEAKS,
    Compared,
    Components,
    Judged,
    both_ways,
    joined,
)
from flawscope.methods.csad.cost import expected
from flawscope.methods.csad.dividing import divided, without_ignored, without_ignored_light
from flawscope.methods.csad.looking import nothing_to_compare
from flawscope.methods.csad.options import PRESETS, CSADOptions
from flawscope.methods.csad.structures import build_structure
from flawscope.methods.csad.words import VisualWords
from flawscope.methods.detector import HEATMAP, SCORE, Detector, Facts, Learnt, Needs
from flawscope.methods.registry import contradiction
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.moments import Levels
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch, batches
from flawscope.runtime.manifest import OutputSpec
from flawscope.segmenters import build_segmenter

FEWEST = 4  # good pictures that histograms are compared with
_BATCH = 8
_UNTAUGHT = ("background", "component")


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
        self.levels = self._levels(options.branches)
        self.map_levels = self._levels(self._maps)
        grids = [(int(rows), int(columns)) for rows, columns in known.get("grids", [WHOLE])]
        self._compose(tuple(known.get("names", _UNTAUGHT)), grids)

    def _levels(self, branches: Sequence[str]) -> Levels:
        least = [0.0 if name == "structure" else self.options.least for name in branches]
        return Levels(len(branches), "moments", between=self.options.trimmed, least=least)

    def needs(self) -> Needs:
        """See `Detector.needs`; tuning pictures bring the branches to one scale, probes tell the cost."""
        structure = self.options.structure
        return Needs(
            normal=FEWEST,
            tuning=max(2, structure.tuning if structure else 0),
            moments=structure is None or not structure.tuning,
            natural=structure.natural if structure else 0,
            instead={"natural": "set structure.penalty=none", "tuning": "raise it"},
            whole="CSAD compares the components of whole pictures",
            cost=partial(expected, self.options.size, self.backbone, self.segmenter, self.structure),
        )

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Learn components, then what good pictures show of them; the scales come from `data.tuning`.

        Raises:
            WeightsError: no weights for the backbone.
            DataError: no components to be told from the ground, or none that good pictures share.
            OptionError: ignored components beside words; what a branch raises.
            Stopped: what a branch raises.
        """
        self.segmenter.fit(data.normal, run, watch, data.parts)
        self.segmenter.check_exportable()
        if self.segmenter.ignored and self.words is not None:
            raise contradiction("csad", "no words where components are ignored, for they see whole pictures")
        if self.options.weights == "pretrained":
            load_pretrained(self.backbone)
        self.backbone.to(run.torch_device())
        history: list[dict[str, float]] = list(getattr(self.segmenter, "history", ()))
        if self.structure is not None:
            learnt = self.structure.learn(data, self.backbone, run, watch)
            history = history or learnt
        self.to(run.torch_device()).eval()
        names, grids = self._named(watch), list[Grid]()
        if self.options.histogram is not None:
            known = self.options.histogram.cells != "auto"  # which alone looks at label maps
            labels = torch.empty(0) if known else self._labels(data.normal, run, watch)
            grids = list(self.options.histogram.grids(labels, len(names) - 1))
        self._compose(names, grids)
        self.words = self._fresh_words()
        self.to(run.torch_device()).eval()
        self._compare(data, run, watch)
        facts: dict[str, Any] = {"names": list(names), "grids": [list(grid) for grid in grids]}
        return Learnt(facts=facts, history=history)

    def idle(self) -> str:
        """See `MayBeIdle`: one component by itself cannot be too few, swapped or beside another."""
        return self.compared.alone()

    def unsuited(self, data: TrainingData, run: Run, watch: Watch) -> str:
        """See `LooksFirst`."""
        return nothing_to_compare(data, self.options, run, watch)

    def teach(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """See `Teachable`: what good pictures show is described anew by all of them, the old and the new.

        Components and code book stay, and so do students; banks grow. The branches' scale comes from
        `data.tuning` again, and stays where fewer than two of those are at hand.

        Raises:
            Stopped: what a branch raises.
        """
        if self.structure is not None:
            self.structure.teach(data.normal, self.backbone, run, watch)
        good, patches = self._read(data.normal, run, watch)
        again = len(data.tuning) > 1
        held_out, held_patches = self._read(data.tuning, run, watch) if again else (None, None)
        self.compared.teach(good, held_out, run.seed)
        if self.words is not None:
            self.words.teach(patches, held_patches, run.seed)
        if again:
            self._scale(data.tuning, run, watch)
        return Learnt(facts=self.learnt.facts)

    def _named(self, watch: Watch) -> tuple[str, ...]:
        """What findings call the classes, the background first."""
        called, known = self.options.names, self.segmenter.names
        if unused := sorted(set(called) - set(known)):
            watch.say(f"No class is called {', '.join(unused)} (option names); there are {', '.join(known)}.")
        return tuple(called.get(name, name) for name in known)

    def _fresh_words(self) -> VisualWords | None:
        options = self.options
        return VisualWords(self.backbone, options.words, options.least) if options.words else None

    def _compose(self, names: tuple[str, ...], grids: Sequence[Grid]) -> None:
        """Make the branches that compare such components, and declare what comes out."""
        self.compared = Compared(self.options, names, grids)
        found = [SCORE.model_copy(update={"parity": "branches"}) if self.options.counts else SCORE]
        if self._maps:
            found.append(HEATMAP)
        found.append(OutputSpec(name="components", kind="label_map", about="class of each pixel"))
        if self._smooth:
            about = "score of each branch, in deviations of good pictures"
            found.append(OutputSpec(name="branches", kind="vector", about=about, names=self._smooth))
        self.outputs = (*found, *self.compared.outputs())

    @property
    def _smooth(self) -> tuple[str, ...]:
        """Branches whose score is no step function."""
        return tuple(name for name in self.options.branches if name != "counts")

    @property
    def _maps(self) -> tuple[str, ...]:
        """Branches that have a map."""
        return tuple(name for name in self.options.branches if name in MAPPED)

    def _compare(self, data: TrainingData, run: Run, watch: Watch) -> None:
        """Fill the branches from good pictures; the scales come from the tuning pictures."""
        good, patches = self._read(data.normal, run, watch)
        held_out, held_patches = self._read(data.tuning, run, watch)
        if self.compared.learn_shapes(good, held_out):
            good = both_ways(good, self._read(data.normal, run, watch)[0])
            held_out = self._read(data.tuning, run, watch)[0]
        self.compared.learn(good, held_out, run.seed)
        if self.words is not None:
            self.words.learn(patches, held_patches, run.seed)
        self._scale(data.tuning, run, watch)

    def _scale(self, tuning: Pictures, run: Run, watch: Watch) -> None:
        """Bring the branches, and their maps, to one scale."""
        found = [
            (scores.cpu(), peaks.cpu())
            for pixels in batches(tuning, run, watch, "scaling the branches", _BATCH)
            for scores, peaks in [self._raw(pixels)]
        ]
        scores, peaks = (torch.cat(parts) for parts in zip(*found, strict=True))  # (m, B), (m, M)
        self.levels.learn(scores.unbind(1))
        self.map_levels.learn(peaks.unbind(1))

    @torch.no_grad()
    def _labels(self, pictures: Pictures, run: Run, watch: Watch) -> Tensor:
        """Label maps (n, H, W) uint8."""
        found = [
            without_ignored(self.segmenter, *self._divided(pixels, self.backbone(pixels)))[0]
            .to(torch.uint8)
            .cpu()
            for pixels in batches(pictures, run, watch, "finding components", _BATCH)
        ]
        return torch.cat(found)

    @torch.no_grad()
    def _read(self, pictures: Pictures, run: Run, watch: Watch) -> tuple[Components, Tensor]:
        """Components, and the words' patches (n, C, h, w) where there is such a branch."""
        components, patches = [], [torch.empty(0)]
        for pixels in batches(pictures, run, watch, "counting components", _BATCH):
            maps = self.backbone(pixels)
            labels, shares = self._divided(pixels, maps)
            light = without_ignored_light(self.segmenter, labels, pixels)
            counted = without_ignored(self.segmenter, labels, shares)
            components.append(self.compared.gather(*counted, light))
            if self.words is not None:
                patches.append(self.words.grid(maps).cpu())
        return joined(components), torch.cat(patches[1:] or patches)

    @torch.no_grad()
    def _raw(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, B) of the branches as they are, and the peaks (N, M) of their maps."""
        seen = self._judged(pixels)
        scores = torch.stack([seen.scores[name] for name in self.options.branches], 1)
        peaks = [seen.maps[name].flatten(1).amax(1) for name in self._maps]
        return scores, torch.stack(peaks, 1) if peaks else scores[:, :0]

    def _divided(self, pixels: Tensor, maps: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        return divided(self.segmenter, pixels, maps, self.options.sharpness)

    def _judged(self, pixels: Tensor) -> Judged:
        """What the branches say of pictures (N, 3, H, W)."""
        maps = self.backbone(pixels)
        labels, shares = self._divided(pixels, maps)
        counted, shares = without_ignored(self.segmenter, labels, shares)
        light = without_ignored_light(self.segmenter, labels, pixels)
        found: Judged = self.compared(counted, shares, light)
        if self.segmenter.ignored:
            shown = found.outputs["components"]
            found.outputs["components"] = torch.where(counted == labels, shown, labels.to(torch.uint8))
        if self.structure is not None:
            own = self.structure.maps(pixels, maps, self.backbone)
            found.maps["structure"] = self.structure.heatmap(self.structure(pixels, own))  # (N, H, W)
        for name, one in found.maps.items():
            found.maps[name] = self.segmenter.silence(one, labels)
            if name in PEAKS:
                found.scores[name] = found.maps[name].flatten(1).amax(1)
        if self.words is not None:
            found.scores["words"] = self.words(maps)
        return found

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`."""
        del scalars
        seen, branches = self._judged(pixels), self.options.branches
        scores = self.levels(torch.stack([seen.scores[name] for name in branches], 1))  # (N, B)
        outputs = {"score": self._fused(scores)} | seen.outputs
        if self._smooth:
            outputs["branches"] = scores[:, [branches.index(name) for name in self._smooth]]
        if self._maps:
            maps = torch.stack([seen.maps[name] for name in self._maps], 1)  # (N, M, H, W)
            outputs["heatmap"] = self.map_levels(maps).sum(1)
        return outputs

    def _fused(self, scores: Tensor) -> Tensor:
        """One score (N,) of levelled ones (N, B)."""
        return scores.sum(1) if self.options.fusion == "sum" else scores.amax(1)

    def hold(self, outputs: Mapping[str, NDArray[Any]], engine: str) -> None:
        """See `HoldsEngines`: scores are what the engine's own branches and counts amount to."""
        counts = self.compared.counts
        if counts is None:
            return
        place = self.options.branches.index("counts")
        with torch.inference_mode():
            counted = counts.fused(torch.from_numpy(outputs["counts"]).to(self.levels.zero.device))
        columns = list(torch.from_numpy(outputs["branches"]).unbind(1)) if "branches" in outputs else []
        columns.insert(place, ((counted - self.levels.zero[place]) * self.levels.gain[place]).cpu())
        expected = self._fused(torch.stack(columns, 1)).numpy()
        require_agreement(expected, outputs["score"], engine, "what its branches and counts amount to")
