"""Judges the components of pictures: surfaces, outlines and numbers, fused to one score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flawscope.methods.detector import HEATMAP, SCORE
from flawscope.methods.sadsem.layers import ComponentFacts
from flawscope.methods.sadsem.masks import MaskBank, uncut
from flawscope.methods.sadsem.numbers import Numbers
from flawscope.methods.sadsem.options import SADSeMOptions
from flawscope.methods.sadsem.projection import Projection
from flawscope.methods.sadsem.surfaces import Joined, Surfaces
from flawscope.nn.heatmaps import Heatmap
from flawscope.runtime.manifest import OutputSpec

_BATCH = 16
_MOST_TYPICAL = 0.9  # of the largest: tuning pictures that hardly differ do not make a score endless


class Judging(nn.Module):
    """All that good pictures say of their components; filled part by part, exports to ONNX.

    Args:
        options: of the method.
        names: of the L segments.
        components: the J that are judged.
        channels: of layers 1, 2 and 3.
        grids: height and width of their maps.

    Attributes:
        surfaces: None where no component has a cell of any layer.
        masks: None where the options have none.
        numbers: of the segments from 1 on; None where the options have none or there are none.
        top: () largest smoothed peak of all components in tuning pictures; None: peaks are raw.
        typical: (J * kinds,) mean over tuning pictures of each score's largest; None: the fusion has none.
    """

    counted: Tensor
    judged: Tensor
    top: Tensor | None
    typical: Tensor | None

    def __init__(
        self,
        options: SADSeMOptions,
        names: Sequence[str],
        components: Sequence[ComponentFacts],
        channels: Mapping[int, int],
        grids: Mapping[int, tuple[int, int]],
    ) -> None:
        super().__init__()
        self.labels = tuple(one.label for one in components)
        self.projection = Projection(options.size, grids)
        plan = [(one.label, layers) for one in components for layers in compared(one.layers, options)]
        self.surfaces = None
        if plan:
            around, shared = options.neighbourhood, options.shared
            self.surfaces = Surfaces(plan, self.labels, channels, grids, neighbourhood=around, shared=shared)
        self.heatmaps = nn.ModuleDict(
            {
                _key(layers): Heatmap(grids[layers[0]], options.size, options.smoothing)
                for layers in sorted({layers for _, layers in plan})
            }
        )
        self.masks = MaskBank(len(components), options.size, options.masks) if options.masks else None
        others = len(names) - 1
        self.numbers = Numbers(others, options.size, options.counts) if options.counts and others else None
        counted = [float(label in self.labels) for label in range(1, len(names))]
        self.register_buffer("counted", torch.tensor(counted), persistent=False)  # (K,) 1 for judged ones
        self.register_buffer("judged", torch.tensor(self.labels).view(-1, 1, 1), persistent=False)
        self.register_buffer("top", torch.ones(()) if options.peaks == "smoothed" else None)
        self.names, self.cut = tuple(names), options.masks is None or options.masks.cut
        scores = len(components) * len(self._kinds)
        self.register_buffer("typical", torch.zeros(scores) if options.fusion == "excess" else None)

    def outputs(self) -> tuple[OutputSpec, ...]:
        """What `forward` gives."""
        scores = [f"{label}/{kind}" for label in self.labels for kind in self._kinds]
        found = [SCORE.model_copy(update={"parity": "largest"}) if self.numbers else SCORE, HEATMAP]
        found.append(OutputSpec(name="components", kind="label_map", about="component of each pixel"))
        about = "score of each component's surface and outline; 1 is the largest of the tuning pictures"
        found.append(OutputSpec(name="parts", kind="vector", about=about, names=tuple(scores)))
        if self.numbers is not None:
            found.append(OutputSpec(name="largest", kind="vector", about="the largest of these scores"))
            about, names = "number of each component", self.names[1:]
            found.append(OutputSpec(name="counts", kind="vector", about=about, names=names))
        return tuple(found)

    @property
    def _kinds(self) -> tuple[str, ...]:
        return ("surface", "outline") if self.masks is not None else ("surface",)

    def learn_shapes(self, labels: Tensor, held_out: Tensor, tiles: float) -> None:
        """Learn masks and numbers from label maps (n, H, W), usual numbers from held-out ones (m, H, W), too.

        `tiles` is how many of them a picture has.
        """
        if self.numbers is not None:
            self.numbers.learn(labels.long(), held_out.long(), tiles)
        if self.masks is not None:
            self.masks.learn([self._small(part).cpu() for part in torch.split(labels, _BATCH)])

    def teach_shapes(self, labels: Tensor, tiles: float) -> None:
        """Learn masks and numbers from label maps (k, H, W) of further good pictures, too; see above."""
        if self.numbers is not None:
            self.numbers.teach(labels.long(), tiles)
        if self.masks is not None:
            self.masks.teach([self._small(part) for part in torch.split(labels, _BATCH)])

    def scale(self, held_out: Tensor, peaks: Tensor, pictures: Sequence[int]) -> None:
        """Take the bounds of the masks' scores, and what scores are typical, from held-out pictures.

        Args:
            held_out: label maps (m, H, W).
            peaks: of their surfaces, (m, J); smoothed ones as `surfaced` has them.
            pictures: which picture each of the m is of.
        """
        peaks = peaks.to(self.counted)
        if self.top is not None:
            largest = peaks.amax()
            self.top = torch.where(largest > 0, largest, 1.0)
            peaks = peaks / self.top
        parts = [peaks]
        if self.masks is not None:
            found = [self.masks.raw(self._small(part)) for part in torch.split(held_out, _BATCH)]
            tops = torch.cat(found).amax((2, 3))
            self.masks.scale(tops)
            parts.append(tops / self.masks.top)
        if self.typical is not None:
            scores, own = torch.stack(parts, 2).flatten(1), torch.tensor(pictures)  # (m, J * kinds)
            largest = torch.stack([scores[own == one].amax(0) for one in sorted(set(pictures))])
            self.typical = largest.mean(0).clamp_max(_MOST_TYPICAL).to(self.typical)

    def usual(self) -> list[Any]:
        """Fewest and most of each segment from 1 on in good pictures; empty where nobody counts."""
        return [] if self.numbers is None else list(self.numbers.usual.T.tolist())

    def forward(self, labels: Tensor, maps: Mapping[int, Tensor]) -> dict[str, Tensor]:
        """All outputs, of label maps (N, H, W) int64 and maps (N, C, h, w) of layers 1, 2 and 3."""
        found, heat = self.surfaced(labels, maps)
        peaks = [found if self.top is None else found / self.top]
        if self.masks is not None:
            found, outlines = self.masks(self._masks(labels))
            peaks.append(found)
            heat.append(outlines)
        parts = self._raised(torch.stack(peaks, 2).flatten(1))  # (N, J * kinds)
        largest = parts.amax(1, keepdim=True)  # (N, 1)
        heatmap = torch.stack(heat).amax(0) if heat else labels * 0.0  # (N, H, W)
        outputs = {"score": largest.squeeze(1), "heatmap": heatmap, "parts": parts}
        outputs["components"] = labels.to(torch.uint8)
        if self.numbers is not None:
            counts = self.numbers.count(labels)[0]
            outputs |= {"counts": counts, "largest": largest, "score": self.fused(largest, counts)}
        return outputs

    def surfaced(self, labels: Tensor, maps: Mapping[int, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The peak (N, J) of each component's surface, and the heatmaps (N, H, W); see `forward`.

        A smoothed peak is at most the raw one, so that no component scores what lies beside it.
        """
        if self.surfaces is None:
            return labels.flatten(1).amax(1, keepdim=True) * self.judged.flatten() * 0.0, []
        levelled, peaks = self.surfaces(maps, self.projection(labels))
        heat: list[Tensor] = [self.heatmaps[_key(layers)](values) for layers, values in levelled.items()]
        if self.top is not None:
            inside, highest = labels.unsqueeze(1) == self.judged, torch.stack(heat).amax(0).unsqueeze(1)
            smoothed = torch.where(inside, highest, 0.0).flatten(2).amax(2)  # (N, J) of (N, J, H, W)
            peaks = torch.minimum(peaks, smoothed)
        return peaks, heat

    def fused(self, largest: Tensor, counts: Tensor) -> Tensor:
        """Score (N,) of the largest surface and outline scores (N, 1) and of counts (N, K)."""
        score = largest.squeeze(1)
        if self.numbers is None:
            return score
        beyond = self.numbers.fused(counts, self.counted)
        return torch.where(beyond > 0, torch.maximum(score, beyond), score)

    def _raised(self, parts: Tensor) -> Tensor:
        """Scores (N, J * kinds) as they are fused; 1 stays 1."""
        return parts if self.typical is None else (parts - self.typical) / (1 - self.typical)

    def _masks(self, labels: Tensor) -> Tensor:
        """Masks (N, J, H, W) float32 of the judged components, of label maps (N, H, W) int64."""
        masks = (labels.unsqueeze(1) == self.judged).float()
        return masks if self.cut else uncut(masks)

    def _small(self, labels: Tensor) -> Tensor:
        """Small masks (N, J, m, m) of label maps (N, H, W)."""
        assert self.masks is not None  # noqa: S101 - asked for by who has some
        small: Tensor = self.masks.small(self._masks(labels.to(self.counted.device).long()))[0]
        return small


def compared(layers: Joined, options: SADSeMOptions) -> list[Joined]:
    """What a component of such layers has banks for: all of them joined, or each (section 2.3)."""
    return [layers] if options.joined and layers else [(layer,) for layer in layers]


def _key(layers: Joined) -> str:
    return "-".join(map(str, layers))
