"""A polished impeller that lies at any angle: nine swept blades, a bore with its keyway, a paint mark."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from flawscope.products import damage
from flawscope.products.canvas import Canvas, Float, Mask, Stamp, colour
from flawscope.products.scene import Mark, Outcome, Product, Streams, kinds_of
from flawscope.products.shapes import box_distance, ridge, smoothstep
from flawscope.products.texture import texture

BLADES = 9
PITCH = 2 * math.pi / BLADES
RIM, HUB, BORE = 0.4, 0.125, 0.045
ROOT, TIP, HALF_WIDTH = 0.13, 0.37, 0.013
SWEEP = 0.75  # of the blades' logarithmic spiral: radians for each e-fold of the radius
PLATE, HUB_LABEL, BLADE, MARK = 1, 2, 3, 4
ALUMINIUM, PAINT = colour("d6d7d8"), colour("c8402a")

Polar = tuple[Float, Float]  # radius and angle at each point of a frame


@dataclass(frozen=True)
class Blade:
    """One blade: the radius at which it ends, and the angle in radians that its outer end is bent by."""

    tip: float = TIP
    bend: float = 0.0


@dataclass(frozen=True)
class Wheel:
    """Where the impeller lies and what it has; blades and `mark` (the gap that is painted) may be None."""

    x: float
    y: float
    angle: float
    blades: tuple[Blade | None, ...] = (Blade(),) * BLADES
    mark: int | None = 0
    keyway: bool = True

    def point(self, radius: float, angle: float) -> tuple[float, float]:
        """Product coordinates of a point of the wheel."""
        turn = self.angle + angle
        return self.x + radius * math.cos(turn), self.y + radius * math.sin(turn)

    def in_gap(self, gap: float, radius: float) -> tuple[float, float]:
        """A point half-way between two blades; `gap` 0 is the one behind the first blade."""
        return self.point(radius, _swept(radius) + (gap + 0.5) * PITCH)


def draw(canvas: Canvas, streams: Streams, flaw: str | None) -> Outcome:
    """Paint mat and impeller; with a flaw, the same scene but for the flaw."""
    _mat(canvas, streams("mat"))
    rng = streams("wheel")
    x, y = (float(value) for value in rng.uniform(-0.03, 0.03, 2))
    wheel = Wheel(x, y, float(rng.uniform(0, 2 * math.pi)))
    chance = streams("flaw")
    truth, made = "", wheel
    if flaw in _ON_WHEEL:
        truth, made = _ON_WHEEL[flaw](wheel, chance)
    bare = canvas.copy() if made is not wheel else None
    _paint(canvas, made, streams("finish"))
    if bare is not None:
        _paint(bare, wheel, streams("finish"))
        return Outcome(truth, _masks(canvas, bare, (wheel, made)))
    if flaw in _ON_SURFACE:
        return _ON_SURFACE[flaw](canvas, wheel, chance)
    return Outcome()


def _mat(canvas: Canvas, rng: np.random.Generator) -> None:
    side = canvas.pose.side
    grain = 0.1 * texture("grain", side, rng) + 0.05 * texture("clouds", side, rng)
    canvas.ground(colour("4b5358"), (1 + grain) * np.float32(rng.uniform(0.85, 1.15)))


def _swept(radius: float) -> float:
    return SWEEP * math.log(radius / ROOT)


def _paint(canvas: Canvas, wheel: Wheel, rng: np.random.Generator) -> None:
    frame = canvas.frame(wheel.x, wheel.y, wheel.angle, RIM + 0.01)
    radius, angle = np.hypot(frame.u, frame.v), np.arctan2(frame.v, frame.u)
    side = canvas.pose.side
    clouds = texture("clouds", side, rng)[frame.rows, frame.cols]
    shade = np.asarray((1 + 0.03 * clouds) * np.float32(rng.uniform(0.9, 1.05)), np.float32)
    grooves = _grooves(radius, rng)
    body = (radius < RIM) & (radius > BORE)
    if wheel.keyway:
        body &= box_distance(np.asarray(frame.u - BORE, np.float32), frame.v, 0.022, 0.013, 0.003) > 0
    lip = smoothstep(radius, RIM - 0.022, RIM - 0.014) - smoothstep(radius, RIM - 0.006, RIM)
    dish = 0.016 + np.float32(0.045) * np.square(1 - radius / RIM)
    plate = dish + 0.008 * lip + grooves
    cone = smoothstep(-radius, -HUB, -HUB + 0.045) - 0.25 * ridge(
        np.asarray(radius - BORE, np.float32), 0.012
    )
    solid = partial(Stamp, frame, albedo=ALUMINIUM, shade=shade, metal=0.92, gloss=0.12)
    canvas.paint(solid(cover=body, height=plate, label=PLATE))
    blade = _blades((radius, angle), wheel.blades)
    canvas.paint(solid(cover=body & (blade > 0), height=dish + 0.002 + blade, label=BLADE))
    hub = 0.03 + 0.044 * cone + 0.6 * grooves
    canvas.paint(solid(cover=body & (radius < HUB) & (hub > dish + 0.002), height=hub, label=HUB_LABEL))
    if wheel.mark is not None:
        canvas.paint(_dot(canvas, wheel, wheel.mark))


def _grooves(radius: Float, rng: np.random.Generator) -> Float:
    """The rings that the turning tool left: a height for each radius, so that highlights form a bow tie."""
    steps = rng.standard_normal(700)
    fine = np.convolve(steps, (0.25, 0.5, 0.25), "same") + 1.5 * np.convolve(steps, np.ones(9) / 9, "same")
    heights = np.asarray(fine * rng.uniform(0.0003, 0.0006), np.float32)
    place = radius * np.float32(1600)
    below = np.minimum(place.astype(np.int32), 698)
    part = place - below
    return np.asarray(heights[below] * (1 - part) + heights[below + 1] * part, np.float32)


def _blades(polar: Polar, blades: tuple[Blade | None, ...]) -> Float:
    """Height of the blades above the plate, 0 between them."""
    radius, angle = polar
    turns = (angle - SWEEP * np.log(np.maximum(radius, 0.02) / ROOT)) / PITCH
    nearest = np.round(turns)
    which = nearest.astype(np.int32) % BLADES
    tips = np.array([0.0 if blade is None else blade.tip for blade in blades], np.float32)[which]
    across = turns - nearest
    for index, blade in enumerate(blades):
        if blade is not None and blade.bend:
            bent = blade.bend / PITCH * smoothstep(radius, 0.6 * TIP, TIP)
            across = np.where(which == index, across - bent, across)
    distance = np.abs(across) * (PITCH / math.hypot(1, SWEEP)) * radius
    width = HALF_WIDTH * (1 - 0.35 * smoothstep(radius, ROOT, TIP))
    edge = np.minimum(width - distance, (tips - radius) * 0.7)
    rounded = np.clip(edge / 0.008, 0, 1)
    height = 0.034 * np.sqrt(rounded * (2 - rounded)) * (1 - 0.3 * smoothstep(radius, ROOT, TIP))
    return np.asarray(np.where(radius > HUB * 0.7, height, 0), np.float32)


def _dot(canvas: Canvas, wheel: Wheel, gap: int) -> Stamp:
    frame = canvas.frame(*wheel.in_gap(gap, 0.29), 0, 0.024)
    distance = np.hypot(frame.u, frame.v)
    height = 0.0205 + 0.0016 * smoothstep(-distance, -0.02, -0.012)
    return Stamp(frame, distance < 0.02, height, PAINT, MARK, gloss=0.4)


def _masks(canvas: Canvas, bare: Canvas, wheels: tuple[Wheel, Wheel]) -> tuple[Mask, ...]:
    """Where the flawed wheel looks different: one mask, or one for each place of a mark that moved."""
    if wheels[0].mark == wheels[1].mark:
        return (canvas.changed(bare),)
    marks = [(wheel, wheel.mark) for wheel in wheels if wheel.mark is not None]
    return tuple(canvas.footprint(_dot(canvas, wheel, gap)) for wheel, gap in marks)


def _with_blade(wheel: Wheel, index: int, blade: Blade | None) -> Wheel:
    return replace(wheel, blades=(*wheel.blades[:index], blade, *wheel.blades[index + 1 :]))


def _missing_blade(wheel: Wheel, rng: np.random.Generator) -> tuple[str, Wheel]:
    index = int(rng.integers(BLADES))
    return f"blade missing: {BLADES - 1} instead of {BLADES}", _with_blade(wheel, index, None)


def _chipped_blade(wheel: Wheel, rng: np.random.Generator) -> tuple[str, Wheel]:
    blade = Blade(tip=TIP - float(rng.uniform(0.03, 0.1)))
    return "end of a blade is broken off", _with_blade(wheel, int(rng.integers(BLADES)), blade)


def _bent_blade(wheel: Wheel, rng: np.random.Generator) -> tuple[str, Wheel]:
    blade = Blade(bend=float(rng.choice([-1, 1]) * rng.uniform(0.06, 0.14)))
    return "blade is bent", _with_blade(wheel, int(rng.integers(BLADES)), blade)


def _missing_keyway(wheel: Wheel, _: np.random.Generator) -> tuple[str, Wheel]:
    return "keyway missing in the bore", replace(wheel, keyway=False)


def _missing_mark(wheel: Wheel, _: np.random.Generator) -> tuple[str, Wheel]:
    return "paint mark missing", replace(wheel, mark=None)


def _misplaced_mark(wheel: Wheel, rng: np.random.Generator) -> tuple[str, Wheel]:
    gap = int(rng.integers(2, BLADES - 1))
    return f"paint mark {gap} blades away from its place", replace(wheel, mark=gap)


def _marked(
    canvas: Canvas, wheel: Wheel, rng: np.random.Generator, *, mark: Mark, tint: str, what: str
) -> Outcome:
    """Damage on the plate between two blades."""
    x, y = wheel.in_gap(float(rng.integers(BLADES) + rng.uniform(-0.15, 0.15)), rng.uniform(0.22, 0.34))
    return Outcome(what, (mark(canvas, x, y, rng, colour(tint)),))


def _pore(canvas: Canvas, wheel: Wheel, rng: np.random.Generator) -> Outcome:
    """A pore that turning opened, in the hub's slope or in the plate beside it."""
    x, y = wheel.in_gap(float(rng.uniform(0, BLADES)), rng.uniform(0.09, 0.11))
    return Outcome("pore in the hub", (damage.pit(canvas, x, y, rng),))


_DAMAGED = {"chipped_blade": _chipped_blade, "bent_blade": _bent_blade}
_MISTAKEN = {
    "missing_blade": _missing_blade,
    "missing_keyway": _missing_keyway,
    "missing_mark": _missing_mark,
    "misplaced_mark": _misplaced_mark,
}
_ON_WHEEL = _DAMAGED | _MISTAKEN
_ON_SURFACE: dict[str, Callable[[Canvas, Wheel, np.random.Generator], Outcome]] = {
    "scratch": partial(_marked, mark=damage.scratch, tint="77746f", what="scratch on the plate"),
    "stain": partial(_marked, mark=damage.stain, tint="5d4a34", what="stain on the plate"),
    "swarf": partial(_marked, mark=damage.fibre, tint="8f8a80", what="swarf on the plate"),
    "pore": _pore,
}

IMPELLER = Product(
    name="impeller",
    part_names=("background", "plate", "hub", "blade", "mark"),
    flaws=kinds_of(structural=(*_DAMAGED, *_ON_SURFACE), logical=_MISTAKEN),
    draw=draw,
)
