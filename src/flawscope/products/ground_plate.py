"""Ground cast iron, which fills the picture: arcs of the grinding wheel on a grainy, flecked surface."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from flawscope.products import damage
from flawscope.products.canvas import Canvas, Float, Mask, colour
from flawscope.products.scene import Mark, Outcome, Product, Streams, kinds_of
from flawscope.products.shapes import blob, jagged, smoothstep
from flawscope.products.texture import texture, tile

IRON, SKIN = colour("a9a7a3"), colour("6b6863")


def draw(canvas: Canvas, streams: Streams, flaw: str | None) -> Outcome:
    """Paint the surface; with a flaw, the same surface but for the flaw."""
    _ground(canvas, streams("surface"))
    return _FLAWS[flaw](canvas, streams("flaw")) if flaw is not None else Outcome()


def _ground(canvas: Canvas, rng: np.random.Generator) -> None:
    """Two passes of the wheel over the grain, and graphite: dark flecks, few or many."""
    side = canvas.pose.side
    grain, clouds = texture("grain", side, rng), texture("clouds", side, rng)
    arcs = _arcs(side, rng) + rng.uniform(0.3, 0.7) * _arcs(side, rng)
    rarity = float(rng.uniform(1.9, 2.9))
    flecks = smoothstep(texture("flecks", side, rng), rarity, rarity + 0.35)
    shade = (1 + 0.06 * grain + 0.05 * clouds + 0.07 * arcs) * (1 - 0.8 * flecks)
    canvas.ground(IRON, np.maximum(shade, 0.15) * np.float32(rng.uniform(0.85, 1.1)))
    relief = rng.uniform(0.2, 0.35) * arcs + rng.uniform(0.1, 0.2) * grain - 0.8 * flecks
    canvas.height += np.asarray(relief, np.float32) * (side / 512)
    canvas.metal += np.float32(0.55)
    canvas.gloss += np.float32(0.05)


def _arcs(side: int, rng: np.random.Generator) -> Float:
    """Marks of a cup wheel whose centre lies far below the picture: a brushed tile, wound around it."""
    away, lean = rng.uniform(1.6, 3.0), math.pi / 2 + rng.uniform(-0.15, 0.15)
    x, y = 0.5 + away * math.cos(lean), 0.5 + away * math.sin(lean)
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    dx, dy = axis - np.float32(x), (axis - np.float32(y))[:, None]
    brushed = tile("brushed", side)
    row = (np.hypot(dx, dy) - away) * side + brushed.shape[0] / 2 + rng.uniform(-0.2, 0.2) * side
    column = (np.arctan2(dx, -dy) + lean - math.pi / 2) * away * side + brushed.shape[1] / 2
    column += rng.uniform(-0.2, 0.2) * side
    return np.asarray(
        cv2.remap(
            brushed,
            column.astype(np.float32),
            row.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        ),
        np.float32,
    )


def _place(rng: np.random.Generator) -> tuple[float, float]:
    """A point that leaves room for the flaw, in product coordinates."""
    return float(rng.uniform(-0.38, 0.38)), float(rng.uniform(-0.38, 0.38))


def _marked(canvas: Canvas, rng: np.random.Generator, mark: Mark, tint: str, what: str) -> Outcome:
    return Outcome(what, (mark(canvas, *_place(rng), rng, colour(tint)),))


def _pit(canvas: Canvas, rng: np.random.Generator) -> Outcome:
    return Outcome("blowhole", (damage.pit(canvas, *_place(rng), rng),))


def _pores(canvas: Canvas, rng: np.random.Generator) -> Outcome:
    """Several small pores close together, deeper than any fleck of graphite."""
    x, y = _place(rng)
    mask = np.zeros(canvas.parts.shape, np.bool_)
    for _ in range(int(rng.integers(6, 11))):
        radius = float(rng.uniform(0.006, 0.01))
        frame = canvas.frame(x + rng.uniform(-0.04, 0.04), y + rng.uniform(-0.04, 0.04), 0, radius * 1.5)
        cover, depth = blob(frame, radius, rng, roughness=0.25)
        window = (frame.rows, frame.cols)
        canvas.height[window] -= np.where(cover, 0.8 * radius * (1 - depth**2) * canvas.pose.unit, 0)
        canvas.albedo[:, frame.rows, frame.cols] *= np.where(cover, 0.35 + 0.4 * depth, np.float32(1))
        mask |= canvas.mask(frame, cover)
    return Outcome("cluster of pores", (mask,))


def _crack(canvas: Canvas, rng: np.random.Generator) -> Outcome:
    """A jagged crack with one branch."""
    (x, y), angle, half = _place(rng), float(rng.uniform(0, math.pi)), float(rng.uniform(0.06, 0.095))
    mask = _fissure(canvas, (x, y), angle, half, rng)
    turn = angle + float(rng.choice([-1, 1]) * rng.uniform(0.5, 0.9))
    arm = 0.35 * half
    fork = x + arm * math.cos(turn), y + arm * math.sin(turn)
    return Outcome("crack", (mask | _fissure(canvas, fork, turn, arm, rng),))


def _fissure(
    canvas: Canvas, at: tuple[float, float], angle: float, half: float, rng: np.random.Generator
) -> Mask:
    frame = canvas.frame(*at, angle, half * 1.2)
    cover, depth = jagged(frame, half, 0.0085, rng)
    dark = 1 - smoothstep(depth, 0.5, 1.0)
    canvas.albedo[:, frame.rows, frame.cols] *= 1 - 0.8 * dark
    canvas.metal[frame.rows, frame.cols] *= 1 - dark
    canvas.height[frame.rows, frame.cols] -= 0.006 * canvas.pose.unit * dark
    return canvas.mask(frame, cover)


def _unground(canvas: Canvas, rng: np.random.Generator) -> Outcome:
    """A hollow that the wheel did not reach: the rough, dull skin of the casting."""
    radius = float(rng.uniform(0.02, 0.04))
    frame = canvas.frame(*_place(rng), float(rng.uniform(0, math.pi)), radius * 1.8)
    cover, depth = blob(frame, radius, rng)
    window = (frame.rows, frame.cols)
    skin = 1 - smoothstep(depth, 0.85, 1.0)
    rough = texture("grain", canvas.pose.side, rng)[window]
    dull = np.asarray(SKIN, np.float32)[:, None, None] * (1 + 0.25 * rough)
    planes = canvas.albedo[:, frame.rows, frame.cols]
    planes += skin * (dull - planes)
    canvas.metal[window] *= 1 - 0.8 * skin
    height = canvas.height[window]
    height += skin * (rough * np.float32(0.8) * (canvas.pose.side / 512) - height)
    return Outcome("patch that was not ground", (canvas.mask(frame, cover),))


_FLAWS: dict[str, Callable[[Canvas, np.random.Generator], Outcome]] = {
    "scratch": partial(_marked, mark=damage.scratch, tint="3d3b38", what="scratch"),
    "stain": partial(_marked, mark=damage.stain, tint="6b4a2c", what="rust stain"),
    "blowhole": _pit,
    "pores": _pores,
    "crack": _crack,
    "unground": _unground,
}

GROUND_PLATE = Product(
    name="ground_plate",
    part_names=("surface",),
    flaws=kinds_of(structural=_FLAWS, logical=()),
    draw=draw,
)
