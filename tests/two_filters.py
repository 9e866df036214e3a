"""A small detector with a knob: two maps, a fine and a coarse one, mixed by `local_weight`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from flawscope.data.training import TrainingData
from flawscope.methods.detector import HEATMAP, SCORE, Detector, DetectorOptions, Scalar
from flawscope.methods.registry import BUILT_IN
from flawscope.nn.run import Run
from flawscope.training.recipe import Recipe
from flawscope.training.train import train
from trained import Trained, recipe, write_pictures

NAME = "two_filters"


class Difference(Detector):
    """Squared difference from the mean picture: the smallest method that keeps the contract."""

    Options = DetectorOptions
    outputs: ClassVar = (SCORE, HEATMAP)
    mean: Tensor

    def __init__(self, options: DetectorOptions) -> None:
        super().__init__(options)
        self.register_buffer("mean", torch.zeros(3, *options.size))

    def fit(self, data: TrainingData, run: Run) -> Self:
        self.check_enough(data)
        self.mean = torch.stack([torch.from_numpy(pixels) for pixels in data.normal]).mean(0)
        return self.eval()

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        heatmap = (pixels - self.mean).square().mean(1)
        return {"score": heatmap.flatten(1).amax(1), "heatmap": heatmap}


class TwoFiltersOptions(DetectorOptions):
    """The weight of the fine map where nobody names another."""

    size: tuple[int, int] = (32, 32)
    local_weight: float = Field(0.25, ge=0, le=1)


class TwoFilters(Difference):
    """Difference of each picture from the mean of the good ones, seen finely and coarsely."""

    Options = TwoFiltersOptions
    scalars: ClassVar = (Scalar("local_weight", 0.5, 0.0, 1.0, "share of the fine map"),)

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        weight = scalars.get("local_weight", self.scalar_values()["local_weight"])
        fine = (pixels - self.mean).square().mean(1)  # (N, H, W)
        coarse = 4 * F.avg_pool2d(fine.unsqueeze(1), 9, 1, 4).squeeze(1)  # (N, H, W)
        heatmap = weight * fine + (1 - weight) * coarse
        return {"score": heatmap.flatten(1).amax(1), "heatmap": heatmap}


def register(patch: pytest.MonkeyPatch) -> None:
    """Make the method known by its name for as long as `patch` holds."""
    patch.setitem(BUILT_IN, NAME, f"{__name__}:TwoFilters")  # type: ignore[arg-type]


def recipe_of(folder: Path, **changes: Any) -> Recipe:
    """A recipe of this method: 20 % false rejects, with top-level keys replaced."""
    return recipe(folder, **({"method": NAME, "options": {}} | changes))


def make(root: Path) -> Trained:
    """Train on 100 good pictures: 20 are set aside for tests, 14 calibrate."""
    pictures = root / "product"
    write_pictures(pictures / "good", 100, side=32)
    write_pictures(pictures / "spot", 2, seed=1, spot=True, side=40)
    folder = root / "model"
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        return Trained(folder, pictures, train(recipe_of(pictures), folder, Run()))
