"""How many of each component there are, against good pictures: too few or too many raise the score."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from flawscope.methods.csad.counts import Counting, CountingOptions


class NumberOptions(CountingOptions):
    """Options of `Numbers`; the paper has none: there masks alone tell what is absent."""

    rare: float = Field(
        0.02,
        ge=0,
        lt=0.5,
        description="share of good pictures at either end whose numbers count as unusual, in tiles of them, "
        "too",
    )
    weight: float = Field(
        2.0,
        gt=0,
        description="score of each component too many or too few; 1 is the largest of tuning pictures",
    )


class Numbers(Counting):
    """Counts of the components beside segment 0, and how far they lie beyond those of good pictures.

    Arguments and attributes are those of `Counting`.

    Attributes:
        usual: (2, K) fewest and most in good pictures.
        seen: (n, K) counts of these; in no graph.
    """

    usual: Tensor
    seen: Tensor

    def __init__(self, classes: int, size: tuple[int, int], options: NumberOptions) -> None:
        super().__init__(classes, size, options)
        self.options = options
        self.register_buffer("usual", torch.zeros(2, classes))
        self.register_buffer("seen", torch.zeros(0, classes))

    def learn(self, labels: Tensor, held_out: Tensor, tiles: float = 1.0) -> None:
        """Learn what counts from label maps (n, H, W), the usual numbers from (m, H, W) of others, too.

        `tiles` is how many label maps a picture has.
        """
        self._take(torch.cat([self.learn_least(labels), self.counted(held_out)]), tiles)

    def teach(self, labels: Tensor, tiles: float = 1.0) -> None:
        """Learn the usual numbers from label maps (k, H, W) of further good pictures, too; see `learn`."""
        counts = self.counted(labels)
        self._take(torch.cat([self.seen.to(counts), counts]), tiles)

    def _take(self, counts: Tensor, tiles: float) -> None:
        self.seen = counts.to(self.seen)
        self.usual = usual_numbers(counts, self.options.rare / tiles).to(self.usual)

    def beyond(self, counts: Tensor) -> Tensor:
        """By how many counts (N, K) lie below or above the usual ones, (N, K)."""
        return torch.maximum(self.usual[0] - counts, counts - self.usual[1]).clamp_min(0)

    def fused(self, counts: Tensor, judged: Tensor) -> Tensor:
        """Score (N,) of counts (N, K), of those that `judged` (K,) names with 1 in place of 0."""
        return self.options.weight * (self.beyond(counts) * judged).amax(1)


def usual_numbers(counts: Tensor, rare: float) -> Tensor:
    """Fewest and most (2, K) of counts (n, K), a share `rare` left out at either end, rounded down."""
    ordered = counts.sort(0).values
    out = int(rare * len(ordered))
    return torch.stack([ordered[out], ordered[len(ordered) - 1 - out]])
