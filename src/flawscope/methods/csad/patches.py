"""Three banks of good patches in place of CSAD's students: this package's joined banks as a branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.methods.csad.structure import Structure
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.backbones.enlarged import Enlarged, enlarge, enlarged_size
from flawscope.nn.joining.banks import JoinedPatches, JoinedPatchesOptions
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch


class PatchesOptions(JoinedPatchesOptions):
    """Options of the banks.

    Attributes:
        natural, tuning: the fewest natural and tuning pictures that they need.
    """

    kind: Literal["patches"] = "patches"
    enlarged: float = Field(
        1.0,
        ge=1,
        le=4,
        description="by how much pictures are enlarged for the banks, by a pass of the network of their own; "
        "1 reads what the components read. Cell and smoothing are in pixels of that picture",
    )

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
        self.options, self.size = options, size
        self.seen = enlarged_size(size, options.enlarged)
        smoothing = options.smoothing * size[0] / self.seen[0]
        own = options.model_copy(update={"smoothing": smoothing})
        self.banks = JoinedPatches(own, self.sight(backbone), size)
        self.heatmap = self.banks.heatmap

    def sight(self, backbone: Backbone) -> Backbone:
        """How the network that others read sees pictures for the banks.

        Raises:
            OptionError: it is made for one size alone, and they are enlarged.
        """
        return backbone if self.seen == self.size else Enlarged(backbone, self.size, self.options.enlarged)

    def learn(self, data: TrainingData, backbone: Backbone, run: Run, watch: Watch) -> list[dict[str, float]]:
        """See `JoinedPatches.learn`."""
        return self.banks.learn(data.normal, self.sight(backbone), run, watch)

    def teach(self, pictures: Pictures, backbone: Backbone, run: Run, watch: Watch) -> None:
        """See `JoinedPatches.teach`."""
        self.banks.teach(pictures, self.sight(backbone), run, watch)

    def maps(self, pixels: Tensor, shared: Mapping[str, Tensor], backbone: Backbone) -> Mapping[str, Tensor]:
        """See the base's."""
        return shared if self.seen == self.size else backbone(enlarge(pixels, self.seen))

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor]) -> Tensor:
        """See the base's; in deviations of the peaks of good pictures."""
        del pixels
        joined: Tensor = self.banks(maps)
        return joined
