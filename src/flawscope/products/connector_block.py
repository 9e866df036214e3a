"""A terminal block with six places: five coloured wires in fixed order, the sixth place empty."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from flawscope.products import damage
from flawscope.products.canvas import Canvas, colour
from flawscope.products.connector_parts import (
    BLOCK,
    BLOCK_Y,
    ORDER,
    PLACES,
    WIRE_RADIUS,
    Wire,
    bundle,
    centre,
    copper,
    housing,
    insulation,
    plate,
    recess,
    screw,
    stretch,
    tab,
)
from flawscope.products.scene import Mark, Outcome, Product, Streams, kinds_of
from flawscope.products.shapes import blob


@dataclass
class Assembly:
    """What the drawing is made from; some flaws change it before it is drawn.

    `screws` holds the turn of each slot, None where the screw is missing; `tabs` each tab's slope.
    """

    wires: list[Wire]
    screws: list[float | None]
    tabs: list[float]


def draw(canvas: Canvas, streams: Streams, flaw: str | None) -> Outcome:
    """Paint plate, tabs, block and wires; with a flaw, the same scene but for the flaw."""
    plate(canvas, streams("plate"))
    turns: list[float | None] = list(streams("screws").uniform(0, math.pi, PLACES))
    assembly = Assembly(bundle(streams("wires")), turns, [0.0] * PLACES)
    rng = streams("flaw")
    outcome = Outcome()
    if flaw in _ON_ASSEMBLY:
        outcome = _ON_ASSEMBLY[flaw](canvas, assembly, rng)
    for place, slope in enumerate(assembly.tabs):
        canvas.paint(tab(canvas, place, slope))
    housing(canvas, streams("block"))
    for wire in assembly.wires:
        canvas.paint(insulation(canvas, wire), base=0.012)
        if wire.bare is not None:
            canvas.paint(copper(canvas, wire), base=0.02)
    for place, turn in enumerate(assembly.screws):
        if turn is not None:
            canvas.paint(screw(canvas, place, turn))
    if flaw in _ON_BLOCK:
        outcome = _ON_BLOCK[flaw](canvas, rng)
    return outcome


def _swapped(canvas: Canvas, assembly: Assembly, rng: np.random.Generator) -> Outcome:
    left, right = sorted(rng.choice(len(ORDER), 2, replace=False).tolist())
    wires = assembly.wires
    first, second = wires[left], wires[right]
    wires[left], wires[right] = replace(first, name=second.name), replace(second, name=first.name)
    masks = tuple(canvas.footprint(insulation(canvas, wire)) for wire in (first, second))
    return Outcome(f"{first.name} and {second.name} wires are swapped", masks)


def _missing_wire(canvas: Canvas, assembly: Assembly, rng: np.random.Generator) -> Outcome:
    wire = assembly.wires.pop(int(rng.integers(len(ORDER))))
    mask = canvas.footprint(insulation(canvas, wire)) | recess(canvas, wire.place)
    return Outcome(f"{wire.name} wire missing in place {wire.place + 1}", (mask,))


def _extra_wire(canvas: Canvas, assembly: Assembly, rng: np.random.Generator) -> Outcome:
    like = assembly.wires[-1]
    wire = replace(like, place=PLACES - 1, name=str(rng.choice(ORDER)))
    assembly.wires.append(wire)
    truth = f"extra {wire.name} wire in place {PLACES}, which must stay empty"
    return Outcome(truth, (canvas.footprint(insulation(canvas, wire)),))


def _misplaced_wire(canvas: Canvas, assembly: Assembly, rng: np.random.Generator) -> Outcome:
    """The last wire sits one place too far: the wires and their order are right."""
    old = assembly.wires[-1]
    new = replace(old, place=PLACES - 1, bow=old.bow - float(rng.uniform(0.1, 0.25)))
    assembly.wires[-1] = new
    left = canvas.footprint(insulation(canvas, old)) | recess(canvas, old.place)
    truth = f"{old.name} wire sits in place {PLACES} instead of {old.place + 1}"
    return Outcome(truth, (left, canvas.footprint(insulation(canvas, new))))


def _wrong_colour(canvas: Canvas, assembly: Assembly, rng: np.random.Generator) -> Outcome:
    index = int(rng.integers(len(ORDER)))
    old = assembly.wires[index]
    name = str(rng.choice([other for other in ORDER if other != old.name]))
    assembly.wires[index] = replace(old, name=name)
    mask = canvas.footprint(insulation(canvas, old))
    return Outcome(f"{name} wire instead of the {old.name} one in place {index + 1}", (mask,))


def _missing_screw(canvas: Canvas, assembly: Assembly, rng: np.random.Generator) -> Outcome:
    place = int(rng.integers(PLACES))
    assembly.screws[place] = None
    mask = canvas.footprint(screw(canvas, place, 0.0))
    return Outcome(f"screw missing in place {place + 1}", (mask,))


def _cut_insulation(canvas: Canvas, assembly: Assembly, rng: np.random.Generator) -> Outcome:
    index, bare = int(rng.integers(len(ORDER))), float(rng.uniform(0.08, 0.3))
    wire = replace(assembly.wires[index], bare=bare)
    assembly.wires[index] = wire
    mask = canvas.footprint(stretch(canvas, wire, WIRE_RADIUS, (bare - 0.022, bare + 0.022)))
    return Outcome(f"insulation of the {wire.name} wire is cut", (mask,))


def _bent_tab(canvas: Canvas, assembly: Assembly, rng: np.random.Generator) -> Outcome:
    place = int(rng.integers(PLACES))
    slope = float(rng.choice([-1, 1]) * rng.uniform(0.3, 0.5))
    assembly.tabs[place] = slope
    changed = canvas.footprint(tab(canvas, place, 0.0), tab(canvas, place, slope))
    frame = canvas.frame(centre(place), 0.345, 0, 0.065, 0.09)
    return Outcome(f"tab {place + 1} is bent", (changed & canvas.mask(frame, frame.v > -0.03),))


def _marked(canvas: Canvas, rng: np.random.Generator, mark: Mark, tint: str, what: str) -> Outcome:
    """Damage on the open face of the housing, beside a screw or a window."""
    place, side = int(rng.integers(PLACES)), float(rng.choice([-1, 1]))
    x, y = centre(place) + side * 0.045, float(rng.uniform(0.05, 0.25))
    return Outcome(f"{what} on the housing", (mark(canvas, x, y, rng, colour(tint)),))


def _pitted(canvas: Canvas, rng: np.random.Generator) -> Outcome:
    x, y = centre(int(rng.integers(PLACES))), 0.16 + float(rng.uniform(-0.008, 0.008))
    return Outcome("sink hole in the housing", (damage.pit(canvas, x, y, rng),))


def _chipped(canvas: Canvas, rng: np.random.Generator) -> Outcome:
    """A piece broken out of the housing's lower edge."""
    x = centre(int(rng.integers(PLACES))) + float(rng.uniform(-0.04, 0.04))
    frame = canvas.frame(x, BLOCK_Y + BLOCK[1], 0, 0.06)
    cover, depth = blob(frame, float(rng.uniform(0.024, 0.034)), rng)
    cover &= frame.v < 0
    canvas.lower(frame, cover, 0.006 + 0.02 * depth**2 + 0.002 * np.sin(frame.u * 500))
    canvas.gloss[frame.rows, frame.cols][cover] = 0
    return Outcome("piece broken out of the housing", (canvas.mask(frame, cover),))


_DAMAGED = {"cut_insulation": _cut_insulation, "bent_tab": _bent_tab}
_MISTAKEN = {
    "swapped_wires": _swapped,
    "missing_wire": _missing_wire,
    "extra_wire": _extra_wire,
    "misplaced_wire": _misplaced_wire,
    "wrong_colour": _wrong_colour,
    "missing_screw": _missing_screw,
}
_ON_ASSEMBLY = _DAMAGED | _MISTAKEN
_ON_BLOCK: dict[str, Callable[[Canvas, np.random.Generator], Outcome]] = {
    "scratched_housing": partial(_marked, mark=damage.scratch, tint="6f6a5e", what="scratch"),
    "burn_mark": partial(_marked, mark=damage.stain, tint="3a2a1c", what="burn mark"),
    "sink_hole": _pitted,
    "chipped_housing": _chipped,
}

CONNECTOR_BLOCK = Product(
    name="connector_block",
    part_names=("background", "housing", "screw", "tab", *(f"{name} wire" for name in ORDER)),
    flaws=kinds_of(structural=(*_ON_BLOCK, *_DAMAGED), logical=_MISTAKEN),
    draw=draw,
)
