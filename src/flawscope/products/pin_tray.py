"""A plastic tray of twelve compartments: six brass contact pins at the left, six nickel ones at the right."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from flawscope.products import damage
from flawscope.products.canvas import Canvas, Mask, Stamp, colour
from flawscope.products.scene import Mark, Outcome, Product, Streams, kinds_of
from flawscope.products.shapes import box_distance, smoothstep, turned
from flawscope.products.texture import texture

COLUMNS, ROWS = 4, 3
PITCH = (0.21, 0.272)
POCKET = (0.094, 0.125)
FLOOR, WALL = 0.01, 0.042
BRASS, NICKEL = colour("e8bd62"), colour("d3d4d2")
TRAY, PIN = 1, 2


@dataclass(frozen=True)
class Pin:
    """Where a pin lies and what it is; `tip` is the share of its tip that is still there."""

    x: float
    y: float
    angle: float
    brass: bool
    tip: float = 1.0
    bend: float = 0.0
    base: float = FLOOR


def draw(canvas: Canvas, streams: Streams, flaw: str | None) -> Outcome:
    """Paint tray and pins; with a flaw, the same scene but for the flaw."""
    _bench(canvas, streams("bench"))
    _tray(canvas, streams("tray"))
    pins = [[_resting(index, streams(f"pin {index}"))] for index in range(COLUMNS * ROWS)]
    rng = streams("flaw")
    outcome = Outcome()
    if flaw in _ON_PINS:
        outcome = _ON_PINS[flaw](canvas, pins, rng)
    for pin in (pin for pocket in pins for pin in pocket):
        canvas.paint(_stamp(canvas, pin), base=pin.base)
    if flaw in _ON_TRAY:
        outcome = _ON_TRAY[flaw](canvas, rng)
    return outcome


def centre(index: int) -> tuple[float, float]:
    """Centre of a compartment, counted from 0 at the upper left, row by row."""
    row, column = divmod(index, COLUMNS)
    return (column - (COLUMNS - 1) / 2) * PITCH[0], (row - (ROWS - 1) / 2) * PITCH[1]


def _bench(canvas: Canvas, rng: np.random.Generator) -> None:
    side = canvas.pose.side
    grain = 0.05 * texture("grain", side, rng) + 0.06 * texture("clouds", side, rng)
    canvas.ground(colour("8d8a80"), (1 + grain) * np.float32(rng.uniform(0.85, 1.15)))


def _tray(canvas: Canvas, rng: np.random.Generator) -> None:
    frame = canvas.frame(0, 0, 0, 0.68)
    u, v = frame.u, frame.v
    rim = box_distance(u, v, 0.455, 0.44, 0.03)
    column = np.clip(np.floor(u / PITCH[0]), -2, 1) + 0.5
    row = np.clip(np.floor(v / PITCH[1] + 0.5), -1, 1)
    pocket = box_distance(u - column * PITCH[0], v - row * PITCH[1], *POCKET, 0.022)
    wall = smoothstep(pocket, -0.012, 0.0) - smoothstep(rim, -0.008, 0.0)
    height = FLOOR + WALL * wall
    side = canvas.pose.side
    grain = 0.05 * texture("grain", side, rng) + 0.03 * texture("clouds", side, rng)
    grain = grain[frame.rows, frame.cols]
    shade = (1 + grain) * np.float32(rng.uniform(0.85, 1.15))
    canvas.paint(Stamp(frame, rim < 0, height, colour("44566a"), TRAY, shade=shade, gloss=0.16))


def _resting(index: int, rng: np.random.Generator) -> Pin:
    """A pin that slid to rest anywhere in its compartment."""
    x, y = centre(index)
    angle = rng.uniform(0, 2 * math.pi)
    free_x = POCKET[0] - 0.014 - 0.078 * abs(math.cos(angle)) - 0.018 * abs(math.sin(angle))
    free_y = POCKET[1] - 0.014 - 0.078 * abs(math.sin(angle)) - 0.018 * abs(math.cos(angle))
    dx, dy = rng.uniform(-1, 1, 2) * (max(free_x, 0), max(free_y, 0))
    return Pin(x + dx, y + dy, angle, brass=index % COLUMNS < COLUMNS // 2)


def _stamp(canvas: Canvas, pin: Pin) -> Stamp:
    frame = canvas.frame(pin.x, pin.y, pin.angle, 0.095)
    stations = [-0.078, -0.074, -0.038, -0.037, -0.024, -0.023, 0.05, 0.078]
    radii = [0.0115, 0.0145, 0.0145, 0.021, 0.021, 0.0105, 0.0105, 0.004]
    if not pin.brass:
        radii = [0.008, 0.0105, 0.0105, 0.017, 0.017, 0.0125, 0.0125, 0.008]
    albedo = BRASS if pin.brass else NICKEL
    bend = (0.0, pin.bend) if pin.bend else None
    stamp = turned(frame, stations, radii, albedo=albedo, label=PIN, bend=bend)
    if pin.tip < 1:
        ragged = 0.078 - (1 - pin.tip) * 0.07 + 0.25 * frame.v * np.sign(np.sin(frame.v * 900))
        stamp = replace(stamp, cover=stamp.cover & (frame.u < ragged))
    return stamp


def _pocket(canvas: Canvas, index: int) -> Mask:
    frame = canvas.frame(*centre(index), 0, 0.16)
    return canvas.mask(frame, box_distance(frame.u, frame.v, *POCKET, 0.022) < 0)


def _beside(pin: Pin, index: int) -> list[Pin]:
    """Two pins, side by side, in the compartment where `pin` lay."""
    (x, y), (sin, cos) = centre(index), (math.sin(pin.angle), math.cos(pin.angle))
    return [replace(pin, x=x + side * sin, y=y - side * cos) for side in (-0.026, 0.026)]


Pins = list[list[Pin]]


def _missing(canvas: Canvas, pins: Pins, rng: np.random.Generator) -> Outcome:
    index = int(rng.integers(len(pins)))
    pins[index] = []
    return Outcome(f"pin missing in compartment {index + 1}", (_pocket(canvas, index),))


def _extra(canvas: Canvas, pins: Pins, rng: np.random.Generator) -> Outcome:
    index = int(rng.integers(len(pins)))
    old = pins[index]
    pins[index] = _beside(old[0], index)
    mask = canvas.footprint(*(_stamp(canvas, pin) for pin in (*old, *pins[index])))
    return Outcome(f"two pins in compartment {index + 1}", (mask,))


def _misplaced(canvas: Canvas, pins: Pins, rng: np.random.Generator) -> Outcome:
    """A pin lies with its neighbour: the number of pins stays right."""
    empty = int(rng.integers(len(pins)))
    full = empty + 1 if empty % 2 == 0 else empty - 1
    old = pins[full]
    pins[empty], pins[full] = [], _beside(old[0], full)
    mask = canvas.footprint(*(_stamp(canvas, pin) for pin in (*old, *pins[full])))
    truth = f"pin of compartment {empty + 1} lies in compartment {full + 1}"
    return Outcome(truth, (_pocket(canvas, empty), mask))


def _exchange(canvas: Canvas, pins: Pins, index: int) -> Mask:
    old = pins[index][0]
    new = replace(old, brass=not old.brass)
    pins[index] = [new]
    return canvas.footprint(_stamp(canvas, old), _stamp(canvas, new))


def _swapped(canvas: Canvas, pins: Pins, rng: np.random.Generator) -> Outcome:
    brass, nickel = (int(rng.integers(ROWS)) * COLUMNS + int(rng.integers(2)) + side for side in (0, 2))
    truth = f"brass pin in compartment {nickel + 1} and nickel pin in compartment {brass + 1} are swapped"
    return Outcome(truth, (_exchange(canvas, pins, brass), _exchange(canvas, pins, nickel)))


def _wrong(canvas: Canvas, pins: Pins, rng: np.random.Generator) -> Outcome:
    index = int(rng.integers(len(pins)))
    mask = _exchange(canvas, pins, index)
    got, wanted = ("brass", "nickel") if pins[index][0].brass else ("nickel", "brass")
    return Outcome(f"{got} pin instead of a {wanted} one in compartment {index + 1}", (mask,))


def _bent(canvas: Canvas, pins: Pins, rng: np.random.Generator) -> Outcome:
    index = int(rng.integers(len(pins)))
    old = pins[index][0]
    new = replace(old, bend=float(rng.choice([-1, 1]) * rng.uniform(0.45, 0.75)))
    pins[index] = [new]
    changed = canvas.footprint(_stamp(canvas, old)) ^ canvas.footprint(_stamp(canvas, new))
    shank = canvas.footprint(_front(_stamp(canvas, new)), _front(_stamp(canvas, old)))
    return Outcome(f"pin bent in compartment {index + 1}", (changed | shank,))


def _front(stamp: Stamp) -> Stamp:
    return replace(stamp, cover=stamp.cover & (stamp.frame.u > 0.005))


def _broken(canvas: Canvas, pins: Pins, rng: np.random.Generator) -> Outcome:
    index = int(rng.integers(len(pins)))
    old = pins[index][0]
    pins[index] = [replace(old, tip=float(rng.uniform(0.3, 0.6)))]
    gone = canvas.footprint(_stamp(canvas, old)) & ~canvas.footprint(_stamp(canvas, pins[index][0]))
    return Outcome(f"tip broken off the pin in compartment {index + 1}", (gone,))


def _scratched(canvas: Canvas, rng: np.random.Generator) -> Outcome:
    x, y = (rng.uniform(-0.36, 0.36), rng.choice([-0.41, 0.41]))
    mask = damage.scratch(canvas, float(x), float(y), rng, colour("a9b6c2"))
    return Outcome("scratch on the rim of the tray", (mask,))


def _soiled(canvas: Canvas, rng: np.random.Generator, mark: Mark, tint: str, what: str) -> Outcome:
    index = int(rng.integers(COLUMNS * ROWS))
    x, y = centre(index) + rng.uniform(-1, 1, 2) * (0.04, 0.07)
    mask = mark(canvas, float(x), float(y), rng, colour(tint))
    return Outcome(f"{what} in compartment {index + 1}", (mask,))


def _cracked_wall(canvas: Canvas, rng: np.random.Generator) -> Outcome:
    """A notch broken out of the wall between two compartments of a row."""
    row, column = int(rng.integers(ROWS)), int(rng.integers(COLUMNS - 1))
    left = row * COLUMNS + column
    x, y = centre(left)[0] + PITCH[0] / 2, centre(left)[1] + rng.uniform(-0.07, 0.07)
    frame = canvas.frame(x, float(y), 0, 0.05)
    jag = 0.005 * np.sin(frame.u * 260 + rng.uniform(0, 6)) + 0.003 * np.sin(frame.u * 610)
    cover = (np.abs(frame.v + jag) < rng.uniform(0.02, 0.03)) & (np.abs(frame.u) < 0.016)
    canvas.lower(frame, cover, FLOOR + 0.004)
    canvas.albedo[:, frame.rows, frame.cols] *= np.where(cover, np.float32(1.5), np.float32(1))
    truth = f"wall broken between compartments {left + 1} and {left + 2}"
    return Outcome(truth, (canvas.mask(frame, cover),))


_DAMAGED = {"bent_pin": _bent, "broken_pin": _broken}
_MISTAKEN = {
    "missing_pin": _missing,
    "extra_pin": _extra,
    "misplaced_pin": _misplaced,
    "swapped_pins": _swapped,
    "wrong_pin": _wrong,
}
_ON_PINS = _DAMAGED | _MISTAKEN
_ON_TRAY: dict[str, Callable[[Canvas, np.random.Generator], Outcome]] = {
    "scratched_rim": _scratched,
    "oil_stain": partial(_soiled, mark=damage.stain, tint="1e1a14", what="oil stain"),
    "fibre": partial(_soiled, mark=damage.fibre, tint="d9d4c6", what="fibre"),
    "broken_wall": _cracked_wall,
}
_PIN_AREA = 0.0036  # as a share of the picture

PIN_TRAY = Product(
    name="pin_tray",
    part_names=("background", "tray", "pin"),
    flaws=kinds_of(structural=(*_DAMAGED, *_ON_TRAY), logical=_MISTAKEN),
    draw=draw,
    saturation={"missing_pin": _PIN_AREA, "misplaced_pin": _PIN_AREA},
)
