"""Structural damage that can befall any surface; each function returns the (S, S) mask of what it marred."""

from __future__ import annotations

import math

import numpy as np

from flawscope.products.canvas import Canvas, Colour, Float, Frame, Mask
from flawscope.products.shapes import blob, smoothstep


def scratch(canvas: Canvas, x: float, y: float, rng: np.random.Generator, pale: Colour) -> Mask:
    """A groove 6 to 9 % of the side long, with `pale` bare material in it and a raised burr beside it."""
    length, angle = rng.uniform(0.06, 0.09), rng.uniform(0, math.pi)
    frame = canvas.frame(x, y, angle, length / 2 + 0.01)
    along = frame.u / (length / 2)
    curve = rng.uniform(-0.006, 0.006) * along**2 + rng.uniform(0.0004, 0.001) * np.sin(along * 9)
    width = rng.uniform(0.0026, 0.0036) * np.sqrt(np.maximum(1 - along**2, 0))
    across = np.abs(frame.v - curve)
    groove, burr = across < width, (across < width * 2) & (across >= width)
    window = (frame.rows, frame.cols)
    canvas.height[window][groove] -= 0.004 * canvas.pose.unit
    canvas.height[window][burr] += 0.0015 * canvas.pose.unit
    _tint(canvas, frame, np.where(groove, np.float32(0.75), np.float32(0)), pale)
    return canvas.mask(frame, groove | burr)


def stain(canvas: Canvas, x: float, y: float, rng: np.random.Generator, tint: Colour) -> Mask:
    """A soaked or burnt patch 4 to 7 % of the side wide, darker at its rim."""
    radius = rng.uniform(0.02, 0.035)
    frame = canvas.frame(x, y, rng.uniform(0, 2 * math.pi), radius * 1.8)
    cover, depth = blob(frame, radius, rng)
    strength = (1 - smoothstep(depth, 0.8, 1.0)) * (0.72 + 0.22 * smoothstep(depth, 0.5, 0.9))
    _tint(canvas, frame, strength * np.float32(rng.uniform(0.85, 1)), tint)
    canvas.metal[frame.rows, frame.cols] *= 1 - 0.7 * strength
    return canvas.mask(frame, cover)


def pit(canvas: Canvas, x: float, y: float, rng: np.random.Generator) -> Mask:
    """A crater 2.4 to 4 % of the side wide with a thrown-up rim."""
    radius = rng.uniform(0.012, 0.02)
    frame = canvas.frame(x, y, rng.uniform(0, 2 * math.pi), radius * 1.8)
    cover, depth = blob(frame, radius, rng, roughness=0.2)
    bowl = np.where(cover, -0.9 * radius * (1 - depth**2), 0)
    rim = 0.12 * radius * np.exp(-(((depth - 1.05) / 0.12) ** 2))
    _tint(canvas, frame, np.where(cover, 0.45 * (1 - depth**2), np.float32(0)), (0.02, 0.02, 0.02))
    canvas.height[frame.rows, frame.cols] += ((bowl + rim) * canvas.pose.unit).astype(np.float32)
    return canvas.mask(frame, cover)


def fibre(canvas: Canvas, x: float, y: float, rng: np.random.Generator, tint: Colour) -> Mask:
    """A thread or swarf curl, 7 to 9 % of the side long, that fell onto the product."""
    length, angle = rng.uniform(0.07, 0.09), rng.uniform(0, math.pi)
    frame = canvas.frame(x, y, angle, length / 2 + 0.02)
    along = frame.u / (length / 2)
    bend, turns, phase = rng.uniform(0.008, 0.014), rng.uniform(2.5, 4.5), rng.uniform(0, 6)
    curve = bend * np.sin(turns * along + phase) - bend * math.sin(phase)
    slope = bend * turns / (length / 2) * np.cos(turns * along + phase)
    across = np.abs(frame.v - curve) / np.sqrt(1 + slope**2)
    cover = (across < 0.0032) & (np.abs(along) < 1)
    window = (frame.rows, frame.cols)
    rise = np.sqrt(np.maximum(0.0032**2 - across**2, 0)) + 0.003
    canvas.height[window] += np.where(cover, rise * canvas.pose.unit, 0).astype(np.float32)
    canvas.metal[window][cover] = 0
    _tint(canvas, frame, cover.astype(np.float32), tint)
    return canvas.mask(frame, cover)


def _tint(canvas: Canvas, frame: Frame, strength: Float, tint: Colour) -> None:
    """Mix the surface's colour with `tint`, by a strength of 0 to 1 at each point."""
    planes = canvas.albedo[:, frame.rows, frame.cols]  # (3, h, w)
    planes += strength * (np.asarray(tint, np.float32)[:, None, None] - planes)
