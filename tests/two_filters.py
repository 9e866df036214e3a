"""A small detector with a knob: two maps, a fine and a coarse one, mixed by `local_weight`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from flawscope.data.training import TrainingData
from flawscope.methods.detector import Detector, DetectorOptions, Facts, Learnt
from flawscope.methods.registry import BUILT_IN
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.manifest import ScalarSpec
from flawscope.training.recipe import Recipe
from flawscope.training.train import train
from trained import Trained, recipe, write_pictures

NAME = "two_filters"


class Difference(Detector):
    """Squared difference from the mean picture: the smallest method that keeps the contract."""

    name: ClassVar = "difference"
    Options = DetectorOptions
    mean: Tensor

    def __init__(self, options: DetectorOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.register_buffer("mean", torch.zeros(3, *options.size))

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        self.mean = torch.stack([torch.from_numpy(pixels) for pixels in data.normal]).mean(0)
        return Learnt()

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        heatmap = (pixels - self.mean).square().mean(1)
        return {"score": heatmap.flatten(1).amax(1), "heatmap": heatmap}


class TwoFiltersOptions(DetectorOptions):
    """The weight of the fine map where nobody names another."""

    knobs: ClassVar = (
        ScalarSpec(name="local_weight", value=0.5, low=0.0, high=1.0, about="share of the fine map"),
    )

    size: tuple[int, int] = (32, 32)
    local_weight: float = Field(0.25, ge=0, le=1)


class TwoFilters(Difference):
    """Difference of each picture from the mean of the good ones, seen finely and coarsely."""

    name: ClassVar = NAME
    Options = TwoFiltersOptions
    options: TwoFiltersOptions

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        weight = scalars.get("local_weight", self.options.local_weight)
        fine = (pixels - self.mean).square().mean(1)  # (N, H, W)
        coarse = 4 * F.avg_pool2d(fine.unsqueeze(1), 9, 1, 4).squeeze(1)  # (N, H, W)
        heatmap = weight * fine + (1 - weight) * coarse
        return {"score": heatmap.flatten(1).amax(1), "heatmap": heatmap}


class Added(Difference):
    """As another package's entry point `added` would lead to it."""

    name: ClassVar = "added"


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
