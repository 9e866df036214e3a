"""What good pictures show and one picture does not: kinds of patches, each looked for in the picture.

This package's own. Memory banks ask of each patch whether good pictures show it; nothing is far from them
where a part is missing whose place looks as other good places do. So it is asked the other way, too: good
patches are clustered, and for each cluster k the distance d_k from its centre to the nearest patch of the
picture is held against what it is on good pictures,

    z_k = (d_k - mean_k) / deviation_k,    ratio_k = z_k / reach,

where the reach is the highest z of any k of good pictures, each left out of the means and deviations that it
is held against. In the units of the joined map that is steep, and begins at `BEYOND`: hard evidence alone.
Softer levels, by the tail of good pictures, hid more flaws than they showed, for most kinds vary freely.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import JsonValue
from torch import Tensor, nn

from flawscope.nn.banks.patchbank import PatchBank
from flawscope.nn.codebook import code_book
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.explain.absence import BEYOND

SHOWN = "shown"  # the fact that names for each kind a good picture, by number, and the place there
FEWEST = 50  # good pictures from which on hardly any other exceeds `BEYOND`: see docs/methods.md
_CLUSTERED, _OF_EACH = 200, 400  # pictures, and patches of each, that clusters are learnt from
_LEAST = 0.05  # share of the median of all means below which no deviation is taken for true
_TINY = 1e-6
_STEADY = 0.05  # share of the picture's side by which a place differs at most between good pictures
_SLOPE = 20.0  # deviations of good peaks that one reach more counts as; good pictures stay far below
_DRAWN = 0xAB5E


class AbsentPatches(nn.Module):
    """How far each of K kinds of good patches is from being in a picture.

    Args:
        dim: of the patches.
        kinds: K.

    Attributes:
        centres: (K, D) of the clusters, less the centre of the bank that extends patches.
        mean, deviation: (K,) of d_k on good pictures.
        reach: () highest z of a good picture; infinite until it is learnt, and where too few tell nothing.
    """

    centres: Tensor
    mean: Tensor
    deviation: Tensor
    reach: Tensor

    def __init__(self, dim: int, kinds: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(kinds, dim))
        self.register_buffer("mean", torch.zeros(kinds))
        self.register_buffer("deviation", torch.ones(kinds))
        self.register_buffer("reach", torch.tensor(torch.inf))

    def forward(self, rows: Tensor, bank: PatchBank) -> Tensor:
        """Ratios (N, K) of patches (N, h * w, width) that the bank's `extended` made."""
        distances = _distance(self._halves(rows, bank).amin(1))  # (N, K)
        return (distances - self.mean) / self.deviation / self.reach

    @staticmethod
    def level(ratios: Tensor) -> Tensor:
        """What ratios (N, K) count as, (N,), in deviations of good peaks, whose mean is at `BEYOND`."""
        return _SLOPE * (ratios.amax(1) - BEYOND)

    def learn(
        self, patches: Tensor, bank: PatchBank, owners: Sequence[int], run: Run, watch: Watch
    ) -> dict[str, JsonValue]:
        """Take kinds and distances from good pictures.

        Args:
            patches: (P, D) of all pictures, picture by picture, as `bank` compares them.
            bank: makes what `forward` takes of them.
            owners: for each picture the number of the part that it shows; pictures of one part are left out
                together.
            run: seeds the clusters.
            watch: sees how far it is.

        Returns:
            facts that `flawscope.runtime.explain.absence` reads, places of `shown` in shares of the frame.

        Raises:
            Stopped: the stop signal was set; the work is short and starts afresh.
        """
        device, count = run.torch_device(), len(owners)
        self.to(device)
        self.centres = self._clustered(patches, bank, count, run).to(device)
        distances, cells = [], []
        with watch.stage("learning what good pictures show", count) as stage:
            for picture in range(count):
                watch.check_stop(run)
                rows = patches[picture * bank.cells : (picture + 1) * bank.cells].to(device)  # (h * w, D)
                halves, where = self._halves(bank.extended(rows), bank)[0].min(0)  # (K,) each
                distances.append(_distance(halves).double().cpu())
                cells.append(where.cpu())
                stage.advance(picture + 1)
        found, where = torch.stack(distances), torch.stack(cells)  # (n, K) each
        self._take(found, torch.tensor(owners), tells=run.enough(len(set(owners)), FEWEST))
        return _facts(found, where, bank.grid.shape)

    def teach(self, patches: Tensor, bank: PatchBank, pictures: int) -> None:
        """Widen deviations until further good pictures stay within the reach; see `learn`."""
        device = self.mean.device
        for picture in range(pictures):
            rows = patches[picture * bank.cells : (picture + 1) * bank.cells].to(device)  # (h * w, D)
            distances = _distance(self._halves(bank.extended(rows), bank).amin(1))[0]  # (K,)
            self.deviation = torch.maximum(self.deviation, (distances - self.mean) / self.reach)

    def _clustered(self, patches: Tensor, bank: PatchBank, count: int, run: Run) -> Tensor:
        """Centres (K, D) of clusters of patches (P, D) of so many pictures."""
        draw = run.generator(_DRAWN)
        drawn = torch.randperm(count, generator=draw)[:_CLUSTERED].sort().values
        each = [
            torch.randperm(bank.cells, generator=draw)[:_OF_EACH] + int(one) * bank.cells for one in drawn
        ]
        centroids, _ = code_book(patches[torch.cat(each)].numpy(), len(self.mean), seed=run.seed, starts=1)
        return torch.from_numpy(centroids).to(bank.memory.centre) - bank.memory.centre

    def _halves(self, rows: Tensor, bank: PatchBank) -> Tensor:
        """Half the squared distance of each patch (N, h * w, width) to each centre: (N, h * w, K)."""
        return F.linear(rows, bank.memory.columns(self.centres))

    def _take(self, distances: Tensor, owners: Tensor, *, tells: bool) -> None:
        """Means and deviations of distances (n, K) float64, and the reach, over parts left out in turn."""
        mean, deviation = distances.mean(0), distances.std(0, correction=0)
        least = (_LEAST * mean.median()).clamp_min(_TINY)
        self.mean, self.deviation = mean.to(self.mean), deviation.clamp_min(least).to(self.mean)
        if not tells or len(torch.unique(owners)) < 2:
            return
        numbers, sizes = torch.unique(owners, return_inverse=True, return_counts=True)[1:]
        away = distances - mean  # (n, K)
        parts = torch.zeros(len(sizes), away.shape[1], dtype=away.dtype)
        sums, squares = parts.index_add(0, numbers, away), parts.index_add(0, numbers, away.square())
        left = (len(away) - sizes)[:, None]  # (G, 1)
        others = (sums.sum(0) - sums) / left  # (G, K)
        spread = ((squares.sum(0) - squares) / left - others.square()).clamp_min(0).sqrt().clamp_min(least)
        highest = ((away - others[numbers]) / spread[numbers]).max()
        self.reach = self.reach.new_tensor(max(float(highest), 1.0))


def _distance(halves: Tensor) -> Tensor:
    return (2 * halves).clamp_min(0).sqrt()


def _facts(distances: Tensor, cells: Tensor, grid: tuple[int, int]) -> dict[str, JsonValue]:
    """Of each kind the good picture that shows it best, and where good pictures show it, in shares.

    Args:
        distances: (n, K).
        cells: (n, K) of the nearest patches.
        grid: cells of a picture, h and w.
    """
    places = torch.stack(
        [(cells // grid[1] + 0.5) / grid[0], (cells % grid[1] + 0.5) / grid[1]], 2
    )  # (n, K, 2) rows and columns
    best = distances.argmin(0)  # (K,)
    usual, spread = places.median(0).values, places.std(0, correction=0).amax(1)
    shown: list[JsonValue] = [
        [int(picture), *_rounded(places[picture, kind])] for kind, picture in enumerate(best)
    ]
    steady: list[JsonValue] = [
        _rounded(place) if far <= _STEADY else None for place, far in zip(usual, spread.tolist(), strict=True)
    ]
    return {SHOWN: shown, "places": steady}


def _rounded(place: Tensor) -> list[JsonValue]:
    return [round(float(share), 4) for share in place]
