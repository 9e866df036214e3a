"""Several vectors of a picture, such as histograms of several grids, compared each and fused to one score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flawscope.methods.csad.gaussian import Gaussian, GaussianOptions, find_variants
from flawscope.nn.moments import Levels

TRIMMED = (0.2, 0.8)  # section 3.5
USUAL = (0.05, 0.95)
ENOUGH = 20


class FusedGaussians(nn.Module):
    """A Gaussian for each of G parts of a vector; their distances are levelled and added (section 3.5).

    Args:
        sizes: entries of each part, D in all.
        options: of the Gaussians; variants are found in the first part.
        floor: see `Gaussian`.
        least: deviation that is added to each part's when they are levelled, see `Levels`.

    Attributes:
        usual: (2, V, D) from where to where 90 % of the good pictures lie, for each of V variants.
        seen, held_out: (n, D) and (m, D) what `learn` was given, from which `teach` goes on; in no graph.
    """

    usual: Tensor
    seen: Tensor
    held_out: Tensor

    def __init__(
        self, sizes: Sequence[int], options: GaussianOptions, floor: float, least: float = 0.0
    ) -> None:
        super().__init__()
        self.sizes, self.options = list(sizes), options
        self.gaussians = nn.ModuleList(Gaussian(size, options, floor) for size in sizes)
        self.levels = Levels(len(self.sizes), "moments", between=TRIMMED, least=least)
        self.register_buffer("usual", torch.zeros(2, 1, sum(sizes)))
        for name in ("seen", "held_out"):
            self.register_buffer(name, torch.zeros(0, sum(sizes)))

    def learn(self, vectors: Tensor, held_out: Tensor | None = None, seed: int = 0) -> Tensor:
        """Estimate the Gaussians, and the levels of their distances.

        Args:
            vectors: (n, D) of the training pictures.
            held_out: (m, D) of good pictures that nothing has learnt from. The levels come from these; where
                there are fewer than 20, also from the training pictures, each against all others.
            seed: of the search for variants.

        Returns:
            The score of each training picture as if it had been held out, (n,).

        Raises:
            DataError: fewer than two vectors.
        """
        members = find_variants(self._parts(vectors)[0], self.options, seed)
        pairs = zip(self._gaussians(), self._parts(vectors), strict=True)
        left_out = torch.stack([gaussian.learn(part, members) for gaussian, part in pairs], 1)  # (n, G)
        signals = left_out
        if held_out is not None and len(held_out):
            seen = self.distances(held_out.to(self.usual)).to(left_out)  # (m, G)
            signals = seen if len(seen) >= ENOUGH else torch.cat([seen, left_out])
        self.levels.learn(signals.unbind(1))
        ends, variants = torch.tensor(USUAL).to(vectors), torch.from_numpy(members).to(vectors.device)
        ranges = [vectors[variants == index].quantile(ends, 0) for index in range(int(members.max()) + 1)]
        self.usual = torch.stack(ranges, 1).to(self.usual)  # (2, V, D)
        self.seen = vectors.to(self.usual)
        self.held_out = (vectors[:0] if held_out is None else held_out).to(self.usual)
        return torch.as_tensor(self.levels(left_out.to(self.usual)).sum(1))

    def teach(self, vectors: Tensor, held_out: Tensor | None = None, seed: int = 0) -> None:
        """Estimate everything anew from the vectors of before and further ones (k, D), as of one lot.

        Args:
            vectors: of good pictures that nothing has learnt from.
            held_out: see `learn`; None: those of before.
            seed: see `learn`.
        """
        known = self.held_out if held_out is None else held_out
        self.learn(torch.cat([self.seen, vectors.to(self.seen)]), known, seed)

    def forward(self, vectors: Tensor) -> Tensor:
        """Score (N,) of vectors (N, D), higher is more anomalous; exports to ONNX."""
        return torch.as_tensor(self.levels(self.distances(vectors)).sum(1))

    def distances(self, vectors: Tensor) -> Tensor:
        """Mahalanobis distance (N, G) of each part of vectors (N, D)."""
        pairs = zip(self._gaussians(), self._parts(vectors), strict=True)
        return torch.stack([gaussian(part) for gaussian, part in pairs], 1)

    def deviations(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """How far vectors (N, D) lie above their nearest variants' means, and the deviation: (N, D) each."""
        pairs = zip(self._gaussians(), self._parts(vectors), strict=True)
        away, deviation = zip(*[gaussian.deviations(part) for gaussian, part in pairs], strict=True)
        return torch.cat(away, 1), torch.cat(deviation, 1)

    def range(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """From where to where good pictures of the variant nearest to vectors (N, D) lie, (N, D) each."""
        nearest = self._gaussians()[0].distances(self._parts(vectors)[0]).argmin(1)  # (N,)
        return self.usual[0].index_select(0, nearest), self.usual[1].index_select(0, nearest)

    def _gaussians(self) -> list[Gaussian]:
        return [gaussian for gaussian in self.gaussians if isinstance(gaussian, Gaussian)]

    def _parts(self, vectors: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.split(vectors, self.sizes, 1))
