"""The branches that compare pictures with good ones: histograms, counts, places, shapes, colours, hues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn

from flawscope.methods.csad.cells import Grid
from flawscope.methods.csad.colours import NAMES as COLOUR_NAMES
from flawscope.methods.csad.colours import TOLD, Colours, rows_of
from flawscope.methods.csad.counts import ComponentCounts
from flawscope.methods.csad.figures import Figures
from flawscope.methods.csad.histogram import PatchHistogram
from flawscope.methods.csad.hues import NAMES as HUE_NAMES
from flawscope.methods.csad.hues import Hues
from flawscope.methods.csad.looking import single
from flawscope.methods.csad.options import CSADOptions
from flawscope.methods.csad.places import Places
from flawscope.methods.csad.shapes import NAMES, Shapes
from flawscope.methods.csad.whole import as_wholes
from flawscope.runtime.manifest import OutputSpec

MAPPED = ("structure", "histogram", "places", "shapes", "hues")  # branches that have a map
PEAKS = ("structure", "hues")  # whose score is its map's peak


@dataclass(slots=True)
class Judged:
    """What branches say of N pictures: scores (N,) and maps (N, H, W) as they are, and further outputs."""

    scores: dict[str, Tensor] = field(default_factory=dict)
    maps: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)


@dataclass(slots=True)
class Components:
    """Of n pictures: label maps (n, H, W), histograms (n, D), shares (n, K, h, w) of coarse cells.

    Of their components, of one class each and joined ones, shapes and float16 colours: (n, 2, M, ...) each.
    Float16 hues (n, 3, h, w) of the pictures' spots.
    """

    labels: Tensor
    histograms: Tensor
    places: Tensor
    shapes: Tensor
    colours: Tensor
    hues: Tensor


class Compared(nn.Module):
    """Histograms, counts, places, shapes, colours and hues, as far as the options have them.

    Args:
        options: of the method.
        names: of the classes, the background's first.
        grids: of the histogram.
    """

    def __init__(self, options: CSADOptions, names: Sequence[str], grids: Sequence[Grid]) -> None:
        super().__init__()
        self.names, classes = tuple(names), len(names) - 1
        size, least = options.size, options.least
        self.histogram = (
            PatchHistogram(classes, size, grids, options.histogram, least) if options.histogram else None
        )
        self.counts = ComponentCounts(classes, size, options.counts, least) if options.counts else None
        self.places = Places(classes, size, options.places, least) if options.places else None
        self.shapes = Shapes(classes, size, options.shapes) if options.shapes else None
        self.colours = Colours(classes, options.colours) if options.colours else None
        self.hues = Hues(size, options.hues) if options.hues else None

    def gather(self, labels: Tensor, shares: Tensor, pixels: Tensor) -> Components:
        """What `learn` needs, on the CPU, of label maps (N, H, W), shares (N, K + 1, H, W) and pictures."""
        nothing, ways = torch.empty(0), list[Figures]()
        if self.shapes is not None:
            ways = [*self.shapes.ways(shares)]
            ways[1], labels, shares = self._whole(ways[1], labels, shares)
        colours = [self.colours.described(pixels, way) for way in ways] if self.colours else []
        return Components(
            labels=labels.to(torch.uint8).cpu(),
            histograms=self.histogram.count(self._counted(shares)).cpu() if self.histogram else nothing,
            places=self.places.reduced(shares[:, 1:]).cpu() if self.places else nothing,
            shapes=self.shapes.gather(ways).cpu() if self.shapes else nothing,
            colours=torch.stack(colours, 1).half().cpu() if colours else nothing,
            hues=self.hues.of(pixels).half().cpu() if self.hues else nothing,
        )

    def learn_shapes(self, good: Components, held_out: Components) -> bool:
        """Learn what components look like, before `learn`.

        Returns:
            whether they tell of which class components are: then `gather` gives others than before. Learn of
            both, for those that are in pieces, or touch others, stay as they look.
        """
        if self.shapes is None:
            return False
        self.shapes.learn(good.shapes, held_out.shapes)
        return self.shapes.divides

    def learn(self, good: Components, held_out: Components, seed: int) -> None:
        """Estimate what good pictures show; `held_out` ones, which nothing saw, give the levels."""
        if self.histogram is not None:
            self.histogram.learn(good.labels, good.histograms, held_out.histograms, seed)
        if self.counts is not None:
            self.counts.learn(good.labels, held_out.labels, seed)
        if self.places is not None:
            self.places.learn(good.places, held_out.places, seed)
        if self.colours is not None:
            (rows, most), (others, _) = self._rows(good), self._rows(held_out)
            self.colours.learn(rows, others, most)
        if self.hues is not None:
            self.hues.learn(good.hues, held_out.hues)

    def teach(self, good: Components, held_out: Components | None, seed: int) -> None:
        """Take in further good pictures; `held_out` ones give the levels, where None those of before."""
        if self.histogram is not None:
            held = None if held_out is None else held_out.histograms
            self.histogram.teach(good.labels, good.histograms, held, seed)
        if self.counts is not None:
            self.counts.teach(good.labels, None if held_out is None else held_out.labels, seed)
        if self.places is not None:
            self.places.teach(good.places, None if held_out is None else held_out.places, seed)
        if self.shapes is not None:
            self.shapes.teach(good.shapes, None if held_out is None else held_out.shapes)
        if self.colours is not None:
            rows, most = self._rows(good)
            self.colours.teach(rows, None if held_out is None else self._rows(held_out)[0], most)
        if self.hues is not None:
            self.hues.teach(good.hues, None if held_out is None else held_out.hues)

    def alone(self) -> str:
        """That nearly all good pictures show one component or none, with their number; else nothing."""
        if self.counts is None:
            return ""
        return single(self.counts.fused.seen.sum(1).cpu().numpy())

    def forward(self, labels: Tensor, shares: Tensor, pixels: Tensor) -> Judged:
        """Judge label maps (N, H, W) int64 of pictures (N, 3, H, W).

        Shares (N, K + 1, H, W) tell how far a pixel shows each class.
        """
        found, figures = Judged(), None
        if self.shapes is not None:
            figures, labels, shares = self._whole(self.shapes.figures(shares), labels, shares)
        found.outputs["components"] = labels.to(torch.uint8)
        if self.histogram is not None:
            masks = self._counted(shares)
            histograms = self.histogram.count(masks)
            found.outputs |= _ranged("histogram", histograms, self.histogram.range(histograms))
            found.maps["histogram"] = self.histogram.heatmap(masks, histograms)
            found.scores["histogram"] = self.histogram(histograms)
        if self.counts is not None:
            found.scores["counts"], counts, _, _ = self.counts(labels)
            found.outputs |= _ranged("counts", counts, self.counts.range(counts))
        if self.places is not None:
            cells = self.places.reduced(shares[:, 1:])
            found.scores["places"], elsewhere = self.places(cells)
            found.outputs |= _ranged("elsewhere", elsewhere, self.places.range(elsewhere))
            found.outputs["strays"], found.outputs["usual"] = self.places.cells(cells)
            found.maps["places"] = self.places.heatmap(shares[:, 1:], elsewhere)
        if self.shapes is not None and figures is not None:
            shapes = self.shapes(figures)
            found.scores["shapes"], found.maps["shapes"] = shapes.scores, shapes.maps
            found.outputs |= _ranged("shapes", shapes.told, (shapes.low, shapes.high))
            found.outputs["odd"] = shapes.odd
            if self.colours is not None:
                self._look(found, figures, pixels, self.colours, self.shapes)
        if self.hues is not None:
            hues = self.hues(pixels)
            found.maps["hues"], found.outputs["tinted"] = hues.maps, hues.tinted
            found.outputs |= _ranged("hues", hues.told, (hues.low, hues.high))
        return found

    def _whole(self, found: Figures, labels: Tensor, shares: Tensor) -> tuple[Figures, Tensor, Tensor]:
        """Joined components, label maps and shares as they count, see `as_wholes`."""
        if self.shapes is None or not self.shapes.divides:
            return found, labels, shares
        found, shares = as_wholes(self.shapes, found, shares)
        return found, shares.argmax(1), shares

    def _look(
        self, found: Judged, figures: Figures, pixels: Tensor, colours: Colours, shapes: Shapes
    ) -> None:
        """Add what the colours of components say."""
        seen = colours(pixels, figures, shapes.judged(figures.areas, figures.kinds))
        found.scores["colours"] = seen.scores
        found.outputs |= _ranged("colours", seen.told, (seen.low, seen.high))
        ranks = torch.arange(1, TOLD + 1, device=pixels.device).float().expand_as(seen.order)
        unlike = figures.spread(figures.places.gather(1, seen.order), ranks)
        found.outputs["unlike"] = unlike.squeeze(1).to(torch.uint8)

    def _rows(self, components: Components) -> tuple[Tensor, int]:
        """Rows of `Colours.learn`, of the components that `shapes` has chosen, and its `most`."""
        shapes = cast("Shapes", self.shapes)
        way = int(len(shapes.hole) > 0)
        areas, kinds = components.shapes[:, way, :, :2].to(shapes.usual).unbind(2)  # (n, M) each
        kinds = kinds.long().clamp_min(1)
        judged = shapes.judged(areas, kinds) * (areas > 0)
        rows = rows_of(components.colours[:, way], kinds.cpu(), judged.cpu())
        return rows, 1 + max((judged > 0.5).nonzero()[:, 1].tolist(), default=-1)

    def outputs(self) -> list[OutputSpec]:
        """What `forward` gives beside scores and maps."""
        found = []
        classes = self.names[1:]
        if self.histogram is not None:
            found += _with_range("histogram", "share of each class in each cell", self.histogram.names)
        if self.counts is not None:
            found += _with_range("counts", "number of components of each class", classes)
        if self.places is not None:
            about = "share of the picture that each class takes where good pictures never show it"
            found += _with_range("elsewhere", about, classes)
            about = "class that lies in a cell where good pictures never show it, 0 for none"
            found.append(OutputSpec(name="strays", kind="label_map", about=about))
            about = "class that good pictures show there"
            found.append(OutputSpec(name="usual", kind="label_map", about=about))
        if self.shapes is not None:
            about = "shape of each of the most unusual components, sizes in units of good ones'"
            found += _with_range("shapes", about, NAMES)
            about = "which of the most unusual components it is of, from 1 on, 0 for none"
            found.append(OutputSpec(name="odd", kind="label_map", about=about))
        if self.colours is not None:
            about = "colours of each of the components most unlike good ones, in units of those"
            found += _with_range("colours", about, COLOUR_NAMES)
            about = "which of the components most unlike good ones it is of, from 1 on, 0 for none"
            found.append(OutputSpec(name="unlike", kind="label_map", about=about))
        if self.hues is not None:
            about = "by how many deviations a spot has more of a hue than good pictures near there"
            found += _with_range("hues", about, HUE_NAMES)
            about = "which hue a spot has more of than good pictures, from 1 on, 0 for none"
            found.append(OutputSpec(name="tinted", kind="label_map", about=about))
        return found

    def _counted(self, shares: Tensor) -> Tensor:
        """Of shares (N, K + 1, H, W) those of the classes that count in histograms."""
        if self.histogram is not None and self.histogram.options.background:
            return shares
        return shares[:, 1:]


def joined(parts: Sequence[Components]) -> Components:
    """All of these pictures."""
    return Components(*(torch.cat([getattr(part, name) for part in parts]) for name in Components.__slots__))


def both_ways(one: Components, other: Components) -> Components:
    """The same pictures, divided in two ways, as if they were further ones; their hues are in there once."""
    return joined([one, replace(other, hues=other.hues[:0])])


def _ranged(name: str, values: Tensor, usual: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {name: values, f"{name}_low": usual[0], f"{name}_high": usual[1]}


def _with_range(name: str, about: str, names: tuple[str, ...]) -> list[OutputSpec]:
    """A vector, and from where to where its entries lie in good pictures."""
    return [
        OutputSpec(name=name, kind="vector", about=about, names=names),
        OutputSpec(name=f"{name}_low", kind="vector", about=f"least usual {about}"),
        OutputSpec(name=f"{name}_high", kind="vector", about=f"largest usual {about}"),
    ]
