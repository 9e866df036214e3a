"""The committee as a detector: members of any methods, their scores levelled on good pictures and joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.samples import paths_of
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.agreement import HoldsEngines, require_agreement
from flawscope.methods.committee import learning, trial
from flawscope.methods.committee.budget import leave_out
from flawscope.methods.committee.learning import FEWEST, for_members, for_teaching, looked, needs_of, suited
from flawscope.methods.committee.levels import TailLevels, joined, joined_maps, levels_of
from flawscope.methods.committee.members import Members, further, made, outputs_of
from flawscope.methods.committee.options import NAME, PARTS, PRESETS, CommitteeOptions
from flawscope.methods.committee.turning import turned
from flawscope.methods.detector import Detector, Facts, Learnt, Needs, Stage, Teachable
from flawscope.methods.running import taught
from flawscope.nn.run import Run
from flawscope.nn.upright.pose import Upright
from flawscope.nn.watch import Watch, batches
from flawscope.runtime.bundle import GRAPH
from flawscope.runtime.explain.absence import POSE, UPRIGHT
from flawscope.runtime.explain.joint import COMPARED, LEVELS, RAW, READER, TURNED, own_name

_BATCH = 8
_LEVELLING = "levelling the members"


class Committee(Detector):
    """Several detectors, one decision: how rare each member's score is among good pictures, joined."""

    name: ClassVar = NAME
    Options = CommitteeOptions
    options: CommitteeOptions
    presets: ClassVar = PRESETS
    explains: ClassVar = READER

    def __init__(self, options: CommitteeOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        known, specs = dict[str, Any](facts or {}), self.options.members
        self.left_out = dict[str, str](known.get("left_out", {}))
        self.specs = tuple(spec for spec in specs if spec.name not in self.left_out)
        each = known.get("members") or [{}] * len(self.specs)
        shared = [[(int(one), str(name)) for one, name in group] for group in known.get("shared", [])]
        detectors = [made(spec, own.get("learnt")) for spec, own in zip(self.specs, each, strict=True)]
        self.levels, self.map_levels = levels_of(self.specs)
        turning = known.get(UPRIGHT)  # height and width at which pictures are turned
        upright = Upright((int(turning[0]), int(turning[1]))) if turning else None
        lying = [bool(own.get(TURNED)) for own in each]
        self._seat(Members(detectors, self.options.size, shared, upright, lying))
        self._looked: tuple[list[Path], dict[str, str]] | None = None  # pictures, and what `look` said

    def needs(self) -> Needs:
        """See `Detector.needs`; the tuning pictures give the members' levels, see `learn`."""
        return needs_of(dict(zip(self.names, self.members, strict=True)))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the members, without those that are left out."""
        return tuple(str(spec.name) for spec in self.specs)

    @property
    def budget(self) -> float | None:
        """Most milliseconds that a picture may take; None: any."""
        return self.options.budget

    @property
    def good_levels(self) -> Tensor:
        """Levels (n, K) of the good pictures that gave them."""
        return self.levels.known()

    def _seat(self, members: Members) -> None:
        """Take these as members, and declare what they put out."""
        self.members = members
        self.outputs = outputs_of(self.names, members)

    def look(self, data: TrainingData, run: Run, watch: Watch) -> dict[str, str]:
        """The members that have nothing to compare, as a look at some good pictures tells, and why.

        `learn` takes this answer where it sees the same pictures, and looks no more; see `looked`.

        Raises:
            FlawscopeError, Stopped: what a member raises.
        """
        members = dict(zip(self.names, self.members, strict=True))
        given, _ = for_members(data, members, self.options.scaled)
        unfit = looked(members, given, run, watch)
        self._looked = paths_of(data.normal.samples), unfit
        return unfit

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Train the members on `data.normal`, each once (`fit_once`).

        The levels come from `data.tuning`, and from what no member learns from (`for_members`).

        Members that such parts give nothing to compare are left out, as `suited` tells, and those that cost
        more than they tell, of those that look for structural flaws (`trial`).

        Raises:
            DataError, OptionError, WeightsError, Stopped: what a member raises.
        """
        fresh = {str(spec.name): made(spec) for spec in self.options.members}
        given, _ = for_members(data, fresh, self.options.scaled)
        for name, member in fresh.items():
            member.needs().require(given[name], name)
        pictures, unfit = self._looked or (None, {})
        if pictures != paths_of(data.normal.samples):
            unfit = looked(fresh, given, run, watch)
        taking = {name: member for name, member in fresh.items() if name not in unfit}
        own, apart = for_members(data, taking, self.options.scaled)
        fitted = learning.counted_among_all(suited(fresh, given | own, unfit, run, watch), own, data.normal)
        self.left_out, names = fitted.left_out, list(fitted.members)
        self.specs = tuple(spec for spec in self.options.members if spec.name in names)
        self.levels, self.map_levels = levels_of(self.specs)
        lying, members = [name in fitted.turned for name in names], list(fitted.members.values())
        self._seat(Members(members, self.options.size, upright=fitted.upright, turned=lying))
        self.to(run.torch_device()).eval()
        self._level(data.tuning + apart, run, watch)
        if trial.enough(data.tuning, apart, run):
            self._try(data.tuning + apart, run, watch)
        return self._learnt()

    def teach(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """See `Teachable`: every member is taught.

        The levels are taken anew where tuning pictures are at hand; scores of what else gave the old ones
        move as those of the tuning pictures do.

        Raises:
            OptionError: a member that can only be trained again.
            Stopped: what a member raises.
        """
        members = self.members.apart()
        for name, member in zip(self.names, members, strict=True):
            if not isinstance(member, Teachable):
                raise OptionError(
                    f"member {name}",
                    expected="a method that can be taught further good pictures",
                    got=f"{member.name}, which can only be trained again",
                    fix="Add --retrain, which trains on the old pictures and the new ones.",
                )
        upright = self.members.upright
        for member, lying in zip(members, self.members.turned, strict=True):
            own = for_teaching(data, member)
            if lying and upright is not None:
                own = turned(own, upright, member.options.size)
            taught(member, own, run, watch)
        self._seat(Members(members, self.options.size, upright=upright, turned=self.members.turned))
        self.to(run.torch_device()).eval()
        if len(data.tuning) >= FEWEST:
            self._renew(data.tuning, run, watch)
        return self._learnt()

    def without(self, number: int) -> Committee:
        """A fitted committee of the other members, as they are; this one stays."""
        kept = [place for place in range(len(self.members)) if place != number]
        specs = tuple(self.specs[place] for place in kept)
        other = Committee(self.options.model_copy(update={"members": specs}), {"left_out": self.left_out})
        other._seat(self.members.only(kept))
        other.levels, other.map_levels = self.levels.only(kept), self.map_levels.only(kept)
        other.learnt = other._learnt()
        return other.eval()

    def within_budget(self, measure: Callable[[Detector], float], watch: Watch) -> Detector:
        """The same, or without the members that `leave_out` names; `measure` finds milliseconds a picture."""
        return self if self.budget is None else leave_out(self, self.budget, measure, watch)

    def _learnt(self) -> Learnt:
        """What the manifest keeps."""
        facts: dict[str, Any] = {
            "shared": [[list(place) for place in group] for group in self.members.shared],
            "members": [self._facts(index) for index in range(len(self.members))],
            "join": self.options.join,
            "levelled_on": self.levels.scores.shape[1],
            **({UPRIGHT: list(upright.size)} if (upright := self.members.upright) is not None else {}),
            **({"left_out": self.left_out} if self.left_out else {}),
        }
        return Learnt(facts=facts)

    def _level(self, good: Pictures, run: Run, watch: Watch) -> None:
        """Take the levels of scores and of the maps' peaks from good pictures that no member learns from."""
        read = self._read(batches(good, run, watch, _LEVELLING, _BATCH))
        for levels, found in zip(self._levels, read, strict=True):
            levels.learn(found)

    def _try(self, good: Pictures, run: Run, watch: Watch) -> None:
        """Leave out the members without which flaws drawn onto these good pictures are told better."""
        tried = [number for number, spec in enumerate(self.specs) if spec.sense == trial.SENSE]
        if not self.options.trial or len(tried) < 2:
            return
        raw, _ = self._read(trial.drawn_on(good, run, watch, _BATCH))
        drawn = self.levels(raw.to(self.levels.start.device))
        worse = trial.worse_with(self.good_levels, drawn, tried, self.options.join)
        for number, why in worse.items():
            self.left_out[self.names[number]] = why
            watch.say(f"{self.names[number]} is left out: {why}.")
        if worse:
            self._keep([number for number in range(len(self.specs)) if number not in worse])

    def _keep(self, kept: Sequence[int]) -> None:
        """Go on with these members alone, as they are."""
        self.specs = tuple(self.specs[number] for number in kept)
        self._seat(self.members.only(kept))
        self.levels, self.map_levels = self.levels.only(kept), self.map_levels.only(kept)
        self.eval()

    def _renew(self, tuning: Pictures, run: Run, watch: Watch) -> None:
        """The same after teaching, from the first of those pictures; the others' values move as theirs do."""
        read = self._read(batches(tuning, run, watch, _LEVELLING, _BATCH))
        for levels, found in zip(self._levels, read, strict=True):
            before = levels.scores.T.cpu()  # (n, K)
            moved = before[len(found) :]
            if len(moved):
                moved = moved + (found - before[: len(found)]).mean(0)
            levels.learn(torch.cat([found, moved]))

    @property
    def _levels(self) -> tuple[TailLevels, TailLevels]:
        """Of scores, and of the maps' peaks."""
        return self.levels, self.map_levels

    def _read(self, pictures: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Raw scores (n, K) of the members, and the peaks (n, K) of their maps, of batches (b, 3, H, W)."""
        scores, peaks = [], []
        for pixels in pictures:
            with torch.no_grad():
                seen = self.members(pixels)
            scores.append(seen.raw.cpu())
            peaks.append(seen.maps.flatten(2).amax(2).cpu())
        return torch.cat(scores), torch.cat(peaks)

    def _facts(self, index: int) -> dict[str, Any]:
        """What explanation and a restored committee must know of a member."""
        spec, member = self.specs[index], self.members[index]
        output, senses = PARTS.get(spec.method, ("", {}))
        return {
            "name": spec.name,
            "sense": spec.sense,
            "senses": {"output": output, "of": dict(senses)} if senses else {},
            "explains": member.explains,
            "scalars": [knob.model_dump(mode="json") for knob in member.options.scalars],
            "outputs": [output.model_dump(mode="json") for output in member.outputs],
            "learnt": dict(member.learnt.facts),
            **({TURNED: True} if self.members.turned[index] else {}),
        }

    def stages(self) -> tuple[Stage, ...]:
        """One graph; in float32 throughout where some stretch of a member must be, or parts are turned.

        Raises:
            OptionError: options of a member with which no model folder can be made.
        """
        own = [stage for member in self.members for stage in member.stages()]
        outputs = tuple(output.name for output in self.outputs)
        half = self.members.upright is None and all(stage.half for stage in own)
        return (Stage(GRAPH, ("pixels",), outputs, self, half=half),)

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; score is the joined level of `join`."""
        del scalars
        raw, maps, answers, pose = self.members(pixels)
        levels = self.levels(raw)
        outputs = {
            "score": joined(levels, self.options.join),
            "heatmap": joined_maps(self.map_levels.linear(maps), self.levels.slowed),
            LEVELS: levels,
            RAW: raw,
        }
        if pose is not None:
            outputs[POSE] = pose
        if self.members.steps:
            outputs[COMPARED] = self.members.compared(raw, answers)
        for name, member, answer in zip(self.names, self.members, answers, strict=True):
            outputs |= {own_name(name, one.name): answer[one.name] for one in further(member)}
        return outputs

    def hold(self, outputs: Mapping[str, NDArray[Any]], engine: str) -> None:
        """See `HoldsEngines`: scores are what the members' amount to, and these hold by themselves."""
        if not self.members.steps:
            return
        raw = torch.from_numpy(outputs[RAW])
        for place, (name, member) in enumerate(zip(self.names, self.members, strict=True)):
            if isinstance(member, HoldsEngines):
                own = {one.name: outputs.get(own_name(name, one.name)) for one in further(member)}
                given = {key: value for key, value in own.items() if value is not None}
                member.hold({"score": outputs[RAW][:, place], **given}, engine)
        with torch.inference_mode():
            levels = self.levels(raw.to(self.levels.start.device))
            expected = joined(levels, self.options.join).cpu().numpy()
        require_agreement(expected, outputs["score"], engine, "what its members' scores amount to")
