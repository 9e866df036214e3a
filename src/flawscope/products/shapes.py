"""Outlines and solids that the products are put together from, in part coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flawscope.products.canvas import Colour, Float, Frame, Mask, Stamp


def box_distance(u: Float, v: Float, half_u: float, half_v: float, radius: float) -> Float:
    """Signed distance to a box with rounded corners, negative inside."""
    over_u, over_v = np.abs(u), np.abs(v)
    over_u -= half_u - radius
    over_v -= half_v - radius
    distance = np.maximum(over_u, over_v)
    np.minimum(distance, 0, out=distance)
    for over in (over_u, over_v):
        np.maximum(over, 0, out=over)
        np.square(over, out=over)
    over_u += over_v
    distance += np.sqrt(over_u, out=over_u)
    distance -= radius
    return np.asarray(distance, np.float32)


def smoothstep(values: Float, low: float, high: float) -> Float:
    """0 below `low`, 1 above `high`, a smooth rise between."""
    t = values - low
    t /= high - low
    np.clip(t, 0, 1, out=t)
    rise = 3 - 2 * t
    rise *= t
    rise *= t
    return np.asarray(rise, np.float32)


def ridge(values: Float, width: float) -> Float:
    """A smooth bump: 1 at 0, 0 from `width` on either side."""
    scaled = values / width
    bump = np.maximum(1 - scaled * scaled, 0)
    return np.asarray(bump * bump, np.float32)


def dome(inside: Float, radius: float) -> Float:
    """Height of a quarter-round edge: 0 at the rim, `radius` from `radius` inwards."""
    t = np.clip(1 - inside / radius, 0, 1)
    return np.asarray(radius * np.sqrt(1 - t * t), np.float32)


def turned(
    frame: Frame,
    stations: Sequence[float],
    radii: Sequence[float],
    *,
    albedo: Colour,
    label: int,
    thread: tuple[float, float, float] | None = None,
    bend: tuple[float, float] | None = None,
    metal: float = 0.85,
) -> Stamp:
    """A part from the lathe, lying on its side: its radius at each station along u.

    `thread` is (from u, to u, pitch); `bend` is (u from which it bends, slope of the bent end).
    """
    u, v = frame.u, frame.v
    if bend is not None:
        start, slope = bend
        run = np.maximum(u - start, 0)
        v = np.asarray(v - slope * run * smoothstep(u, start, start + 0.03), np.float32)
        u = np.asarray(u + run * (math.hypot(1, slope) - 1), np.float32)
    radius = np.interp(u, stations, radii, left=0, right=0).astype(np.float32)
    if thread is not None:
        first, last, pitch = thread
        wave = np.sin(2 * math.pi / pitch * (u + 0.35 * v)) * 0.13
        radius = np.where((u > first) & (u < last), radius * (1 + wave), radius).astype(np.float32)
    rise = np.sqrt(np.maximum(radius * radius - v * v, 0))
    height = np.asarray(rise + 0.6 * radius, np.float32)
    return Stamp(frame, np.abs(v) < radius, height, albedo, label, metal=metal, gloss=0.1)


def hexagon(u: Float, v: Float) -> Float:
    """Distance from the centre measured across the flats of a hexagon."""
    half, root = 0.5, math.sqrt(3) / 2
    sides = (np.abs(u), np.abs(half * u + root * v), np.abs(half * u - root * v))
    return np.asarray(np.maximum.reduce(sides), np.float32)


def blob(frame: Frame, radius: float, rng: np.random.Generator, roughness: float = 0.3) -> tuple[Mask, Float]:
    """An irregular patch around the frame's origin: its cover, and 0 at the centre to 1 at the rim."""
    angle = np.arctan2(frame.v, frame.u)
    rim = np.ones_like(angle)
    for lobes in (2, 3, 5):
        weight, phase = rng.uniform(0.3, 1) * roughness / lobes**0.5, rng.uniform(0, 2 * math.pi)
        rim += np.float32(weight) * np.sin(lobes * angle + np.float32(phase))
    depth = np.hypot(frame.u, frame.v) / (radius * np.maximum(rim, 0.35))
    return depth < 1, np.asarray(depth, np.float32)


def jagged(frame: Frame, half: float, width: float, rng: np.random.Generator) -> tuple[Mask, Float]:
    """A jagged line along u, `half` long to each side and `width` thick at most, tapered: as `blob`."""
    knots = np.linspace(-half, half, 25)
    walk = np.concatenate([[0.0], rng.normal(0, 1, 24)]).cumsum()
    walk = (walk - np.linspace(0, walk[-1], 25)) * (half / 25) + rng.uniform(-0.3, 0.3, 25) * (half / 25)
    across = np.abs(frame.v - np.interp(frame.u, knots, walk))
    taper = np.sqrt(np.maximum(1 - np.square(frame.u / half), 0))
    depth = across / np.maximum(width / 2 * (0.35 + 0.65 * taper), 1e-6)
    depth = np.where(np.abs(frame.u) < half, depth, np.float32(9))
    return depth < 1, np.asarray(depth, np.float32)
