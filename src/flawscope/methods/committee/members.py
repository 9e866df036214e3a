"""The members of a committee: each sees the picture at its size, and networks that are alike run once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from flawscope.methods.committee.frames import resize
from flawscope.methods.committee.options import NAME, MemberSpec
from flawscope.methods.committee.sharing import Place, alike, lend, take_back
from flawscope.methods.detector import HEATMAP, SCORE, Detector, Facts
from flawscope.methods.registry import contradiction, create
from flawscope.methods.turning import POSES
from flawscope.nn.upright.pose import Upright
from flawscope.runtime.explain.joint import COMPARED, LEVELS, RAW, own_name
from flawscope.runtime.manifest import OutputSpec

Answer = dict[str, Tensor]


class Seen(NamedTuple):
    """What K members say of N pictures.

    Attributes:
        raw: (N, K) their scores.
        maps: (N, K, H, W) their heatmaps, over the pictures as they came.
        answers: of each member.
        pose: (N, 4) by which pictures were turned for some of them, in pixels of the size of `upright`; None:
            for none.
    """

    raw: Tensor
    maps: Tensor
    answers: list[Answer]
    pose: Tensor | None


class Members(nn.Module):
    """Detectors that look at one picture.

    Args:
        detectors: K of them, with networks of their own.
        size: height and width at which pictures come in, in pixels.
        shared: where networks are one, as `alike` tells; None: where they are alike.
        upright: by which pictures are turned for some of them; a copy is kept.
        turned: whether for each of them; by default for none.

    Attributes:
        shared, upright, turned: see above.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        size: tuple[int, int],
        shared: Sequence[Sequence[Place]] | None = None,
        upright: Upright | None = None,
        turned: Sequence[bool] = (),
    ) -> None:
        super().__init__()
        self.seats, self.size = nn.ModuleList(detectors), size
        self.turned = tuple(turned) or (False,) * len(detectors)
        self.upright = copy.deepcopy(upright) if any(self.turned) else None
        sizes = [one.options.size for one in detectors]
        before = {*sizes} if self.upright is None else {*sizes, self.upright.size}
        self.shrinks = nn.ModuleDict({_key(one): resize(size, one) for one in before - {size}})
        self.enlarges = nn.ModuleDict({_key(one): resize(one, size) for one in {*sizes} - {size}})
        self.after = nn.ModuleDict(
            {_key(one): resize(self.upright.size, one) for one in {*sizes} - {self.upright.size}}
            if self.upright is not None
            else {}
        )
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

    def only(self, kept: Sequence[int]) -> Members:
        """Copies of these alone, which see parts as they do here."""
        own = self.apart()
        turned = [self.turned[number] for number in kept]
        return Members([own[number] for number in kept], self.size, upright=self.upright, turned=turned)

    def forward(self, pixels: Tensor) -> Seen:
        """What they say of pixels (N, 3, H, W)."""
        answers, maps = list[Answer](), []
        seen, pose, lying = {self.size: pixels}, None, dict[tuple[int, int], Tensor]()
        with ExitStack() as passes:
            for lender in self._lenders:
                passes.enter_context(lender.one_pass())
            if self.upright is not None:
                whole = self._sized(seen, self.upright.size, self.shrinks)
                pose = self.upright(whole)
                lying[self.upright.size] = self.upright.turned(whole, pose)
            for one, turned in zip(self, self.turned, strict=True):
                size = one.options.size
                own = (
                    self._sized(lying, size, self.after) if turned else self._sized(seen, size, self.shrinks)
                )
                answers.append(one(own))
                heatmap = answers[-1]["heatmap"]
                if turned and self.upright is not None and pose is not None:
                    heatmap = self.upright.back(heatmap, pose)
                maps.append(heatmap if size == self.size else self.enlarges[_key(size)](heatmap))
        raw = torch.stack([answer["score"] for answer in answers], 1)
        return Seen(raw, torch.stack(maps, 1), answers, pose)

    @staticmethod
    def _sized(known: dict[tuple[int, int], Tensor], size: tuple[int, int], by: nn.ModuleDict) -> Tensor:
        """The pictures at `size`, of those that are `known` by size, the first of which are whole."""
        if size not in known:
            known[size] = by[_key(size)](next(iter(known.values())))
        return known[size]

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


def outputs_of(names: Sequence[str], members: Members) -> tuple[OutputSpec, ...]:
    """Score, heatmap, levels and raw scores of members of these names, and their own further outputs."""
    about = "−log of the share of good pictures that score as high to each member"
    levels = OutputSpec(name=LEVELS, kind="vector", about=about, names=tuple(names))
    raw = OutputSpec(name=RAW, kind="vector", about="raw score of each member", names=tuple(names))
    compared = OutputSpec(name=COMPARED, kind="vector", about="what engines are compared on")
    return (
        SCORE.model_copy(update={"parity": COMPARED}) if members.steps else SCORE,
        HEATMAP,
        *((levels, raw, compared) if members.steps else (levels, raw)),
        *(() if members.upright is None else (POSES,)),
        *(
            output.model_copy(update={"name": own_name(name, output.name), "parity": None})
            for name, member in zip(names, members, strict=True)
            for output in further(member)
        ),
    )


def further(member: Detector) -> list[OutputSpec]:
    """A member's outputs beside score and heatmap."""
    return [output for output in member.outputs if output.name not in ("score", "heatmap")]


def _key(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
