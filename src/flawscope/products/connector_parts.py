"""The parts of the connector block: plate, housing, screws, tabs and wires."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from flawscope.products.canvas import Canvas, Colour, Mask, Stamp, colour
from flawscope.products.shapes import box_distance, dome, smoothstep
from flawscope.products.texture import texture

COLOURS: dict[str, Colour] = {
    "brown": colour("7b4a2b"),
    "blue": colour("2f66b3"),
    "black": colour("2b2c2f"),
    "red": colour("b93a35"),
    "yellow": colour("d9b23a"),
}
ORDER = tuple(COLOURS)
PLACES, PITCH = 6, 0.122
BLOCK, BLOCK_Y, BLOCK_HEIGHT = (0.39, 0.155), 0.13, 0.05
ENTRY, SCREW_Y, WINDOW_Y = -0.025, 0.105, 0.215
RECESS = (0.032, 0.045)
WIRE_RADIUS, SCREW_RADIUS = 0.023, 0.031
COPPER, STEEL = colour("d08350"), colour("cfd2d3")
HOUSING, SCREW, TAB, WIRE = 1, 2, 3, 4


@dataclass(frozen=True)
class Wire:
    """A wire from beyond the picture's upper edge into a place of the block.

    At a height t above the block it is `bow` t^2 + `sway` t^3 beside its place; `bare` is the t around which
    copper shows, None where the insulation is whole.
    """

    place: int
    name: str
    bow: float
    sway: float
    bare: float | None = None


def centre(place: int) -> float:
    """x of a place, counted from 0 at the left."""
    return (place - (PLACES - 1) / 2) * PITCH


def plate(canvas: Canvas, rng: np.random.Generator) -> None:
    """The brushed steel under everything."""
    side = canvas.pose.side
    lines = texture("brushed", side, rng)
    grain = rng.uniform(0.05, 0.09) * lines + 0.05 * texture("clouds", side, rng)
    canvas.ground(colour("8b9094"), (1 + grain) * np.float32(rng.uniform(0.85, 1.15)))
    canvas.height += (0.03 * side / 512) * lines
    canvas.metal[:] = 0.45


def bundle(rng: np.random.Generator) -> list[Wire]:
    """A loose bundle: all wires lean together, each with a bend of its own."""
    bow, sway, gather = rng.uniform(-0.3, 0.3), rng.uniform(-0.45, 0.45), rng.uniform(0, 0.5)
    wires = []
    for place, name in enumerate(ORDER):
        own_bow, own_sway = rng.uniform(-0.07, 0.07), rng.uniform(-0.09, 0.09)
        wires.append(Wire(place, name, bow + own_bow - gather * centre(place), sway + own_sway))
    return wires


def stretch(canvas: Canvas, wire: Wire, radius: float, span: tuple[float, float]) -> Stamp:
    """The stretch of a wire over a span of t as a round bar of the given radius."""
    low, high = span
    middle, half = (low + high) / 2, (high - low) / 2
    steps = np.linspace(max(low, 0), high, 9)
    aside = wire.bow * steps**2 + wire.sway * steps**3
    x = centre(wire.place) + float(aside.min() + aside.max()) / 2
    width = float(aside.max() - aside.min()) / 2 + radius + 0.005 + 0.06 * half
    frame = canvas.frame(x, ENTRY - middle, 0, width, half + 0.06 * width + 0.005)
    t = np.asarray(middle - frame.v, np.float32)
    rise = np.maximum(t, 0)
    offset = frame.u + np.float32(x - centre(wire.place)) - rise * rise * (wire.bow + wire.sway * rise)
    slope = rise * (2 * wire.bow + 3 * wire.sway * rise)
    across = np.asarray(offset / np.sqrt(1 + slope * slope), np.float32)
    cover = (np.abs(across) < radius) & (t > low) & (t < high)
    height = np.sqrt(np.maximum(radius * radius - across * across, 0)) + 0.5 * radius
    height += np.asarray(0.03 * np.clip(t / 0.2, 0, 1), np.float32)
    label, tint = WIRE + ORDER.index(wire.name), COLOURS[wire.name]
    return Stamp(frame, cover, np.asarray(height, np.float32), tint, label, gloss=0.3)


def insulation(canvas: Canvas, wire: Wire) -> Stamp:
    """The whole wire, from its entry to beyond the picture."""
    return stretch(canvas, wire, WIRE_RADIUS, (-0.044, 0.62))


def copper(canvas: Canvas, wire: Wire) -> Stamp:
    """Where the insulation was stripped: a thinner bar of twisted strands."""
    bare = wire.bare or 0.0
    bar = stretch(canvas, wire, 0.019, (bare - 0.022, bare + 0.022))
    strands = 0.0015 * np.sin((bar.frame.v + 0.6 * bar.frame.u) * 2 * math.pi / 0.009)
    height = np.asarray(bar.height + strands - 0.012, np.float32)
    return replace(bar, height=height, albedo=COPPER, metal=0.7, gloss=0.1)


def tab(canvas: Canvas, place: int, slope: float) -> Stamp:
    """The flat solder tab below a place, bent sideways by `slope`."""
    frame = canvas.frame(centre(place), 0.345, 0, 0.065, 0.09)
    run = np.maximum(frame.v + 0.03, 0)
    u = frame.u - slope * run
    inside = np.asarray(0.015 - np.abs(u) - 0.5 * np.maximum(frame.v - 0.055, 0), np.float32)
    hole = np.hypot(u, frame.v - 0.03) < 0.006
    cover = (inside > 0) & (np.abs(frame.v) < 0.072 - 0.4 * slope * slope * 0.1) & ~hole
    return Stamp(frame, cover, 0.008 + dome(inside, 0.004), STEEL, TAB, metal=0.9)


def housing(canvas: Canvas, rng: np.random.Generator) -> None:
    """The moulded body with an entry, a screw bore and a test window for each place."""
    frame = canvas.frame(0, BLOCK_Y, 0, 0.42, 0.19)
    u, v = frame.u, frame.v
    outline = box_distance(u, v, *BLOCK, 0.014)
    index = np.clip(np.floor(u / PITCH), -PLACES / 2, PLACES / 2 - 1) + 0.5
    own_u = np.asarray(u - index * PITCH, np.float32)
    entry = box_distance(own_u, np.asarray(v + BLOCK_Y - ENTRY, np.float32), *RECESS, 0.006)
    bore = np.hypot(own_u, v + (BLOCK_Y - SCREW_Y))
    window = box_distance(own_u, np.asarray(v + BLOCK_Y - WINDOW_Y, np.float32), 0.02, 0.03, 0.005)
    groove = PITCH / 2 - np.abs(own_u)
    height = BLOCK_HEIGHT - 0.01 + dome(-outline, 0.01)
    height -= 0.038 * smoothstep(-entry, -0.002, 0.004) + 0.03 * smoothstep(-window, -0.002, 0.004)
    height -= 0.02 * smoothstep(np.asarray(0.04 - bore, np.float32), -0.002, 0.003)
    height -= 0.02 * smoothstep(np.asarray(0.018 - bore, np.float32), -0.002, 0.003)
    height -= 0.006 * (1 - smoothstep(np.asarray(groove, np.float32), 0.001, 0.004))
    side = canvas.pose.side
    grain = (0.03 * texture("grain", side, rng) + 0.03 * texture("clouds", side, rng))[frame.rows, frame.cols]
    tone = np.float32(rng.uniform(0.88, 1.1))
    deep = (entry < 0) | (window < 0) | (bore < 0.018)
    depth = np.where(deep, np.float32(0.25), np.float32(1)) * np.where(bore < 0.038, np.float32(0.7), 1)
    shade = np.asarray(tone * (1 + grain) * depth, np.float32)
    canvas.paint(Stamp(frame, outline < 0, height, colour("c8c4b4"), HOUSING, shade=shade, gloss=0.12))


def screw(canvas: Canvas, place: int, turn: float) -> Stamp:
    """A slotted clamping screw, its slot turned by `turn`."""
    frame = canvas.frame(centre(place), SCREW_Y, turn, SCREW_RADIUS + 0.005)
    distance = np.hypot(frame.u, frame.v)
    slot = smoothstep(np.asarray(0.0065 - np.abs(frame.v), np.float32), -0.001, 0.001)
    inside = np.asarray(SCREW_RADIUS - distance, np.float32)
    dished = 0.00025 * np.sin(distance * 2 * math.pi / 0.004)
    height = np.asarray(0.036 + dome(inside, 0.006) + dished - 0.009 * slot, np.float32)
    return Stamp(frame, inside > 0, height, STEEL, SCREW, shade=1 - 0.65 * slot, metal=0.85)


def recess(canvas: Canvas, place: int) -> Mask:
    """The mask of a place's wire entry, in which a wire is or is not."""
    frame = canvas.frame(centre(place), ENTRY, 0, 0.06)
    return canvas.mask(frame, box_distance(frame.u, frame.v, *RECESS, 0.006) < 0)
