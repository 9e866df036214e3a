"""Options of the committee; no paper has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field

from flawscope.errors import FlawscopeError
from flawscope.methods.detector import DetectorOptions, Side
from flawscope.methods.registry import MethodSpec, contradiction, method_class, options_of, parse_options

NAME = "committee"
SENSES: Mapping[str, str] = {  # in what sense a method's score is high; structural: all others
    "classifier": "known defect",
    "csad": "logical",
    "devnet": "known defect",
    "dra": "known defect",
    "sadsem": "logical",
    "segad": "known defect",
}
SLOW = frozenset({"csad", "sadsem"})  # methods whose scores jump where a component of a good part is missed
PARTS: Mapping[str, tuple[str, Mapping[str, str]]] = {  # a vector whose largest entry tells the sense
    "csad": ("branches", dict.fromkeys(("structure", "shapes", "colours", "hues"), "structural")),
}


BESIDE_OTHERS: Mapping[str, Any] = {  # CSAD's, where another member finds structural flaws
    "structure": None,
    "segments": {"kind": "components", "preset": "cpu", "labels": {"agreeing": 0.25}},
}


class MemberSpec(MethodSpec):
    """A method as a member, under a name of its own."""

    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        description="what outputs and findings call it, of letters, digits, _ and -; else its method's name",
    )
    sense: str | None = Field(
        None,
        min_length=1,
        description="in what sense its score is high, as findings say it: structural, logical, known defect; "
        "by default what the method finds",
    )
    tail: Literal["exponential", "logarithmic"] | None = Field(
        None,
        description="how its level rises where its score is higher than that of any good picture that gave "
        "the levels: with the score, or with its logarithm, for scores that jump where a component of a good "
        "part is missed; by default as the method's scores are",
    )


class CommitteeOptions(DetectorOptions):
    """Options of the committee; the defaults were chosen once, for all products."""

    size: tuple[Side, Side] = Field(
        (320, 320),
        description="input height and width in pixels; members whose options name another see it resized",
    )
    members: tuple[MemberSpec, ...] = Field(
        (
            MemberSpec(method="joined_banks", preset="default"),
            MemberSpec(method="csad", preset="default", options=BESIDE_OTHERS),
        ),
        min_length=1,
        description="detectors of any methods, each {method, preset, options, name, sense, tail}",
    )
    join: Literal["largest", "sum"] = Field(
        "largest",
        description="the largest of the members' −log p (Tippett 1931), since a flaw mostly shows to one of "
        "them and good pictures raise several at once, or their sum (Fisher 1932)",
    )
    scaled: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="share of the members' pictures that those which scale themselves do it on, two or more; "
        "the levels are of them, too",
    )
    trial: bool = Field(
        True,
        description="whether members whose `sense` is structural, where there are two or more, are tried on "
        "pieces moved within the pictures that give the levels, and left out where others tell those better",
    )
    budget: float | None = Field(
        None,
        gt=0,
        description="most milliseconds that a picture may take on the machine that trains; members are left "
        "out until it is kept",
    )

    def resolved(self) -> Self:
        """The same with names, senses and all options of the members, at this aspect."""
        members = tuple(self._written_out(spec) for spec in self.members)
        names = [spec.name for spec in members]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise contradiction(NAME, f"members of different names; two are called {twice}: give one a name")
        return self.model_copy(update={"members": members})

    def _written_out(self, spec: MemberSpec) -> MemberSpec:
        if spec.method == NAME:
            raise contradiction(NAME, "members that are no committees themselves")
        name = spec.name or spec.method
        try:
            own = {"size": list(self.size), "aspect": self.aspect}
            given = options_of(spec.method, spec.preset, {}) | own | spec.options
            options = parse_options(spec.method, method_class(spec.method).Options, given)
        except FlawscopeError as error:
            raise contradiction(NAME, f"members that can be made: {str(error).rstrip('.')}") from error
        height, width = options.size
        stretched = height * self.size[1] != width * self.size[0]
        if options.aspect != self.aspect or (self.aspect == "pad" and stretched):
            raise contradiction(NAME, f"{name} at the committee's aspect, for all members see one picture")
        return MemberSpec(
            method=spec.method,
            options=options.model_dump(mode="json"),
            name=name,
            sense=spec.sense or SENSES.get(spec.method, "structural"),
            tail=spec.tail or ("logarithmic" if spec.method in SLOW else "exponential"),
        )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    # for machines that have hours, or a GPU
    "full": {
        "members": [
            {"method": "joined_banks", "preset": "default"},
            {"method": "csad", "preset": "default", "options": BESIDE_OTHERS},
            {"method": "efficientad", "options": {"size": [256, 256], "steps": 10_000}},
        ]
    },
}
