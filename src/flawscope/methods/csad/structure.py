"""The branch for structural flaws, beside the components: students as published, or banks of patches.

Both can read the maps of the backbone that the component segmenter reads, so that one pass serves all; banks
may see pictures enlarged, by a pass of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch


class Structure(nn.Module, ABC):
    """Pictures and a backbone's maps in, one map of structural flaws out.

    Attributes:
        heatmap: enlarges a map of `forward` to the picture, (N, H, W); its maximum is the branch's score.
    """

    heatmap: Heatmap

    @abstractmethod
    def learn(self, data: TrainingData, backbone: Backbone, run: Run, watch: Watch) -> list[dict[str, float]]:
        """Learn from `data.normal`, scaled on `data.tuning` where the branch scales at all.

        Args:
            data: pictures at the frame of the branch.
            backbone: the one that the branch was made for, with its weights.
            run: its checkpoints keep unfinished work.
            watch: sees how far it is.

        Returns:
            the losses over the steps.

        Raises:
            OptionError, DataError: what the branch refuses.
            Stopped: the stop signal was set; the same call goes on from there.
        """

    def teach(self, pictures: Pictures, backbone: Backbone, run: Run, watch: Watch) -> None:
        """Take in further good pictures, where the branch can; by default it stays as it is."""

    def maps(self, pixels: Tensor, shared: Mapping[str, Tensor], backbone: Backbone) -> Mapping[str, Tensor]:
        """What `forward` takes: by default `shared`, the maps that the components read, too."""
        del pixels, backbone
        return shared

    @abstractmethod
    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor]) -> Tensor:
        """The map (N, h, w), higher where the picture is less like good ones; exports to ONNX.

        Args:
            pixels: (N, 3, H, W) in [0, 1].
            maps: {layer: (N, C, h, w)}, what `maps` gives of the same pictures.
        """
