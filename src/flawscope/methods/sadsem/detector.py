"""SADSeM as a detector: surface, outline and number of each component that a segmenter finds, in one score.

The source is named in this package's docstring. Where the paper leaves something open, docs/methods.md
tells what holds here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.tiles import sources
from flawscope.data.training import TrainingData
from flawscope.errors import DataError
from flawscope.methods.agreement import require_agreement
from flawscope.methods.csad.cost import expected
from flawscope.methods.detector import HEATMAP, SCORE, Detector, Facts, Learnt, Needs
from flawscope.methods.sadsem.chart import plane_chart
from flawscope.methods.sadsem.judging import Judging
from flawscope.methods.sadsem.layers import ComponentFacts
from flawscope.methods.sadsem.learning import Seen, describe, fill_banks, grow_banks, look
from flawscope.methods.sadsem.network import FeatureNetwork
from flawscope.methods.sadsem.options import PRESETS, SADSeMOptions
from flawscope.nn.banks.preflight import Preflight, estimate, together
from flawscope.nn.run import FEATURE_MEMORY, Run
from flawscope.nn.watch import Watch, batches
from flawscope.runtime.explain.judged_components import READER
from flawscope.runtime.manifest import OutputSpec
from flawscope.segmenters.segmenter import silenced

FEWEST = 2  # good pictures
CHART = "layers.svg"
_BATCH = 8
_UNTAUGHT = {
    "names": ["background", "component"],
    "components": [ComponentFacts(1, "component", layers=(1,)).plain()],
    "ignored": [],
}


class SADSeM(Detector):
    """Components of a segmenter, each judged by its surface, its outline and its number."""

    name: ClassVar = "sadsem"
    Options = SADSeMOptions
    options: SADSeMOptions
    presets: ClassVar = PRESETS
    explains: ClassVar = READER
    outputs: tuple[OutputSpec, ...] = (SCORE, HEATMAP)

    def __init__(self, options: SADSeMOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        known = {**_UNTAUGHT, **dict[str, Any](facts or {})}
        self.network = FeatureNetwork(self.options, annotated=bool(known.get("annotated")))
        self.in_force = self.options.in_force(known.get("tiles", 1))
        self.ignored: tuple[int, ...] = tuple(known["ignored"])
        components = [ComponentFacts.of(values) for values in known["components"]]
        self._compose(tuple(known["names"]), components)

    def needs(self) -> Needs:
        """See `Detector.needs`; tuning pictures give the bounds of each component's scores.

        Crops need not lie alike (section 3.4), but a map of the whole picture has no segments of them.
        """
        segments, whole, parts = self.options.segments, "", 0
        if segments is not None:
            parts = int(segments.kind == "instances")
            whole = f"segments of kind {segments.kind} lie in whole pictures" if segments.placed else ""
        return Needs(normal=FEWEST, tuning=2, parts=parts, cost=self._cost, whole=whole)

    def _cost(self, pictures: int) -> Preflight:
        """Of the segmenter, and of banks as if one component of each layer filled the pictures."""
        network, options = self.network, self.options
        whole = expected(options.size, network.network, network.segmenter, None, pictures)
        banks = []
        for layers in [(2, 3)] if options.joined else [(1,), (2,)]:
            patches = pictures * network.grids[layers[0]][0] * network.grids[layers[0]][1]
            count = max(1, int(patches * options.coreset))
            channels = sum(network.channels[layer] for layer in layers)
            stored = 4 * patches * channels <= FEATURE_MEMORY
            banks.append(
                estimate(
                    patches,
                    channels,
                    min(count, options.bank_limit or count),
                    projection=options.projection,
                    stored=stored,
                )
            )
        both = together(banks)
        return replace(whole, seconds=whole.seconds + both.seconds, bytes=whole.bytes + both.bytes)

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Learn components, choose their layers, fill their banks; the bounds come from `data.tuning`.

        Raises:
            WeightsError: no weights for a network.
            DataError: no component to judge.
            OptionError, Stopped: what segmenter and selection raise.
        """
        annotated, device = data.parts is not None, run.torch_device()
        self.in_force = self.options.in_force(_tiles(data.normal))
        self.network = FeatureNetwork(self.options, annotated=annotated).to(device).eval()
        segmenter = self.network.segmenter.fit(data.normal, run, watch, data.parts)
        segmenter.check_exportable()
        self.network.load()
        self.network.to(device).eval()
        names = self._named(watch)
        self.ignored = self._left_out(names)
        judged = self._judged(names)
        self._compose(names, [ComponentFacts(label, names[label]) for label in judged])
        seen = look(
            self.network,
            self.judging.projection.to(device),
            judged,
            pictures=data.normal,
            run=run,
            watch=watch,
        )
        components = describe(seen, judged, names, self.in_force, run.seed)
        for one in components:
            watch.say(f"{str(one)[:1].upper()}{str(one)[1:]}.")
        self._compose(names, components)
        self.to(device).eval()
        self._fill(seen, data, run, watch)
        facts: Facts = {
            "names": list(names),
            "components": [one.plain() for one in components],
            "usual": self.judging.usual(),
            "tiles": _tiles(data.normal),
            "annotated": annotated,
            "ignored": list(self.ignored),
            "segmenter": dict(getattr(segmenter, "facts", {})),
        }
        return self._learnt(facts, components, list(getattr(segmenter, "history", ())))

    def _learnt(
        self, facts: Facts, components: Sequence[ComponentFacts], history: Sequence[dict[str, float]] = ()
    ) -> Learnt:
        chart = plane_chart(components, self.in_force.choice).encode()
        return Learnt(facts, history, {CHART: chart})

    @torch.no_grad()
    def teach(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """See `Teachable`: banks and masks grow, the usual numbers are those of all; components stay.

        So do the layers by which they are judged. Bounds come from `data.tuning` again, where it has any.

        Raises:
            Stopped: what the banks raise.
        """
        judging, options, facts = self.judging, self.in_force, dict[str, Any](self.learnt.facts)
        labels = grow_banks(
            judging.surfaces,
            self.network,
            judging.projection,
            pictures=data.normal,
            options=options,
            run=run,
            watch=watch,
        )
        judging.teach_shapes(labels, facts.get("tiles", 1.0))
        if len(set(sources(data.tuning))) > 1:
            judging.scale(*self._scaled(data.tuning, run, watch), sources(data.tuning))
        components = [ComponentFacts.of(values) for values in facts["components"]]
        return self._learnt({**facts, "usual": judging.usual()}, components)

    def _named(self, watch: Watch) -> tuple[str, ...]:
        """What findings call the segments; names in the options that none has are told."""
        known, called = self.network.segmenter.names, self.options.names
        for option, wanted in (("names", called), ("ignore", self.options.ignore)):
            if unused := sorted(set(wanted) - set(known) - set(called.values())):
                listed = ", ".join(known)
                watch.say(f"No segment is called {', '.join(unused)} (option {option}); there are {listed}.")
        return tuple(called.get(name, name) for name in known)

    def _left_out(self, names: Sequence[str]) -> tuple[int, ...]:
        """Labels of the segments that the annotations or the options ignore."""
        segmenter, ignore = self.network.segmenter, set(self.options.ignore)
        both = zip(names, segmenter.names, strict=True)
        named = {label for label, pair in enumerate(both) if ignore & set(pair)}
        return tuple(sorted(named | set(segmenter.ignored)))

    def _judged(self, names: Sequence[str]) -> list[int]:
        """Labels of the segments that are judged.

        Raises:
            DataError: none is left.
        """
        background = self.options.judges_background(self.network.segmenter.options.kind)
        out = {*self.ignored} if background else {*self.ignored, 0}
        judged = [label for label in range(len(names)) if label not in out]
        if not judged:
            raise DataError(
                "components of sadsem",
                expected="at least one to judge",
                got=f"none among {', '.join(names)}",
                fix="Set background=true, ignore fewer, or choose other segments.",
            )
        return judged

    def _compose(self, names: Sequence[str], components: Sequence[ComponentFacts]) -> None:
        """Make what judges such components, and declare what comes out."""
        network = self.network
        self.judging = Judging(self.in_force, names, components, network.channels, network.grids)
        self.outputs = self.judging.outputs()

    @torch.no_grad()
    def _fill(self, seen: Seen, data: TrainingData, run: Run, watch: Watch) -> None:
        """Fill the banks from good pictures, and take the bounds from the tuning pictures."""
        judging = self.judging
        if judging.surfaces is not None:
            fill_banks(
                judging.surfaces,
                self.network,
                judging.projection,
                seen,
                pictures=data.normal,
                options=self.in_force,
                run=run,
                watch=watch,
            )
            judging.surfaces.to(run.torch_device())
        held_out, peaks = self._scaled(data.tuning, run, watch)
        judging.learn_shapes(seen.labels, held_out, _tiles(data.normal))
        judging.scale(held_out, peaks, sources(data.tuning))

    def _scaled(self, tuning: Pictures, run: Run, watch: Watch) -> tuple[Tensor, Tensor]:
        """Take the surfaces' bounds from tuning pictures; their label maps (m, H, W) and peaks (m, J)."""
        judging, held_out, extremes = self.judging, list[Tensor](), list[Tensor]()
        for pixels in batches(tuning, run, watch, "scaling the scores", _BATCH):
            labels, maps = self.network(pixels)
            held_out.append(labels.to(torch.uint8).cpu())
            if judging.surfaces is not None:
                cells = judging.projection(labels)
                extremes.append(judging.surfaces.extremes(maps, cells).cpu())
        if judging.surfaces is None:
            return torch.cat(held_out), torch.zeros(len(tuning), len(judging.labels))
        judging.surfaces.scale(torch.cat(extremes))
        labels = torch.cat(held_out)
        if judging.top is None:
            return labels, judging.surfaces.peaks(torch.cat(extremes))
        again, peaks = batches(tuning, run, watch, "smoothing the scores", _BATCH), list[Tensor]()
        for shown, pixels in zip(torch.split(labels, _BATCH), again, strict=True):
            divided = shown.to(run.torch_device()).long()
            peaks.append(judging.surfaced(divided, self.network.maps(pixels))[0].cpu())
        return labels, torch.cat(peaks)

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`."""
        del scalars
        labels, maps = self.network(pixels)
        outputs: dict[str, Tensor] = self.judging(labels, maps)
        return {**outputs, "heatmap": silenced(outputs["heatmap"], labels, self.ignored)}

    def hold(self, outputs: Mapping[str, NDArray[Any]], engine: str) -> None:
        """See `HoldsEngines`: scores are what the engine's own parts and counts amount to."""
        if self.judging.numbers is None:
            return
        device = self.judging.counted.device
        parts = [torch.from_numpy(outputs[name]).to(device) for name in ("largest", "counts")]
        with torch.inference_mode():
            wanted = self.judging.fused(*parts).cpu().numpy()
        require_agreement(wanted, outputs["score"], engine, "what its parts and counts amount to")


def _tiles(pictures: Pictures) -> float:
    """How many tiles each picture has, on average, however few of them are drawn to learn from."""
    grids = {one.path: 1 if one.tile is None else len(one.tile.grid) for one in pictures.samples}
    return fmean(grids.values())
