"""Places: how much of each class lies where good pictures never show it.

Not in the paper, whose cells are squares of one size. Here each class has a region of its own: wherever a
good picture shows it nearby. A part that lies loose may be anywhere in a bag, and yet not beside the bag.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from flawscope.methods.csad.cells import members
from flawscope.methods.csad.fused import FusedGaussians
from flawscope.methods.csad.gaussian import GaussianOptions
from flawscope.runtime.frozen import Frozen

_SIDE = 64  # largest height and width at which regions are kept
_STRAY = 0.25  # of a cell, from which on a class in an unusual place is worth telling


class PlacesOptions(Frozen):
    """Options of `Places`."""

    reach: float = Field(
        0.04,
        ge=0,
        lt=0.5,
        description="how far a class may lie from where a good picture shows it, in shares of the shorter "
        "side",
    )
    pictures: int = Field(
        2, ge=1, description="good pictures that must show a class nearby for a place to be quite usual"
    )
    floor: float = Field(
        2e-4,
        gt=0,
        lt=1,
        description="standard deviation, in shares of the picture, that is added to what lies elsewhere",
    )
    gaussian: GaussianOptions = Field(GaussianOptions(), description="how good pictures are described")


class Places(nn.Module):
    """Distance of what lies elsewhere to what does in good pictures; `learn` fills buffers only.

    Args:
        classes: K, beside the background 0.
        size: height and width H, W of the label maps.
        options: see there.
        least: see `FusedGaussians`.

    Attributes:
        unusual: (K, h, w) from 0, where good pictures show the class nearby, to 1.
        usual: (h, w) the class that good pictures show there most, 0 the background.
        near: (K, h, w) how many good pictures show the class nearby.
        shown: (K, h, w) share of the cell in all of them together.
    """

    unusual: Tensor
    usual: Tensor
    near: Tensor
    shown: Tensor
    down: Tensor
    across: Tensor

    def __init__(
        self, classes: int, size: tuple[int, int], options: PlacesOptions, least: float = 0.0
    ) -> None:
        super().__init__()
        self.options, self.size = options, size
        self.grid = (min(_SIDE, size[0]), min(_SIDE, size[1]))
        self.fused = FusedGaussians((classes,), options.gaussian, options.floor, least)
        self.register_buffer("unusual", torch.zeros(classes, *self.grid))
        self.register_buffer("usual", torch.zeros(self.grid, dtype=torch.uint8))
        for name in ("near", "shown"):
            self.register_buffer(name, torch.zeros(classes, *self.grid))
        for name, length, cells in zip(("down", "across"), size, self.grid, strict=True):
            inside = members(length, cells)
            self.register_buffer(name, inside / inside.sum(1, keepdim=True), persistent=False)

    @torch.no_grad()
    def learn(self, shares: Tensor, held_out: Tensor | None = None, seed: int = 0) -> Tensor:
        """Learn each class's region from good pictures.

        Args:
            shares: (n, K, h, w) of the training pictures, as `reduced` gives them. Each picture is compared
                with the regions of the others.
            held_out: (m, K, h, w) of good pictures that nothing has learnt from, for the levels; see
                `FusedGaussians.learn`.
            seed: of the search for variants.

        Returns:
            The score of each training picture as if it had been held out, (n,).

        Raises:
            DataError: fewer than two pictures.
        """
        elsewhere, seen = self._counted(shares, held_out, torch.zeros(()), torch.zeros(()), len(shares))
        return self.fused.learn(elsewhere, seen, seed)

    @torch.no_grad()
    def teach(self, shares: Tensor, held_out: Tensor | None, seed: int) -> None:
        """Take in further good pictures: regions are then those of all, as if learnt together.

        What lies elsewhere in pictures of before was measured when fewer were known, and is no less than what
        the larger regions would leave. Arguments are those of `learn`; see `FusedGaussians.teach`.
        """
        count = len(self.fused.seen) + len(shares)
        elsewhere, seen = self._counted(shares, held_out, self.near, self.shown, count)
        self.fused.teach(elsewhere, seen, seed)

    def _counted(
        self, shares: Tensor, held_out: Tensor | None, near: Tensor, shown: Tensor, count: int
    ) -> tuple[Tensor, Tensor | None]:
        """Make regions of what was counted before and of shares (n, K, h, w), `count` pictures in all.

        Returns:
            what lies elsewhere in these, each held against the others, and in held-out ones.
        """
        own = torch.stack([self._near(one) for one in shares])  # (n, K, h, w)
        total = near.to(own) + own.sum(0)
        elsewhere = torch.stack(
            [self._of(one, self._rare(total - its)) for one, its in zip(shares, own, strict=True)]
        )
        self.unusual = self._rare(total).to(self.unusual)
        summed = shown.to(shares) + shares.sum(0)
        mean = summed / count
        background = 1 - mean.sum(0, keepdim=True)
        self.usual = torch.cat([background, mean]).argmax(0).to(self.usual)
        self.near, self.shown = total.to(self.near), summed.to(self.shown)
        return elsewhere, None if held_out is None else self._of(held_out, self._rare(total))

    def reduced(self, masks: Tensor) -> Tensor:
        """Shares (N, K, h, w) of the cells that masks (N, K, H, W) show."""
        return torch.matmul(torch.matmul(self.down, masks), self.across.T)

    def forward(self, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Score (N,), and what lies elsewhere (N, K) in shares of the picture; exports to ONNX."""
        elsewhere = self._of(shares, self.unusual)
        return self.fused(elsewhere), elsewhere

    def range(self, elsewhere: Tensor) -> tuple[Tensor, Tensor]:
        """From where to where what lies elsewhere in good pictures lies, (N, K) each, for each (N, K)."""
        return self.fused.range(elsewhere)

    def cells(self, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Which class strays into each cell, 0 for none, and which is usual there: (N, h, w) uint8 each."""
        strays = shares * self.unusual  # (N, K, h, w)
        found = torch.where(strays.amax(1) > _STRAY, strays.argmax(1) + 1, 0)
        return found.to(torch.uint8), self.usual.expand_as(found)

    def heatmap(self, masks: Tensor, elsewhere: Tensor) -> Tensor:
        """(N, H, W) how many deviations of good pictures lie elsewhere, on the pixels that do."""
        away, deviation = self.fused.deviations(elsewhere)  # (N, K) each
        weight = (away.clamp(min=0) / deviation)[:, :, None, None]
        unusual = F.interpolate(self.unusual[None], self.size, mode="bilinear", align_corners=False)
        return (masks * unusual * weight).sum(1)

    def _near(self, shares: Tensor) -> Tensor:
        """(K, h, w) 1 where a picture (K, h, w) shows the class within reach."""
        reach = round(self.options.reach * min(self.grid))
        shown = (shares > 0.5).float()  # most of a cell
        return F.max_pool2d(shown, 2 * reach + 1, 1, reach)

    def _rare(self, count: Tensor) -> Tensor:
        """From how many pictures show a class nearby to how unusual that place is."""
        return (1 - count / self.options.pictures).clamp(min=0)

    def _of(self, shares: Tensor, unusual: Tensor) -> Tensor:
        """What of shares (..., K, h, w) lies in unusual places, (..., K), in shares of the picture."""
        return (shares * unusual).mean((-2, -1))
