"""Counts: how many connected components of each class a label map shows, against good pictures.

Not in the paper. A class histogram tells one large part from two small ones by their area alone; a count does
so whatever their size. LogiCo (ECCV 2026) adds counts to CSAD's branches for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from flawscope.methods.csad.fused import FusedGaussians
from flawscope.methods.csad.gaussian import GaussianOptions
from flawscope.methods.csad.labelling import Labelling, require_squares
from flawscope.runtime.frozen import Frozen

_SMALL = 0.1  # share of a class's area that lies in its small components
_BATCH = 16


class CountingOptions(Frozen):
    """Options of `Counting`."""

    stride: Literal[1, 2, 4, 8] = Field(
        4,
        description="pixels a side of the squares in which components are looked for; each has the label of "
        "most of its pixels",
    )
    least_area: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the area of a class's small components below which a component does not count; "
        "small is the component up to which a tenth of the class's area in good pictures lies",
    )

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise an OptionError for a height and width that are no multiples of the stride."""
        require_squares(size, self.stride, "counts")


class ComponentCountsOptions(CountingOptions):
    """Options of `ComponentCounts`."""

    floor: float = Field(
        0.1,
        gt=0,
        description="standard deviation that is added to each count: good pictures mostly have the same "
        "count, and one component more or less then is 1 / floor deviations away",
    )
    gaussian: GaussianOptions = Field(GaussianOptions(), description="how good counts are described")


class Counting(nn.Module):
    """Counts the connected components of each class in label maps, specks left out; exports to ONNX.

    Args:
        classes: K, beside the background 0.
        size: height and width H, W of the label maps.
        options: see there.

    Attributes:
        least: (K,) smallest area that counts, in squares.

    Raises:
        OptionError: a size that is no multiple of the stride.
    """

    least: Tensor
    labels: Tensor

    def __init__(self, classes: int, size: tuple[int, int], options: CountingOptions) -> None:
        super().__init__()
        options.check_size(size)
        self.counting, self.size = options, size
        self.labelling = Labelling((size[0] // options.stride, size[1] // options.stride), classes + 1)
        self.register_buffer("labels", torch.arange(classes + 1).view(-1, 1, 1), persistent=False)
        self.register_buffer("least", torch.ones(classes))

    @torch.no_grad()
    def learn_least(self, labels: Tensor) -> Tensor:
        """Learn from label maps (n, H, W) of good pictures which components count; their counts (n, K)."""
        found = [self._components(part) for part in self._batches(labels)]
        kinds, areas = (torch.cat(parts) for parts in zip(*found, strict=True))  # (n, P) each
        small = [_small(areas[kinds == label].cpu().numpy()) for label in range(1, len(self.labels))]
        self.least = torch.tensor(small).to(self.least) * self.counting.least_area
        return torch.cat([self._summed(*parts)[0] for parts in found])

    @torch.no_grad()
    def counted(self, labels: Tensor) -> Tensor:
        """Counts (n, K) of label maps (n, H, W), batch by batch."""
        return torch.cat([self.count(part)[0] for part in self._batches(labels)])

    def count(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Counts, and area of each class's largest and smallest component, (N, K) each.

        Areas are shares of the picture, 0 where nothing counts.

        Args:
            labels: (N, H, W) int64.
        """
        return self._summed(*self._components(labels))

    def _components(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Label (N, P) int64 and area (N, P) in squares of the component whose last square it is, else 0."""
        masks = (labels.unsqueeze(1) == self.labels).float()  # (N, K + 1, H, W)
        reduced = F.avg_pool2d(masks, self.counting.stride).argmax(1)  # (N, h, w)
        numbers = self.labelling(reduced, 1)  # (N, P), of ground each square's own
        areas = torch.zeros_like(numbers, dtype=torch.float32)
        return reduced.flatten(1), areas.scatter_add(1, numbers, torch.ones_like(areas))

    def _summed(self, kinds: Tensor, areas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Counts, and area of the largest and smallest that count, (N, K) each, of `_components`' answer."""
        inside = kinds.unsqueeze(1) == self.labels[1:].view(-1, 1)  # (N, K, P)
        sizes = areas.unsqueeze(1)  # (N, 1, P)
        counted = inside & (sizes >= self.least.view(-1, 1)) & (sizes > 0)
        whole = areas.shape[1]
        smallest = torch.where(counted, sizes, whole + 1.0).amin(2)  # (N, K)
        smallest = torch.where(smallest > whole, 0.0, smallest)
        return counted.float().sum(2), torch.where(counted, sizes, 0.0).amax(2) / whole, smallest / whole

    def _batches(self, labels: Tensor) -> Iterator[Tensor]:
        device = self.least.device
        return (part.to(device) for part in torch.split(labels, _BATCH))


class ComponentCounts(Counting):
    """Distance of a label map's component counts to those of good pictures; `learn` fills buffers only.

    Arguments and attributes are those of `Counting`; for `least` of the arguments see `FusedGaussians`.
    """

    def __init__(
        self, classes: int, size: tuple[int, int], options: ComponentCountsOptions, least: float = 0.0
    ) -> None:
        super().__init__(classes, size, options)
        self.options = options
        self.fused = FusedGaussians((classes,), options.gaussian, options.floor, least)

    @torch.no_grad()
    def learn(self, labels: Tensor, held_out: Tensor | None = None, seed: int = 0) -> Tensor:
        """Learn from label maps of good pictures which components count, and how many there are.

        Args:
            labels: (n, H, W) of the training pictures.
            held_out: (m, H, W) of good pictures that nothing has learnt from, for the levels; see
                `FusedGaussians.learn`.
            seed: of the search for variants.

        Returns:
            The score of each training picture as if it had been held out, (n,).

        Raises:
            DataError: fewer than two label maps.
        """
        counts = self.learn_least(labels)
        seen = self.counted(held_out) if held_out is not None and len(held_out) else None
        return self.fused.learn(counts, seen, seed)

    @torch.no_grad()
    def teach(self, labels: Tensor, held_out: Tensor | None, seed: int) -> None:
        """Take in further good pictures; which components count stays. See `FusedGaussians.teach`."""
        seen = None if held_out is None else self.counted(held_out)
        self.fused.teach(self.counted(labels), seen, seed)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Score (N,), counts (N, K), and area of each class's largest and smallest component, (N, K) each.

        Areas are shares of the picture, 0 where nothing counts. Exports to ONNX.

        Args:
            labels: (N, H, W) int64.
        """
        counts, largest, smallest = self.count(labels)
        return self.fused(counts), counts, largest, smallest

    def range(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """From where to where the counts of good pictures like each (N, K) lie, (N, K) each."""
        return self.fused.range(counts)


def _small(areas: NDArray[np.float32]) -> float:
    """The area up to which components hold a tenth of the class's area; 1 for a class that never shows."""
    ordered = np.sort(areas[areas > 0])
    if not len(ordered):
        return 1.0
    return float(ordered[np.searchsorted(ordered.cumsum(), _SMALL * ordered.sum())])
