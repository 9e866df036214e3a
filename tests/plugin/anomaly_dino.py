"""AnomalyDINO: distance to the nearest token of good pictures.

Damm, Laszkiewicz, Lederer, Fischer: AnomalyDINO, Boosting Patch-based Few-shot Anomaly Detection with DINOv2.
WACV 2025. Without the paper's masks and rotated pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from flawscope.data.training import TrainingData
from flawscope.methods.detector import BackboneOptions, Detector, Facts, Learnt, Needs, Side
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.features import PatchGrid, map_batches, patch_rows
from flawscope.nn.banks.neighbours import MemoryBank
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.explain import Explanation
from flawscope.runtime.explain.areas import from_distances
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Prediction

TOP_SHARE = 0.01


class AnomalyDINOOptions(BackboneOptions):
    """Options of AnomalyDINO; defaults are the paper's."""

    size: tuple[Side, Side] = Field((448, 448), description="input height and width in pixels (448)")
    backbone: str = Field(
        "vit_small_patch14_dinov2.lvd142m", description="network of the tokens (DINOv2, ViT-S)"
    )
    layers: tuple[str, ...] | None = Field(("blocks.11",), description="its blocks (the last)")
    smoothing: float = Field(4.0, ge=0, le=64, description="σ in pixels of the Gaussian over the heatmap (4)")


class AnomalyDINO(Detector):
    """Distance to the nearest token of good pictures; the score is the mean of the worst hundredth."""

    name: ClassVar = "anomaly_dino"
    Options = AnomalyDINOOptions
    options: AnomalyDINOOptions
    presets: ClassVar = {
        "default": {"backbone": "tf_efficientnet_lite0", "layers": ["blocks.2"], "size": [256, 256]}
    }
    explains: ClassVar = "nearest_token"

    def __init__(self, options: AnomalyDINOOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.backbone = build_backbone(options.backbone, options.layers, size=options.size)
        self.grid = PatchGrid(self.backbone)
        self.memory = MemoryBank(torch.zeros(1, self.grid.dim))
        self.heatmap = Heatmap(self.grid.shape, options.size, options.smoothing)

    def needs(self) -> Needs:
        """One good picture."""
        return Needs(normal=1)

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Keep the tokens of all good pictures."""
        if self.options.weights == "pretrained":
            load_pretrained(self.backbone)
        rows = [self._tokens(maps).cpu() for maps in map_batches(self.backbone, data.normal, run, watch)]
        self.memory = MemoryBank(torch.cat(rows))
        return Learnt(facts={"tokens": sum(map(len, rows))})

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; the map holds distances of tokens of length 1."""
        del scalars
        distances, _ = self.memory(self._tokens(self.backbone(pixels)))
        found = distances.reshape(-1, *self.grid.shape)  # (N, h, w)
        count = max(1, round(TOP_SHARE * self.grid.shape[0] * self.grid.shape[1]))
        worst = found.flatten(1).topk(count, dim=1).values  # (N, count)
        return {"score": worst.mean(1), "heatmap": self.heatmap(found)}

    def _tokens(self, maps: Mapping[str, Tensor]) -> Tensor:
        return F.normalize(patch_rows(self.grid(maps)), dim=1)  # (N * h * w, D)


def explain(manifest: Manifest, prediction: Prediction) -> Explanation:
    """Areas as other methods with distances tell them, and how many tokens were compared."""
    areas = from_distances(manifest, prediction)
    compared = f"no nearer match among {manifest.learnt['tokens']} tokens of good pictures"
    told = tuple(replace(finding, text=f"{finding.text}; {compared}") for finding in areas.findings)
    return replace(areas, findings=told)
