"""Nearest neighbours in a memory bank by blocked matrix products, with a running minimum.

Squared distances are |q|^2 + |b|^2 - 2 q.b. Both sides are first moved by the bank's mean, which leaves
every distance as it is and makes the three terms small, so that little is lost where they cancel: for
features of D dimensions and norm n after the move, float32 resolves distances down to about n / 1000, and in
the worst order of summation to 2 n sqrt(D / 2^24). What rounding makes negative counts as zero. No block of
distances exceeds a stated budget.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.errors import OptionError

BUDGET_BYTES = 64 * 2**20
_EXPORT_QUERIES = 8 * 1024  # eight pictures of 32 x 32 patches
_STEPS = 64.0  # of 1: eight bits hold multiples up to 4, beyond lie norms of features far from all others


def nearest(
    queries: Tensor, bank: Tensor, k: int = 1, *, budget_bytes: int = BUDGET_BYTES
) -> tuple[Tensor, Tensor]:
    """The k nearest bank members of each query, by Euclidean distance.

    Args:
        queries: (N, D).
        bank: (M, D) on the same device.
        k: 1 to M.
        budget_bytes: upper bound of one block of distances; queries and bank are cut to fit.

    Returns:
        distances (N, k) float32, ascending, and indices (N, k) int64.

    Raises:
        OptionError: k exceeds the bank, or the shapes do not fit.
    """
    _check(queries, bank, k)
    centre = bank.float().mean(0)
    side = max(k, math.isqrt(budget_bytes // 4))
    rows = max(1, budget_bytes // 4 // min(side, len(bank)))
    answers = [_search(block.float() - centre, bank, centre, k, side) for block in torch.split(queries, rows)]
    if not answers:
        return queries.new_empty(0, k, dtype=torch.float32), queries.new_empty(0, k, dtype=torch.int64)
    return torch.cat([answer[0] for answer in answers]), torch.cat([answer[1] for answer in answers])


def _search(queries: Tensor, bank: Tensor, centre: Tensor, k: int, columns: int) -> tuple[Tensor, Tensor]:
    """Running top k over blocks of the bank; `queries` are centred."""
    best = queries.new_full((len(queries), k), math.inf)
    where = torch.zeros(len(queries), k, dtype=torch.int64, device=queries.device)
    for start in range(0, len(bank), columns):
        members = bank[start : start + columns].float() - centre
        # half the squared distance without |q|^2, which does not change the order: (n, columns)
        partial = torch.addmm(members.square().sum(1) / 2, queries, members.T, alpha=-1)
        values, order = (
            partial.min(1, keepdim=True) if k == 1 else partial.topk(min(k, len(members)), 1, largest=False)
        )
        values, pick = torch.cat([best, values], 1).topk(k, 1, largest=False)
        where = torch.cat([where, order + start], 1).gather(1, pick)
        best = values
    return _distance(best, queries.square().sum(1, keepdim=True)), where


def _parts(values: Tensor) -> tuple[Tensor, Tensor]:
    """Two addends: multiples of 1/64, and what is left, at most 1/128."""
    high = torch.round(values * _STEPS) / _STEPS
    return high, values - high


def resolution(bank: Tensor) -> Tensor:
    """Distance () below which float32 may tell nothing of queries no longer than the longest of (M, D)."""
    longest = bank.square().sum(1).amax().sqrt()
    return longest * (2 * math.sqrt((bank.shape[1] + 4) / 2**24))


def _distance(partial: Tensor, query_norms: Tensor) -> Tensor:
    return (2 * partial + query_norms).clamp_min(0).sqrt()


def _principal(bank: Tensor, count: int) -> Tensor:
    """The axes (D, count) along which a centred bank (M, D) is longest."""
    bank = bank.double()
    axes: Tensor = torch.linalg.eigh(bank.T @ bank).eigenvectors
    return axes[:, -count:].flip(1).float()


def _beside(norms: Tensor, along: Tensor) -> Tensor:
    """Lengths (N, 1) beside the axes, of squared lengths (N, 1) and coordinates on the axes (N, d)."""
    return (norms - along.square().sum(1, keepdim=True)).clamp_min(0).sqrt()


def _alikeness(bank: Tensor, axes: Tensor) -> Tensor:
    """See `MemoryBank`; 0 where nothing lies beside the axes, or there is one member."""
    if len(bank) < 2:
        return bank.new_zeros(())
    beside = bank - bank @ axes @ axes.T  # (M, D)
    others = beside[nearest(bank, bank, 2)[1][:, 1]]
    lengths = (beside.norm(dim=1) * others.norm(dim=1)).sum()
    return torch.where(lengths > 0, (beside * others).sum() / lengths, 0).clamp(0, 1)


def _check(queries: Tensor, bank: Tensor, k: int) -> None:
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise OptionError(
            "nearest neighbours",
            expected="queries (N, D) and a bank (M, D)",
            got=f"{tuple(queries.shape)} and {tuple(bank.shape)}",
            fix="Use features of the backbone and layers that made the bank.",
        )
    if not 1 <= k <= len(bank):
        raise OptionError(
            "neighbours",
            expected=f"1 to the bank's {len(bank)} members",
            got=str(k),
            fix="Lower the number of neighbours, or raise the coreset ratio.",
        )


class MemoryBank(nn.Module):
    """A bank whose nearest-member search exports to ONNX with a dynamic number of queries.

    The loop over blocks of the bank is unrolled when the graph is made. The bank is stored once, in float32
    and centred; buffers are `bank` (M, D), `centre` (D,) and `half_norms` (M,), so that an empty module of
    the same shape can be filled by `load_state_dict`.

    Args:
        bank: (M, D) features.
        budget_bytes: bound of one block of distances at `queries` queries.
        queries: largest number of queries to plan for; by default eight pictures of 32 x 32 patches.
        rounded: move the members to where bfloat16 holds them exactly, by 2⁻⁹ of each coordinate at most.
        axes: principal axes of the bank on which `distances` compares; None, or D or more: all. Of what lies
            beside them the length counts, and the direction as it usually is: with lengths r and s there,
            and the `alikeness` a, the squared distance is wrong by 2 (1 + a) r s at most.

    Attributes:
        width: of the rows that `extended` makes.
        axes: (D, d), where not all are taken.
        alikeness: () cosine that members' parts beside the axes have with those of their nearest members,
            over their lengths.
        compared: (M, `width`) what `distances` compares with, where not all axes are taken. It is kept, for
            an engine that works it out once more may round otherwise.
    """

    bank: Tensor
    centre: Tensor
    half_norms: Tensor
    axes: Tensor
    alikeness: Tensor
    compared: Tensor

    def __init__(
        self,
        bank: Tensor,
        *,
        budget_bytes: int = BUDGET_BYTES,
        queries: int = _EXPORT_QUERIES,
        rounded: bool = False,
        axes: int | None = None,
    ) -> None:
        super().__init__()
        _check(bank, bank, 1)
        self.block, self.rounded = max(1, budget_bytes // 4 // queries), rounded
        self.register_buffer("centre", bank.detach().float().mean(0))
        self.register_buffer("bank", self._moved(bank))
        self.register_buffer("half_norms", self.bank.square().sum(1) / 2)
        self.reduced, self.width = axes is not None and axes < bank.shape[1], bank.shape[1] + 4
        if axes is not None and self.reduced:
            self.width = axes + 5
            self.register_buffer("axes", _principal(self.bank, axes))
            self.register_buffer("alikeness", _alikeness(self.bank, self.axes))
            self.register_buffer("compared", self._columns(self.bank, rounded))

    def _moved(self, members: Tensor) -> Tensor:
        moved = members.detach().float() - self.centre
        return moved.bfloat16().float() if self.rounded else moved

    @property
    def members(self) -> Tensor:
        """The members (M, D) where they lie among features."""
        return self.bank + self.centre

    def grow(self, members: Tensor) -> None:
        """Add members (m, D) after those that are there, which stay to the bit as they are."""
        self.bank = torch.cat([self.bank, self._moved(members.to(self.bank))])
        self.half_norms = self.bank.square().sum(1) / 2
        if self.reduced:
            self.compared = self._columns(self.bank, self.rounded)

    def forward(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Distance (N,) float32 to the nearest member and its index (N,) int64, for queries (N, D)."""
        queries = queries - self.centre
        best, where = self._block(-queries, 0)
        for start in range(self.block, len(self.bank), self.block):
            values, order = self._block(-queries, start)
            where = torch.where(values < best, order + start, where)
            best = torch.minimum(best, values)
        return _distance(best, queries.square().sum(1)), where

    def extended(self, queries: Tensor) -> Tensor:
        """Queries (N, D) as rows (N, `width`) whose product with the members is half the squared distance.

        The norms go in as two numbers each, a coarse one and the rest, which eight bits hold well enough: so
        `distances` may run in bfloat16, whose products are summed in float32 and rounded once, at the end,
        when they are small already. Rounded before, as |q|²/2 - q.b and |q|²/2 apart, they would cancel.
        """
        queries = queries - self.centre
        norms = queries.square().sum(1, keepdim=True)
        high, low = _parts(norms / 2)
        one = torch.ones_like(high)
        if not self.reduced:
            return torch.cat([queries, high, low, one, one], 1)
        along = queries @ self.axes  # (N, d)
        return torch.cat([along, high, low, one, one, _beside(norms, along)], 1)

    def columns(self, points: Tensor) -> Tensor:
        """Points (K, D), less `centre`, as rows (K, `width`) for products with those of `extended`."""
        return self._columns(points, rounded=False)

    def _columns(self, points: Tensor, rounded: bool) -> Tensor:
        norms = points.square().sum(1, keepdim=True)
        along, beside = points, list[Tensor]()
        if self.reduced:
            along = points @ self.axes  # (K, d)
            beside = [self.alikeness * -_beside(norms, along)]
            norms = norms - along.square().sum(1, keepdim=True)
            along = along.bfloat16().float() if rounded else along
            norms = norms + along.square().sum(1, keepdim=True)
        high, low = _parts(norms / 2)
        one = torch.ones_like(high)
        return torch.cat([-along, one, one, high, low, *beside], 1)

    def distances(self, extended: Tensor) -> Tensor:
        """Distance (N,) to the nearest member, of rows (N, `width`) that `extended` made.

        Finding which member that is would take as long as two fifths of the rest.
        """
        members = self.compared if self.reduced else self.columns(self.bank)  # (M, width)
        best = F.linear(extended, members[: self.block]).amin(1)
        for start in range(self.block, len(members), self.block):
            best = torch.minimum(best, F.linear(extended, members[start : start + self.block]).amin(1))
        return (2 * best).clamp_min(0).sqrt()

    def distances_to_others(self, queries: Tensor, own: Tensor) -> Tensor:
        """Distance (N,) to the nearest member that `own` (M,) does not mark; infinite if there is none."""
        if self.reduced:
            halves = F.linear(self.extended(queries), self.compared)  # (N, M)
            return (2 * halves.masked_fill(own, math.inf).amin(1)).clamp_min(0).sqrt()
        queries = queries - self.centre
        partial = torch.addmm(self.half_norms, queries, self.bank.T, alpha=-1)  # (N, M)
        return _distance(partial.masked_fill(own, math.inf).amin(1), queries.square().sum(1))

    def _block(self, negated: Tensor, start: int) -> tuple[Tensor, Tensor]:
        end = min(start + self.block, len(self.bank))
        block = slice(start, end if end < len(self.bank) else None)  # graphs of small banks tell no size
        partial = F.linear(negated, self.bank[block], self.half_norms[block])  # (N, block)
        return partial.amin(1), partial.argmin(1)

    def distance_to(self, queries: Tensor, indices: Tensor) -> Tensor:
        """Distances (N, k) of queries (N, D) to the members at indices (N, k); small N, as differences."""
        return ((queries - self.centre).unsqueeze(1) - self.bank[indices]).square().sum(2).sqrt()  # (N, k)

    def neighbours(self, k: int, *, budget_bytes: int = BUDGET_BYTES) -> Tensor:
        """Indices (M, k) int64 of each member's k nearest members, itself first (PatchCore, equation 7).

        A member with an exact copy may name the copy first. Fewer than k members give all of them.
        """
        return nearest(self.bank, self.bank, min(k, len(self.bank)), budget_bytes=budget_bytes)[1]
