"""Three banks of good patches in place of CSAD's students: this package's joined banks as a branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.methods.csad.structure import Structure
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.joining.banks import JoinedPatches, JoinedPatchesOptions
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch


class PatchesOptions(JoinedPatchesOptions):
    """Options of the banks.

    Attributes:
        natural, tuning: the fewest natural and tuning pictures that they need.
    """

    kind: Literal["patches"] = "patches"

    @property
    def natural(self) -> int:
        return 0

    @property
    def tuning(self) -> int:
        return 0


class Patches(Structure):
    """See `flawscope.nn.joining.banks`; levels come from good pictures left out of the banks.

    Attributes:
        banks: whose two halves, features and search, may go into graphs of their own.
    """

    def __init__(self, options: PatchesOptions, backbone: Backbone, size: tuple[int, int]) -> None:
        super().__init__()
        self.options = options
        self.banks = JoinedPatches(options, backbone, size)
        self.heatmap = self.banks.heatmap

    def learn(self, data: TrainingData, backbone: Backbone, run: Run, watch: Watch) -> list[dict[str, float]]:
        """See `JoinedPatches.learn`."""
        return self.banks.learn(data.normal, backbone, run, watch)

    def teach(self, pictures: Pictures, backbone: Backbone, run: Run, watch: Watch) -> None:
        """See `JoinedPatches.teach`."""
        self.banks.teach(pictures, backbone, run, watch)

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor]) -> Tensor:
        """See the base's; in deviations of the peaks of good pictures."""
        del pixels
        joined: Tensor = self.banks(maps)
        return joined
