"""The committee as a detector: members of any methods, their scores levelled on good pictures and joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flawscope.data.training import TrainingData
from flawscope.errors import BundleError
from flawscope.methods.committee.frames import resize
from flawscope.methods.committee.learning import for_member, needs_of
from flawscope.methods.committee.levels import TailLevels, joined
from flawscope.methods.committee.options import NAME, PARTS, PRESETS, CommitteeOptions, MemberSpec
from flawscope.methods.committee.sharing import Lender, alike, lend
from flawscope.methods.detector import HEATMAP, SCORE, Detector, Facts, Learnt, Needs, Stage
from flawscope.methods.fit_once import fit_once
from flawscope.methods.registry import contradiction, create
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch, batches
from flawscope.runtime.bundle import GRAPH
from flawscope.runtime.explain.joint import COMPARED, LEVELS, RAW, READER, own_name
from flawscope.runtime.manifest import OutputSpec

_BATCH = 8
_TOLERANCE = 1e-3  # of the score, against what its members' scores say


class Committee(Detector):
    """Several detectors, one decision: how rare each member's score is among good pictures, joined."""

    name: ClassVar = NAME
    Options = CommitteeOptions
    options: CommitteeOptions
    presets: ClassVar = PRESETS
    explains: ClassVar = READER

    def __init__(self, options: CommitteeOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        known = dict[str, Any](facts or {})
        specs = self.options.members
        each = known.get("members") or [{}] * len(specs)
        self._seat([_made(spec, own.get("learnt")) for spec, own in zip(specs, each, strict=True)])
        self.networks = nn.ModuleList()
        self._lenders: tuple[Lender, ...] = ()
        self._share([[(int(one), str(name)) for one, name in group] for group in known.get("shared", [])])
        self.levels, self.map_levels = TailLevels(len(specs)), TailLevels(len(specs))
        self.outputs = self._outputs()

    def needs(self) -> Needs:
        """See `Detector.needs`; the tuning pictures give the members' levels."""
        return needs_of(dict(zip(self.names, self.members, strict=True)))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the members."""
        return tuple(str(spec.name) for spec in self.options.members)

    @property
    def members(self) -> list[Detector]:
        """The detectors that are joined, K of them."""
        return [member for member in self.seats if isinstance(member, Detector)]

    def _seat(self, members: Sequence[Detector]) -> None:
        """Take these as members, with what brings pictures to their size and maps back to the committee's."""
        self.seats = nn.ModuleList(members)
        size = self.options.size
        other = {member.options.size for member in members} - {size}
        self.shrinks = nn.ModuleDict({_key(one): resize(size, one) for one in other})
        self.enlarges = nn.ModuleDict({_key(one): resize(one, size) for one in other})

    def _share(self, groups: Sequence[Sequence[tuple[int, str]]]) -> None:
        """Let each group of members' networks be one."""
        sizes = [member.options.size for member in self.members]
        self._lenders = tuple(lend(self.members, group, sizes[group[0][0]]) for group in groups)
        self.networks = nn.ModuleList(lender.network for lender in self._lenders)

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Train the members on `data.normal`, each once (`fit_once`); the levels come from `data.tuning`.

        Raises:
            DataError, OptionError, WeightsError, Stopped: what a member raises.
        """
        fresh = [_made(spec) for spec in self.options.members]
        given = [for_member(data, member, self.options.scaled) for member in fresh]
        for name, member, seen in zip(self.names, fresh, given, strict=True):
            member.needs().require(seen, name)
        fitted = []
        for member, seen in zip(fresh, given, strict=True):
            special = member.needs().defective or seen.parts is not None  # which names of fits do not tell
            fitted.append(member.fit(seen, run, watch) if special else fit_once(member, seen, run, watch))
        self._seat(fitted)
        groups = alike(fitted, [member.options.size for member in fitted])
        self._share(groups)
        self.to(run.torch_device()).eval()
        self._level(data, run, watch)
        self.outputs = self._outputs()
        facts: dict[str, Any] = {
            "shared": [[list(place) for place in group] for group in groups],
            "members": [self._facts(index) for index in range(len(fitted))],
            "join": self.options.join,
            "levelled_on": len(data.tuning),
        }
        return Learnt(facts=facts, reference=self._check if self._steps else None)

    def _level(self, data: TrainingData, run: Run, watch: Watch) -> None:
        """Take the levels of scores and of the maps' peaks from the tuning pictures."""
        scores, peaks = [], []
        for pixels in batches(data.tuning, run, watch, "levelling the members", _BATCH):
            with torch.no_grad():
                raw, maps, _ = self._asked(pixels)
            scores.append(raw.cpu())
            peaks.append(maps.flatten(2).amax(2).cpu())
        self.levels.learn(torch.cat(scores))
        self.map_levels.learn(torch.cat(peaks))

    def _facts(self, index: int) -> dict[str, Any]:
        """What explanation and a restored committee must know of a member."""
        spec, member = self.options.members[index], self.members[index]
        output, senses = PARTS.get(spec.method, ("", {}))
        return {
            "name": spec.name,
            "sense": spec.sense,
            "senses": {"output": output, "of": dict(senses)} if senses else {},
            "explains": member.explains,
            "outputs": [output.model_dump(mode="json") for output in member.outputs],
            "learnt": dict(member.learnt.facts),
        }

    def _outputs(self) -> tuple[OutputSpec, ...]:
        """What `forward` gives of these members."""
        names, steps = self.names, self._steps
        levels = OutputSpec(
            name=LEVELS,
            kind="vector",
            about="−log of the share of good pictures that score as high to each member",
            names=names,
        )
        raw = OutputSpec(name=RAW, kind="vector", about="raw score of each member", names=names)
        compared = OutputSpec(name=COMPARED, kind="vector", about="what engines are compared on")
        return (
            SCORE.model_copy(update={"parity": COMPARED}) if steps else SCORE,
            HEATMAP,
            *((levels, raw, compared) if steps else (levels, raw)),
            *(
                output.model_copy(update={"name": own_name(name, output.name), "parity": None})
                for name, member in zip(names, self.members, strict=True)
                for output in _further(member)
            ),
        )

    @property
    def _steps(self) -> bool:
        """Whether some member's score is a step function."""
        return any(member.outputs[0].parity for member in self.members)

    def stages(self) -> tuple[Stage, ...]:
        """One graph; in float32 throughout where some stretch of a member must be.

        Raises:
            OptionError: options of a member with which no model folder can be made.
        """
        own = [stage for member in self.members for stage in member.stages()]
        outputs = tuple(output.name for output in self.outputs)
        return (Stage(GRAPH, ("pixels",), outputs, self, half=all(stage.half for stage in own)),)

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; score is the joined level of `join`."""
        del scalars
        raw, maps, answers = self._asked(pixels)
        levels = self.levels(raw)
        outputs = {
            "score": joined(levels, self.options.join),
            "heatmap": self.map_levels.linear(maps).amax(1),
            LEVELS: levels,
            RAW: raw,
        }
        if self._steps:
            outputs[COMPARED] = torch.cat(
                [
                    answer[judged] if (judged := member.outputs[0].parity) else raw[:, place : place + 1]
                    for place, (member, answer) in enumerate(zip(self.members, answers, strict=True))
                ],
                1,
            )
        for name, member, answer in zip(self.names, self.members, answers, strict=True):
            outputs |= {own_name(name, one.name): answer[one.name] for one in _further(member)}
        return outputs

    def _asked(self, pixels: Tensor) -> tuple[Tensor, Tensor, list[dict[str, Tensor]]]:
        """Raw scores (N, K), maps (N, K, H, W) and whole answers of the members."""
        answers, maps, seen = [], [], {self.options.size: pixels}
        with ExitStack() as passes:
            for lender in self._lenders:
                passes.enter_context(lender.one_pass())
            for member in self.members:
                size = member.options.size
                if size not in seen:
                    seen[size] = self.shrinks[_key(size)](pixels)
                answer: dict[str, Tensor] = member(seen[size])
                heatmap = answer["heatmap"]
                maps.append(heatmap if size == self.options.size else self.enlarges[_key(size)](heatmap))
                answers.append(answer)
        return torch.stack([answer["score"] for answer in answers], 1), torch.stack(maps, 1), answers

    def _check(self, outputs: Mapping[str, NDArray[Any]], engine: str) -> None:
        """Hold an engine's score against its members' own, and those against the members' references.

        Raises:
            BundleError: they contradict each other.
        """
        raw = torch.from_numpy(outputs[RAW])
        for place, (name, member) in enumerate(zip(self.names, self.members, strict=True)):
            if member.learnt.reference is not None:
                own = {one.name: outputs.get(own_name(name, one.name)) for one in _further(member)}
                given = {key: value for key, value in own.items() if value is not None}
                member.learnt.reference({"score": outputs[RAW][:, place], **given}, engine)
        with torch.inference_mode():
            levels = self.levels(raw.to(self.levels.start.device))
            expected = joined(levels, self.options.join).cpu().numpy()
        apart = float(np.abs(expected - outputs["score"]).max())
        if apart > _TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise BundleError(
                f"scores by {engine}",
                expected="what its members' scores amount to",
                got=f"others, by up to {apart:.3g}",
                fix="Report the method and its options as a bug.",
            )


def _made(spec: MemberSpec, facts: Facts | None = None) -> Detector:
    """A member, unfitted, or to be restored from facts.

    Raises:
        OptionError: it has no heatmap.
    """
    made = create(spec.method, spec.options, facts)
    if not any(output.name == "heatmap" for output in made.outputs):
        raise contradiction(NAME, f"members with a heatmap; {spec.name} has none")
    return made


def _further(member: Detector) -> list[OutputSpec]:
    """A member's outputs beside score and heatmap."""
    return [output for output in member.outputs if output.name not in ("score", "heatmap")]


def _key(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
