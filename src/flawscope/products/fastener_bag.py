"""A clear bag with one long screw, two short ones, two nuts and three washers on cardboard."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from flawscope.products import damage
from flawscope.products.canvas import Canvas, Frame, Mask, colour
from flawscope.products.fasteners import LABELS, LENGTHS, RADII, Fastener, Sort, stamp
from flawscope.products.scene import Outcome, Product, Streams, kinds_of
from flawscope.products.shapes import blob, box_distance, ridge, smoothstep
from flawscope.products.texture import texture

CONTENTS: tuple[Sort, ...] = (
    *("long screw", "short screw", "short screw"),
    *("nut", "nut", "washer", "washer", "washer"),
)
BAG = (0.388, 0.4)
ZIP = -0.33
BAG_LABEL = 1

Parts = list[Fastener]


@dataclass(frozen=True)
class Scene:
    """What a flaw works on: the canvas, the parts (before they are drawn), where in the bag they may lie."""

    canvas: Canvas
    parts: Parts
    inside: Mask

    def footprint(self, *parts: Fastener) -> Mask:
        """(S, S) bool: the points that these parts cover."""
        return self.canvas.footprint(*(stamp(self.canvas, part) for part in parts))

    def free(self) -> Mask:
        """Where in the bag no part lies: a missing one could be anywhere there."""
        return self.inside & ~self.footprint(*self.parts)

    def pick(self, rng: np.random.Generator, *sorts: Sort) -> int:
        """The index of any part of these sorts."""
        return int(rng.choice([index for index, part in enumerate(self.parts) if part.sort in sorts]))


def draw(canvas: Canvas, streams: Streams, flaw: str | None) -> Outcome:
    """Paint cardboard, parts and the bag over them; with a flaw, the same scene but for the flaw."""
    _cardboard(canvas, streams("cardboard"))
    inside = _bag(canvas, streams("bag"))
    scene = Scene(canvas, _scattered(streams("parts")), inside)
    rng = streams("flaw")
    outcome = Outcome()
    if flaw in _ON_PARTS:
        outcome = _ON_PARTS[flaw](scene, rng)
    for part in scene.parts:
        canvas.paint(stamp(canvas, part), base=0.001)
    if flaw in _AFTER:
        outcome = _AFTER[flaw](scene, rng)
    return outcome


def _cardboard(canvas: Canvas, rng: np.random.Generator) -> None:
    side = canvas.pose.side
    weave = rng.uniform(0.04, 0.07) * texture("cardboard", side, rng) + 0.04 * texture("clouds", side, rng)
    canvas.ground(colour("b58f66"), (1 + weave) * np.float32(rng.uniform(0.85, 1.15)))
    canvas.height += 0.12 * weave.astype(np.float32) * (side / 512)


def _bag(canvas: Canvas, rng: np.random.Generator) -> Mask:
    """Hang the film over the scene and return the region in which the parts may lie."""
    frame = canvas.frame(0, 0, 0, 0.7)
    outline = box_distance(frame.u, frame.v, *BAG, 0.02)
    side = canvas.pose.side
    film = texture("wrinkles", side, rng) * np.float32(rng.uniform(0.005, 0.009))
    window = (frame.rows, frame.cols)
    height = np.zeros((side, side), np.float32)
    height[window] = film[window] * (1 - smoothstep(outline, -0.06, -0.005))
    for line, depth in ((ZIP, 0.005), (ZIP + 0.018, 0.005)):
        height[window] += depth * ridge(np.asarray(frame.v - line, np.float32), 0.006) * (outline < 0)
    height[window] += 0.004 * ridge(np.asarray(outline + 0.012, np.float32), 0.005)
    cover = np.zeros((side, side), np.bool_)
    cover[window] = outline < 0
    canvas.film = (height * np.float32(canvas.pose.unit), cover)
    canvas.parts[cover] = BAG_LABEL
    inside = np.zeros((side, side), np.bool_)
    inside[window] = (outline < -0.015) & (frame.v > ZIP + 0.025)
    return inside


def _scattered(rng: np.random.Generator) -> Parts:
    """The contents, shaken apart: each part tries places until it lies clear of the others."""
    parts: Parts = []
    for sort in CONTENTS:
        best, clearance = None, -math.inf
        for _ in range(60):
            trial = _thrown(sort, rng)
            gap = _clearance(trial, parts)
            if gap > clearance:
                best, clearance = trial, gap
            if gap > 0.006:
                break
        if best is not None:
            parts.append(best)
    return parts


def _thrown(sort: Sort, rng: np.random.Generator) -> Fastener:
    angle = rng.uniform(0, 2 * math.pi)
    reach = LENGTHS["long screw"] / 2 if sort in LENGTHS else 0.0
    free_x = BAG[0] - 0.055 - reach * abs(math.cos(angle))
    low = ZIP + 0.075 + reach * abs(math.sin(angle))
    high = BAG[1] - 0.055 - reach * abs(math.sin(angle))
    return Fastener(sort, rng.uniform(-free_x, free_x), rng.uniform(low, high), angle)


def _clearance(part: Fastener, others: Sequence[Fastener]) -> float:
    """Distance to the nearest other part, each taken as discs along its length (a screw as a long one)."""
    own = _discs(part)
    theirs = [disc for other in others for disc in _discs(other)]
    gaps = [math.hypot(x - p, y - q) - r - s for p, q, s in theirs for x, y, r in own]
    return min(gaps, default=math.inf)


def _discs(part: Fastener) -> list[tuple[float, float, float]]:
    if not part.is_screw:
        return [(part.x, part.y, RADII[part.sort] * 1.1)]
    half, cos, sin = LENGTHS["long screw"] / 2, math.cos(part.angle), math.sin(part.angle)
    return [(part.x + t * half * cos, part.y + t * half * sin, 0.028) for t in (-0.95, -0.5, 0, 0.5, 0.95)]


def _without(scene: Scene, rng: np.random.Generator, sort: Sort) -> Outcome:
    del scene.parts[scene.pick(rng, sort)]
    left = sum(part.sort == sort for part in scene.parts)
    return Outcome(f"{sort} missing: {left} instead of {left + 1}", (scene.free(),))


def _missing_screw(scene: Scene, rng: np.random.Generator) -> Outcome:
    return _without(scene, rng, "short screw" if rng.random() < 0.5 else "long screw")


def _added(scene: Scene, rng: np.random.Generator, sort: Sort) -> Outcome:
    """One too many; as no one can say which of them it is, all of its sort are marked."""
    trials = [_thrown(sort, rng) for _ in range(80)]
    scene.parts.append(max(trials, key=lambda trial: _clearance(trial, scene.parts)))
    same = [part for part in scene.parts if part.sort == sort]
    return Outcome(f"extra {sort}: {len(same)} instead of {len(same) - 1}", (scene.footprint(*same),))


def _replaced(scene: Scene, rng: np.random.Generator, old: Sort, new: Sort) -> Outcome:
    index = scene.pick(rng, old)
    before, scene.parts[index] = scene.parts[index], replace(scene.parts[index], sort=new)
    return Outcome(f"{new} instead of a {old}", (scene.footprint(before, scene.parts[index]),))


def _outside(scene: Scene, rng: np.random.Generator) -> Outcome:
    """A washer lies beside the bag: its number is right, its place is not."""
    index = scene.pick(rng, "washer")
    x, y = float(rng.choice([-0.433, 0.433])), float(rng.uniform(-0.4, 0.4))
    scene.parts[index] = replace(scene.parts[index], x=x, y=y)
    found = scene.footprint(scene.parts[index])
    return Outcome("washer lies outside the bag", (found, scene.free()))


def _marred(scene: Scene, index: int, new: Fastener) -> Mask:
    old = scene.footprint(scene.parts[index])
    scene.parts[index] = new
    return old ^ scene.footprint(new)


def _bent(scene: Scene, rng: np.random.Generator) -> Outcome:
    index = scene.pick(rng, "long screw", "short screw")
    bend = float(rng.choice([-1, 1]) * rng.uniform(0.3, 0.5))
    new = replace(scene.parts[index], bend=bend)
    changed = _marred(scene, index, new)
    shank = stamp(scene.canvas, new)
    bent = replace(shank, cover=shank.cover & (shank.frame.u > -0.1 * LENGTHS[new.sort]))
    return Outcome(f"{new.sort} is bent", (changed | scene.canvas.footprint(bent),))


def _broken(scene: Scene, rng: np.random.Generator) -> Outcome:
    index = scene.pick(rng, "short screw")
    new = replace(scene.parts[index], loss=float(rng.uniform(0.28, 0.42)))
    return Outcome("shank of a short screw is broken off", (_marred(scene, index, new),))


def _cracked(scene: Scene, rng: np.random.Generator) -> Outcome:
    index = scene.pick(rng, "nut", "washer")
    new = replace(scene.parts[index], gap=float(rng.uniform(0.012, 0.017)))
    return Outcome(f"{new.sort} is cracked through", (_marred(scene, index, new),))


def _rusty(scene: Scene, rng: np.random.Generator) -> Outcome:
    part = scene.parts[scene.pick(rng, *LABELS)]
    along = rng.uniform(-0.06, 0.06) if part.is_screw else 0.75 * RADII[part.sort]
    turn = part.angle if part.is_screw else rng.uniform(0, 2 * math.pi)
    x, y = part.x + along * math.cos(turn), part.y + along * math.sin(turn)
    canvas = scene.canvas
    frame = canvas.frame(x, y, rng.uniform(0, math.pi), 0.06)
    cover, depth = blob(frame, rng.uniform(0.02, 0.032), rng)
    window = (frame.rows, frame.cols)
    cover &= scene.footprint(part)[window]
    for plane, value in zip(canvas.albedo, colour("7d4a1e"), strict=True):
        np.multiply(1.3 - 0.6 * depth, np.float32(value), out=plane[window], where=cover)
    canvas.metal[window][cover] = canvas.gloss[window][cover] = 0
    return Outcome(f"rust on a {part.sort}", (canvas.mask(frame, cover),))


def _torn(scene: Scene, rng: np.random.Generator) -> Outcome:
    """A hole in the film, its edge curled up."""
    x, y = float(rng.uniform(-0.32, 0.32)), float(rng.uniform(ZIP + 0.08, 0.34))
    frame = scene.canvas.frame(x, y, rng.uniform(0, math.pi), 0.07)
    squeezed = Frame(frame.rows, frame.cols, frame.u, (frame.v * 2).astype(np.float32))
    hole, depth = blob(squeezed, 0.034, rng)
    if scene.canvas.film is not None:
        height, cover = scene.canvas.film
        curl = np.exp(-(((depth - 1.15) / 0.2) ** 2)) * 0.0055 * scene.canvas.pose.unit
        height[frame.rows, frame.cols] += curl.astype(np.float32)
        cover[frame.rows, frame.cols] &= ~hole
    return Outcome("hole torn into the bag", (scene.canvas.mask(frame, depth < 1.5),))


def _fibre(scene: Scene, rng: np.random.Generator) -> Outcome:
    x, y = float(rng.uniform(-0.3, 0.3)), float(rng.uniform(-0.2, 0.3))
    return Outcome("fibre in the bag", (damage.fibre(scene.canvas, x, y, rng, colour("23262e")),))


_DAMAGED = {"bent_screw": _bent, "broken_screw": _broken, "cracked_ring": _cracked}
_MISTAKEN: dict[str, Callable[[Scene, np.random.Generator], Outcome]] = {
    "missing_screw": _missing_screw,
    "missing_nut": partial(_without, sort="nut"),
    "missing_washer": partial(_without, sort="washer"),
    "extra_nut": partial(_added, sort="nut"),
    "extra_washer": partial(_added, sort="washer"),
    "long_for_short": partial(_replaced, old="short screw", new="long screw"),
    "short_for_long": partial(_replaced, old="long screw", new="short screw"),
    "nut_for_washer": partial(_replaced, old="washer", new="nut"),
    "washer_outside": _outside,
}
_ON_PARTS = _MISTAKEN | _DAMAGED
_AFTER = {"rust": _rusty, "torn_bag": _torn, "fibre": _fibre}
_NUT, _WASHER, _SCREW = 0.0035, 0.0032, 0.0047  # areas as shares of the picture

FASTENER_BAG = Product(
    name="fastener_bag",
    part_names=("background", "bag", *LABELS),
    flaws=kinds_of(structural=(*_DAMAGED, *_AFTER), logical=_MISTAKEN),
    draw=draw,
    saturation={
        "missing_screw": _SCREW,
        "missing_nut": _NUT,
        "missing_washer": _WASHER,
        "extra_nut": _NUT,
        "extra_washer": _WASHER,
        "washer_outside": _WASHER,
    },
)
