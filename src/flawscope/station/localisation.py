"""Pixel metrics of an evaluation, fed picture by picture."""

from __future__ import annotations

import numpy as np

from flawscope.data.masks import defect_areas, union_mask
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import FlawscopeError
from flawscope.metrics import RegionOverlap, Saturation
from flawscope.runtime.prediction import Prediction


class Localisation:
    """Pixel metrics, fed picture by picture at each picture's own resolution."""

    def __init__(self, dataset: Dataset) -> None:
        self._masked = dataset.masked
        self._loco = any(sample.category for sample in dataset)
        self.overlap = RegionOverlap()
        self.defects = {name: RegionOverlap() for name in ("logical", "structural")} if self._loco else {}
        self.unmasked = 0
        self._defective = 0
        self._normal = 0

    @property
    def usable(self) -> bool:
        return self._defective > 0 and self._normal > 0

    def add(self, sample: Sample, prediction: Prediction) -> None:
        heatmap = prediction.heatmap
        if not self._masked or heatmap is None:
            return
        mask = union_mask(sample, *heatmap.shape)
        if sample.defective and not mask.any():
            self.unmasked += 1
            return
        self._defective += int(mask.any())
        self._normal += int(not mask.all())
        self.overlap.update(mask, heatmap)
        for name, overlap in self.defects.items():
            if sample.category == name:
                areas = list(defect_areas(sample, *heatmap.shape))
                limits = [Saturation(pixels) for _, pixels in areas]
                overlap.update_defects(np.stack([area for area, _ in areas]), heatmap, limits)
            elif not sample.defective:
                overlap.update_defects(None, heatmap)

    def metrics(self) -> dict[str, float]:
        if not self.usable:
            return {}
        ranked = self.overlap.ranking()
        found = {
            "pixel_auroc": ranked.auroc,
            "pixel_average_precision": ranked.average_precision,
            "aupro_30": self.overlap.compute(0.3),
            "aupro_05": self.overlap.compute(0.05),
        }
        for name, overlap in self.defects.items():
            try:
                found[f"au_spro_05_{name}"] = overlap.compute(0.05)
            except FlawscopeError:
                continue
        return found
