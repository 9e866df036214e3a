"""The members of a committee: each sees the picture at its size, and networks that are alike run once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from flawscope.methods.committee.frames import resize
from flawscope.methods.committee.options import NAME, MemberSpec
from flawscope.methods.committee.sharing import Place, alike, lend, take_back
from flawscope.methods.detector import Detector, Facts
from flawscope.methods.registry import contradiction, create
from flawscope.runtime.manifest import OutputSpec

Answer = dict[str, Tensor]


class Members(nn.Module):
    """Detectors that look at one picture.

    Args:
        detectors: K of them, with networks of their own.
        size: height and width at which pictures come in, in pixels.
        shared: where networks are one, as `alike` tells; None: where they are alike.

    Attributes:
        shared: see above.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        size: tuple[int, int],
        shared: Sequence[Sequence[Place]] | None = None,
    ) -> None:
        super().__init__()
        self.seats, self.size = nn.ModuleList(detectors), size
        other = {one.options.size for one in detectors} - {size}
        self.shrinks = nn.ModuleDict({_key(one): resize(size, one) for one in other})
        self.enlarges = nn.ModuleDict({_key(one): resize(one, size) for one in other})
        sizes = [one.options.size for one in detectors]
        self.shared = [list(group) for group in (alike(detectors, sizes) if shared is None else shared)]
        self._lenders = tuple(lend(detectors, group, sizes[group[0][0]]) for group in self.shared)
        self.networks = nn.ModuleList(lender.network for lender in self._lenders)

    def __len__(self) -> int:
        return len(self.seats)

    def __iter__(self) -> Iterator[Detector]:
        return (one for one in self.seats if isinstance(one, Detector))

    def __getitem__(self, number: int) -> Detector:
        return list(self)[number]

    @property
    def steps(self) -> bool:
        """Whether some member's score is a step function."""
        return any(one.outputs[0].parity for one in self)

    def apart(self) -> list[Detector]:
        """Copies of the detectors, with networks of their own."""
        copied = copy.deepcopy(self)
        detectors = list(copied)
        for group in self.shared:
            take_back(detectors, group, detectors[group[0][0]].options.size)
        return detectors

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, list[Answer]]:
        """Raw scores (N, K), heatmaps (N, K, H, W) and whole answers of pixels (N, 3, H, W)."""
        answers, maps, seen = list[Answer](), [], {self.size: pixels}
        with ExitStack() as passes:
            for lender in self._lenders:
                passes.enter_context(lender.one_pass())
            for one in self:
                size = one.options.size
                if size not in seen:
                    seen[size] = self.shrinks[_key(size)](pixels)
                answers.append(one(seen[size]))
                heatmap = answers[-1]["heatmap"]
                maps.append(heatmap if size == self.size else self.enlarges[_key(size)](heatmap))
        return torch.stack([answer["score"] for answer in answers], 1), torch.stack(maps, 1), answers

    def compared(self, raw: Tensor, answers: Sequence[Answer]) -> Tensor:
        """What engines are compared on, (N, D): raw scores (N, K), or what those step on that are steps."""
        columns = [
            answer[judged] if (judged := one.outputs[0].parity) else raw[:, place : place + 1]
            for place, (one, answer) in enumerate(zip(self, answers, strict=True))
        ]
        return torch.cat(columns, 1)


def made(spec: MemberSpec, facts: Facts | None = None) -> Detector:
    """A member, unfitted, or to be restored from facts.

    Raises:
        OptionError: it has no heatmap.
    """
    found = create(spec.method, spec.options, facts)
    if not any(output.name == "heatmap" for output in found.outputs):
        raise contradiction(NAME, f"members with a heatmap; {spec.name} has none")
    return found


def further(member: Detector) -> list[OutputSpec]:
    """A member's outputs beside score and heatmap."""
    return [output for output in member.outputs if output.name not in ("score", "heatmap")]


def _key(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
