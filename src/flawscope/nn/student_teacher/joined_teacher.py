"""A pretrained network's maps as a teacher's one map: joined on the student's cells, of even channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.nn.backbones.build import Backbone
from flawscope.nn.backbones.pdn import Cells
from flawscope.nn.moments import Moments
from flawscope.nn.student_teacher.networks import Resampling

_LEAST = 1e-12  # mean variance, for pictures that are all of one colour


class JoinedTeacher(nn.Module):
    """Reads a backbone's maps at the centres of another map's cells, each channel of mean 0 and variance 1.

    Args:
        backbone: whose maps come in; it is not kept.
        layers: those of its layers that are joined.
        where: the student's cells, which the map is read at, linearly between the backbone's own.
        grid: height and width of the student's map.
        most: channels of the map; where the layers have more, their principal components in their place,
            which keep the distances of feature vectors as far as so few can; one factor for all of them makes
            their mean variance 1. None: all channels as they are.

    Attributes:
        channels: of the map, C.
    """

    mean: Tensor
    std: Tensor
    axes: Tensor

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[str],
        *,
        where: Cells,
        grid: tuple[int, int],
        most: int | None = None,
    ) -> None:
        super().__init__()
        self.layers = tuple(layers)
        dim = sum(backbone.channels[layer] for layer in layers)
        self.reduced = most is not None and most < dim
        self.channels = most if most is not None and most < dim else dim
        self.resampling = nn.ModuleList(
            Resampling(_cells_of(backbone.strides[layer]), where, backbone.grids[layer], grid)
            for layer in layers
        )
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        if self.reduced:
            self.register_buffer("axes", torch.eye(self.channels, dim))

    def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Map {layer: (N, D_l, h_l, w_l)} to (N, C, h, w)."""
        even = (self._joined(maps) - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)
        return F.conv2d(even, self.axes[:, :, None, None]) if self.reduced else even

    def learn(self, batches: Iterable[Mapping[str, Tensor]]) -> None:
        """Take means, deviations and principal components from the maps of all training pictures."""
        moments = Moments()
        products = torch.zeros((), dtype=torch.float64)
        for maps in batches:
            joined = self._joined(maps)  # (n, D, h, w)
            moments.add(joined)
            if self.reduced:
                rows = joined.transpose(0, 1).flatten(1).double()  # (D, n * h * w)
                products = products + rows @ rows.T
        self.mean, self.std = moments.mean.float(), moments.std.float()
        if self.reduced:
            covariance = products / moments.count - torch.outer(moments.mean, moments.mean)
            values, vectors = torch.linalg.eigh(covariance / torch.outer(moments.std, moments.std))
            scale = values[-self.channels :].mean().clamp_min(_LEAST).rsqrt()
            self.axes = (vectors[:, -self.channels :].flip(1) * scale).T.float().contiguous()  # (C, D)

    def _joined(self, maps: Mapping[str, Tensor]) -> Tensor:
        read = [resample(maps[layer]) for layer, resample in zip(self.layers, self.resampling, strict=True)]
        return torch.cat(read, 1)


def _cells_of(stride: int) -> Cells:
    """Where the cells of a convolutional network's map lie: evenly over the picture."""
    return Cells(stride, (stride - 1) / 2, stride)
