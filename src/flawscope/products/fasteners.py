"""Screws, nuts and washers as they lie on a table, sound or damaged."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from flawscope.products.canvas import Canvas, Stamp, colour
from flawscope.products.shapes import dome, hexagon, turned

Sort = Literal["long screw", "short screw", "nut", "washer"]
LABELS: dict[Sort, int] = {"long screw": 2, "short screw": 3, "nut": 4, "washer": 5}
LENGTHS: dict[Sort, float] = {"long screw": 0.27, "short screw": 0.155}
RADII: dict[Sort, float] = {"nut": 0.036, "washer": 0.037}

_ZINC, _STEEL, _YELLOW_ZINC = colour("d9d5cc"), colour("c4c1ba"), colour("ddc27e")


@dataclass(frozen=True)
class Fastener:
    """One fastener: where it lies and what befell it.

    `bend` is the slope of a bent shank, `loss` the share of a shank that broke off, `gap` the width of a
    crack through nut or washer.
    """

    sort: Sort
    x: float
    y: float
    angle: float
    bend: float = 0.0
    loss: float = 0.0
    gap: float = 0.0

    @property
    def is_screw(self) -> bool:
        """Whether it is long enough to lie along its angle."""
        return self.sort in LENGTHS


def stamp(canvas: Canvas, part: Fastener) -> Stamp:
    """The part as it is painted."""
    if part.is_screw:
        return _screw(canvas, part)
    return _nut(canvas, part) if part.sort == "nut" else _washer(canvas, part)


def _screw(canvas: Canvas, part: Fastener) -> Stamp:
    """Pan head and threaded shank; both lengths are of one diameter."""
    length = LENGTHS[part.sort]
    frame = canvas.frame(part.x, part.y, part.angle, length * 0.6 + 0.02)
    head, tip = -length / 2, length / 2
    stations = [head, head + 0.004, head + 0.012, head + 0.027, head + 0.0275, tip - 0.012, tip]
    radii = [0.012, 0.022, 0.0275, 0.0275, 0.0125, 0.0125, 0.007]
    bend = (head + 0.35 * length, part.bend) if part.bend else None
    label, thread = LABELS[part.sort], (head + 0.04, tip - 0.004, 0.0098)
    made = turned(frame, stations, radii, albedo=_ZINC, label=label, thread=thread, bend=bend)
    if part.loss:
        ragged = tip - part.loss * length + 0.004 * np.sin(frame.v * 700)
        made = replace(made, cover=made.cover & (frame.u < ragged))
    return made


def _nut(canvas: Canvas, part: Fastener) -> Stamp:
    radius = RADII["nut"]
    frame = canvas.frame(part.x, part.y, part.angle, radius * 1.3)
    flats, centre = hexagon(frame.u, frame.v), np.hypot(frame.u, frame.v)
    hole = radius * 0.5
    ring = np.minimum(radius - flats, (centre - hole) * 1.2)
    chamfer = np.minimum(np.maximum(1.1 * radius - centre, 0) * 0.8, 0.004)
    thread = 0.0012 * np.sin(centre * 2 * math.pi / 0.0045) * (centre < hole * 1.3)
    height = (0.018 + dome(ring, 0.003) + chamfer + thread).astype(np.float32)
    cover = (flats < radius) & (centre > hole) & ~_crack(part, frame.u, frame.v)
    return Stamp(frame, cover, height, _YELLOW_ZINC, LABELS["nut"], metal=0.85, gloss=0.1)


def _washer(canvas: Canvas, part: Fastener) -> Stamp:
    radius = RADII["washer"]
    frame = canvas.frame(part.x, part.y, part.angle, radius * 1.1)
    centre = np.hypot(frame.u, frame.v)
    hole = radius * 0.5
    edge = np.minimum(radius - centre, centre - hole)
    turned_face = 0.00025 * np.sin(centre * 2 * math.pi / 0.003)
    tilt = 0.05 * frame.u * math.cos(5 * part.angle) + 0.05 * frame.v * math.sin(5 * part.angle)
    height = (0.006 + dome(edge, 0.0025) + turned_face + tilt).astype(np.float32)
    cover = (edge > 0) & ~_crack(part, frame.u, frame.v)
    return Stamp(frame, cover, height, _STEEL, LABELS["washer"], metal=0.85, gloss=0.1)


def _crack(part: Fastener, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    jag = 0.0025 * np.sin(u * 420) + 0.3 * (u - RADII["nut"])
    return np.asarray((np.abs(v - jag) < part.gap / 2) & (u > 0), np.bool_)
