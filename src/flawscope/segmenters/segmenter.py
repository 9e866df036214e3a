"""What every segmenter keeps: pixels in, one label for each pixel out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from flawscope.data import samples
from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.errors import DataError
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.run import Run, full_float32
from flawscope.nn.watch import UNWATCHED, Watch, batches
from flawscope.runtime.frozen import Frozen
from flawscope.runtime.images import Frame

SPREAD = 64  # pictures, spread over all, that segmenters learn from and measure on
_BATCH = 8


class SegmenterOptions(Frozen):
    """Base of each segmenter's options; `kind` is the segmenter's name in recipes.

    `placed` tells that segments lie where a map of the whole picture has them, so that tiles have none.
    """

    placed: ClassVar[bool] = False

    kind: str


class Segmenter(nn.Module, ABC):
    """Divides pictures into `count` mutually exclusive segments, 0 to count - 1, that cover every pixel.

    All that `fit` learns lies in buffers, so a segmenter of the same options and frame takes it over from a
    state dict, once its buffers have the shapes that the state dict's have.

    An owner that runs the same network on the same pictures anyway saves the second pass: it takes the maps
    at `layers` from its own network, equal to `backbone`, and hands them to `forward`.

    Attributes:
        Options: the options' class.
        static: whether all pictures have one map.
        shares: (L,) share of the pixels that each segment takes in good pictures; 0 for one that none shows.
        ignored: segments that nobody wants judged, such as a printed date. They count for nothing in any
            score: a method leaves their statistics out, and lets `silence` pass over its maps. `learn` sets
            it, and so does what restores a segmenter, for graphs are traced with it.
    """

    Options: ClassVar[type[SegmenterOptions]]
    static: ClassVar[bool] = False
    shares: Tensor

    def __init__(self, options: SegmenterOptions, frame: Frame) -> None:
        super().__init__()
        self.options, self.frame = options, frame
        self.ignored: tuple[int, ...] = ()
        self.register_buffer("shares", torch.zeros(1))

    @property
    def count(self) -> int:
        """Number of segments L; known once fitted or restored."""
        return len(self.shares)

    @property
    def names(self) -> tuple[str, ...]:
        """What each of the L segments is called in findings."""
        return tuple(f"segment {index}" for index in range(self.count))

    @property
    def backbone(self) -> Backbone | None:
        """The network whose maps the segments are read from; None where pixels decide."""
        return None

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the backbone's layers whose maps `forward` takes; empty where pixels decide."""
        return self.backbone.layers if self.backbone is not None else ()

    @property
    def absent(self) -> tuple[int, ...]:
        """Segments that no good picture shows."""
        return tuple(index for index, share in enumerate(self.shares.tolist()) if share == 0)

    @full_float32()
    def fit(
        self, pictures: Pictures, run: Run, watch: Watch = UNWATCHED, parts: Pictures | None = None
    ) -> Self:
        """Learn the segments from good pictures at `frame`; seeded and repeatable.

        Args:
            pictures: good ones.
            run: its seed decides.
            watch: is told what the user should read.
            parts: pictures with annotated parts (`Sample.parts`), for segmenters that learn from those.

        Raises:
            DataError: no pictures, or what the segmenter itself refuses.
            Stopped: the stop signal was set; the work is short and starts afresh.
        """
        if not len(pictures):
            raise DataError(
                "pictures to learn segments from",
                expected="at least one good picture",
                got="none",
                fix="Add good pictures to the folder.",
            )
        self.learn(pictures, run, watch, parts)
        return self.to(run.torch_device()).eval()

    @abstractmethod
    def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
        """What differs in `fit`: fill the buffers, `shares` among them."""

    @abstractmethod
    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """Map `pixels` (N, 3, H, W) in [0, 1] at `frame` to labels (N, H, W) int64; exports to ONNX.

        Args:
            pixels: the pictures.
            maps: {layer: (N, C, h, w)} of `backbone` on those pictures, which is run where None; a segmenter
                says where it wants the pictures mirrored beyond their borders.
        """

    def labelled(self, pixels: Tensor, samples: Sequence[Sample]) -> Tensor:
        """Labels (N, H, W) int64 of pictures whose files are known; by default what `forward` says of them.

        Args:
            pixels: (N, 3, H, W) in [0, 1] at `frame`.
            samples: which N pictures they are.
        """
        del samples
        labels: Tensor = self(pixels)
        return labels

    def silence(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Maps in which ignored segments never stand out: their pixels have the lowest value of the others.

        A picture in which nothing else is seen has its highest value throughout, so that its score stays.
        Exports to ONNX.

        Args:
            maps: (N, ..., H, W), higher is more anomalous.
            labels: (N, H, W) as `forward` gives them.
        """
        return silenced(maps, labels, self.ignored)

    def check_exportable(self) -> None:
        """Raise an OptionError where `forward` cannot label a new picture, so that no model may hold this."""

    @torch.inference_mode()
    def measure(self, pictures: Pictures, run: Run, watch: Watch, count: int) -> Tensor:
        """Share of the pixels that each of `count` labels takes in up to 64 of the pictures: (count,)."""
        self.to(run.torch_device()).eval()
        total = torch.zeros(count, dtype=torch.int64)
        for pixels in batches(spread(pictures), run, watch, "measuring segments", _BATCH):
            total += torch.bincount(self(pixels).flatten().cpu(), minlength=count)
        return (total / total.sum()).float()


def silenced(maps: Tensor, labels: Tensor, ignored: Sequence[int]) -> Tensor:
    """As `Segmenter.silence`, of the segments that are named."""
    if not ignored:
        return maps
    outside = torch.tensor(ignored, device=labels.device)
    left_out = (labels.unsqueeze(-1) == outside).any(-1)  # (N, H, W)
    left_out = left_out.view(-1, *(1,) * (maps.dim() - 3), *left_out.shape[1:])  # (N, 1 ..., H, W)
    others = torch.where(left_out, maps.amax((-2, -1), keepdim=True), maps)
    return torch.where(left_out, others.amin((-2, -1), keepdim=True), maps)


def spread(pictures: Pictures, most: int = SPREAD) -> Pictures:
    """Up to `most` of the pictures, evenly spread over them."""
    return pictures.subset(samples.spread(range(len(pictures)), most))
