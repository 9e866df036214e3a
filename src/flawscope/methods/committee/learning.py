"""What members want to see, and what of a committee's pictures each of them sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flawscope.data.pictures import Pictures
from flawscope.data.samples import paths_of
from flawscope.data.tiles import units_of
from flawscope.data.training import TrainingData, evenly
from flawscope.errors import UnsuitedError
from flawscope.methods.committee.frames import at_size
from flawscope.methods.committee.turning import can_be_turned, turned
from flawscope.methods.detector import Detector, Needs
from flawscope.methods.fit_once import fit_once
from flawscope.methods.idle import LooksFirst, MayBeIdle
from flawscope.methods.turning import TurnsParts, upright_of
from flawscope.nn.banks.preflight import in_turn
from flawscope.nn.joining.absent import SHOWN
from flawscope.nn.run import Run
from flawscope.nn.upright.pose import Upright
from flawscope.nn.watch import Watch

FEWEST = 2  # tuning pictures, which a spread needs


def needs_of(members: Mapping[str, Detector]) -> Needs:
    """What a committee of these members, by name, wants to see."""
    each = {name: member.needs() for name, member in members.items()}
    known = [needs for needs in each.values() if needs.defective]
    costs = [needs.cost for needs in each.values() if needs.cost is not None]
    apart = _apart(list(each.values()))
    return Needs(
        normal=max(
            needs.normal + max(FEWEST, needs.tuning) * (apart or bool(needs.tuning))
            for needs in each.values()
        ),
        tuning=FEWEST,
        natural=max(needs.natural for needs in each.values()),
        defective=max(needs.defective for needs in each.values()),
        parts=max(needs.parts for needs in each.values()),
        optional=frozenset({"defective"})
        if all("defective" in one.optional for one in known)
        else frozenset(),
        instead={
            kind: f"{fix.replace('options.', '')} for member {name}"
            for name, needs in each.items()
            for kind, fix in needs.instead.items()
        }
        | {"tuning": "raise it"},
        cost=(lambda pictures: in_turn([cost(pictures) for cost in costs])) if costs else None,
        whole=next((f"{one.whole} (member {name})" for name, one in each.items() if one.whole), ""),
    )


def for_members(
    data: TrainingData, members: Mapping[str, Detector], scaled: float
) -> tuple[dict[str, TrainingData], Pictures]:
    """What each member learns from, and the pictures of `data.normal` that none of them does.

    Where members scale themselves on a share of the pictures, and take means and deviations alone from it
    (`Needs.moments`), the others leave it out, too, so that it serves the committee's levels beside
    `data.tuning`: of a dozen pictures alone a level is a matter of chance. Where a member takes more, as the
    bounds of SADSeM, or learns from them, as SegAD does, none is left.
    """
    apart = _apart([member.needs() for member in members.values()])
    given = {name: for_member(data, member, scaled, apart=apart) for name, member in members.items()}
    return given, _divided(data, scaled if apart else 0.0)[1]


def _apart(each: Sequence[Needs]) -> bool:
    """Whether pictures on which members scale themselves are kept from all others; see `for_members`."""
    scaling = [needs for needs in each if needs.tuning]
    return bool(scaling) and all(needs.moments for needs in scaling)


def for_member(data: TrainingData, member: Detector, scaled: float, *, apart: bool = False) -> TrainingData:
    """What a member learns from: pictures of `data.normal` at its size, and of the other kinds what it needs.

    Members that scale themselves do it on a share of `data.normal`, `scaled` or what they ask for; annotated
    pictures are not among it. Others learn from all, or, with `apart`, without that share.
    """
    needs, size = member.needs(), member.options.size

    def given(pictures: Pictures | None) -> Pictures | None:
        return None if pictures is None else at_size(pictures, size)

    learnt, tuning = _divided(data, (needs.tuning_share or scaled) if needs.tuning or apart else 0.0)
    return TrainingData(
        normal=at_size(learnt, size),
        tuning=at_size(tuning if needs.tuning else tuning.subset([]), size),
        natural=given(data.natural) if needs.natural else None,
        defective=given(data.defective) if needs.defective else None,
        parts=given(data.parts),
    )


@dataclass(frozen=True)
class Fitted:
    """Members that were fitted, and how they see parts that lie at any angle.

    Attributes:
        members: by name, in the committee's order.
        left_out: why each of the others is.
        upright: by which parts are turned for members that do not do so themselves; None: for none.
        turned: the names of those.
    """

    members: dict[str, Detector]
    left_out: dict[str, str]
    upright: Upright | None
    turned: frozenset[str]


def suited(
    members: Mapping[str, Detector],
    given: Mapping[str, TrainingData],
    unfit: Mapping[str, str],
    run: Run,
    watch: Watch,
) -> Fitted:
    """The members that such parts give something to compare, fitted, and why each of the others is left out.

    Where one of them finds that parts lie at any angle and turns them, all others that can (`can_be_turned`)
    learn from turned pictures, too.

    Those go that are `unfit`, as a look at some of the pictures told (`looked`), those that refuse good
    pictures as unsuited, and those that are fitted and say that they are idle, by good pictures' evidence
    alone. A member that has nothing to say would raise and lower scores by chance whatever its levels, which
    tell how rare a score is, and not whether flaws raise it.

    Raises:
        UnsuitedError: what the first to be fitted refuses, where none is left. Idle ones stay where all are.
        FlawscopeError: what else a member raises.
    """
    found, refused = dict[str, Detector](), dict[str, UnsuitedError]()
    lying = set[str]()
    for name in sorted(members, key=lambda name: not isinstance(members[name], TurnsParts)):
        if name in unfit:
            continue
        member, data = members[name], given[name]
        upright = upright_of(found.values())
        if upright is not None and can_be_turned(member, data):
            watch.say(f"{name} sees parts turned, too.")
            data = turned(data, upright, member.options.size)
            lying.add(name)
        try:
            found[name] = _fitted(member, data, run, watch)
        except UnsuitedError as error:
            refused[name] = error
    if not found:
        raise next(iter(refused.values()))
    idle = {
        name: said
        for name, member in found.items()
        if isinstance(member, MayBeIdle) and (said := member.idle())
    }
    left = {name: member for name, member in found.items() if name not in idle} or found
    kept = {name: left[name] for name in members if name in left}
    why = {**unfit, **{name: str(error).rstrip(".") for name, error in refused.items()}, **idle}
    left_out = {name: why[name] for name in members if name not in kept}
    for name, said in left_out.items():
        watch.say(f"{name} is left out: {said}.")
    return Fitted(kept, left_out, upright_of(found.values()), frozenset(lying & kept.keys()))


def looked(
    members: Mapping[str, Detector], given: Mapping[str, TrainingData], run: Run, watch: Watch
) -> dict[str, str]:
    """The members that have nothing to compare, as a look tells (`LooksFirst`), and why; not all of them.

    Raises:
        FlawscopeError, Stopped: what a member raises.
    """
    said = {
        name: member.unsuited(given[name], run, watch)
        for name, member in members.items()
        if isinstance(member, LooksFirst) and len(members) > 1
    }
    found = {name: why for name, why in said.items() if why}
    return found if len(found) < len(members) else {}


def _fitted(member: Detector, data: TrainingData, run: Run, watch: Watch) -> Detector:
    """The member, fitted, or as it was kept; anew where it learns from defects, whose masks no name tells."""
    once = not member.needs().defective
    return fit_once(member, data, run, watch) if once else member.fit(data, run, watch)


def for_teaching(data: TrainingData, member: Detector) -> TrainingData:
    """The new good pictures of `data.normal` at a member's size, and nothing to scale on."""
    size = member.options.size
    return TrainingData(normal=at_size(data.normal, size), tuning=at_size(data.tuning.subset([]), size))


def counted_among_all(fitted: Fitted, given: Mapping[str, TrainingData], pictures: Pictures) -> Fitted:
    """The same, with facts of members that number good pictures counting them among all of these.

    A member numbers those that it has learnt from, which may be fewer.
    """
    numbers = {sample.path: number for number, sample in enumerate(pictures.samples)}
    for name, member in fitted.members.items():
        shown: Any = member.learnt.facts.get(SHOWN)
        if shown:
            paths = paths_of(given[name].normal.samples)
            places: list[Any] = [[numbers[paths[int(number)]], *place] for number, *place in shown]
            member.learnt = replace(member.learnt, facts={**member.learnt.facts, SHOWN: places})
    return fitted


def _divided(data: TrainingData, share: float) -> tuple[Pictures, Pictures]:
    """Good pictures to learn from, and such a share of them to scale on, as `TrainingData.for_detector`."""
    owners = units_of(data.normal.samples)
    annotated = {sample.path for sample in data.parts.samples} if data.parts is not None else set()
    kept = {
        owner for owner, sample in zip(owners, data.normal.samples, strict=True) if sample.path in annotated
    }
    free = [owner for owner in dict.fromkeys(owners) if owner not in kept]
    chosen = {free[index] for index in evenly(len(free), share)}
    learnt, tuning = (
        data.normal.subset([index for index, owner in enumerate(owners) if (owner in chosen) is scales])
        for scales in (False, True)
    )
    return learnt, tuning
