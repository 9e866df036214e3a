"""A translucent moulded cover lit from behind: ten vents, four bosses, a fluted window.

What comes through falls off with the thickness (Beer and Lambert's law) and with the slope of the surface,
which bends light away from the camera.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from flawscope.products.canvas import Canvas, Float, Frame, Stamp, colour
from flawscope.products.scene import Outcome, Product, Streams, kinds_of
from flawscope.products.shapes import blob, box_distance, jagged, ridge, smoothstep
from flawscope.products.texture import texture

COVER = (0.41, 0.335)
VENTS = tuple((0.1 * column, row) for row in (-0.175, 0.175) for column in (-2, -1, 0, 1, 2))
VENT = (0.013, 0.055)
BOSSES = ((-0.33, -0.25), (0.33, -0.25), (-0.33, 0.25), (0.33, 0.25))
EMPTY = ((0.33, 0.0), (-0.28, 0.11), (0.28, -0.11))  # where no boss may stand
GATE = (-0.33, 0.0)
COVER_LABEL, BOSS_LABEL, VENT_LABEL = 1, 2, 3
LAMP = (0.8, 0.82, 0.82)
AMBER = (0.11, 0.55, 1.9)  # optical depth of red, green and blue at the floor's thickness


@dataclass(frozen=True)
class Mould:
    """What the mould gives: which vents are open, and where bosses stand."""

    vents: tuple[bool, ...] = (True,) * len(VENTS)
    bosses: tuple[tuple[float, float], ...] = BOSSES


@dataclass
class Melt:
    """(S, S) planes of the cover: its thickness in floors, and the optical depth of what soils it."""

    thickness: Float
    soil: Float
    density: float

    def copy(self) -> Melt:
        """The same planes, to be spoilt."""
        return Melt(self.thickness.copy(), self.soil.copy(), self.density)


def draw(canvas: Canvas, streams: Streams, flaw: str | None) -> Outcome:
    """Paint light box and cover; with a flaw, the same scene but for the flaw."""
    side = canvas.pose.side
    canvas.ground((0.05, 0.05, 0.05), np.ones((side, side), np.float32))
    chance = streams("flaw")
    truth, mould = "", Mould()
    if flaw in _MISTAKEN:
        truth, mould = _MISTAKEN[flaw](chance)
    melt = _moulded(canvas, mould, streams("melt"))
    sound = None
    if flaw in _MISTAKEN:
        sound = _moulded(canvas, Mould(), streams("melt"))
    elif flaw in _DAMAGED:
        sound = melt.copy()
        truth = _DAMAGED[flaw](canvas, melt, chance)
    _lay(canvas, melt, mould)
    canvas.glow = glow = _glow(canvas, melt)
    if sound is None:
        return Outcome()
    through = np.abs(glow - _glow(canvas, sound)).max(axis=0)
    return Outcome(truth, (np.asarray(through > 0.04, np.bool_),))


def _moulded(canvas: Canvas, mould: Mould, rng: np.random.Generator) -> Melt:
    side = canvas.pose.side
    thickness, soil = np.zeros((2, side, side), np.float32)
    frame = canvas.frame(0, 0, 0, 0.75)
    u, v = frame.u, frame.v
    outline = box_distance(u, v, *COVER, 0.07)
    lean_u, lean_v = rng.uniform(-0.16, 0.16, 2)
    clouds = texture("clouds", side, rng)[frame.rows, frame.cols]
    gate = np.hypot(u - GATE[0], v - GATE[1])
    made = (
        0.85 + np.float32(lean_u) * u + np.float32(lean_v) * v + 2.2 * u * u * v * v / (COVER[0] * COVER[1])
    )
    made += 0.05 * clouds + 0.025 * np.sin(gate * 75 + 1.5 * clouds)
    made += 4 * (smoothstep(outline, -0.026, -0.021) - 0.25 * smoothstep(outline, -0.008, 0))
    for line in (-0.098, 0.098):
        made += 1.3 * ridge(v - np.float32(line), 0.008) * (outline < -0.02)
    window = smoothstep(-box_distance(u, v, 0.25, 0.075, 0.015), 0, 0.006)
    made += window * (0.9 * np.square(np.sin(u * np.float32(78))) - 0.3)
    made += 1.5 * ridge(gate, 0.016)
    thickness[frame.rows, frame.cols] = np.where(outline < 0, made, 0)
    for x, y in mould.bosses:
        _boss(canvas, thickness, x, y)
    for (x, y), is_open in zip(VENTS, mould.vents, strict=True):
        if is_open:
            _vent(canvas, thickness, x, y)
    for _ in range(int(rng.integers(2, 8))):
        _speck(canvas, soil, rng)
    return Melt(thickness, soil, float(rng.uniform(1.05, 1.4)))


def _boss(canvas: Canvas, thickness: Float, x: float, y: float) -> None:
    frame = canvas.frame(x, y, 0, 0.035)
    distance = np.hypot(frame.u, frame.v)
    ring = 2.6 * (smoothstep(-distance, -0.033, -0.029) - smoothstep(-distance, -0.016, -0.012))
    thickness[frame.rows, frame.cols] += ring - 0.6 * smoothstep(-distance, -0.014, -0.011)


def _vent(canvas: Canvas, thickness: Float, x: float, y: float) -> None:
    """A slot with a raised edge."""
    frame = canvas.frame(x, y, 0, VENT[0] + 0.02, VENT[1] + 0.02)
    slot = box_distance(frame.u, frame.v, *VENT, 0.012)
    plane = thickness[frame.rows, frame.cols]
    plane += 1.1 * ridge(slot - np.float32(0.004), 0.007)
    plane *= smoothstep(slot, -0.002, 0.002)


def _speck(canvas: Canvas, soil: Float, rng: np.random.Generator) -> None:
    """Dust, as lies on every light box and cover."""
    x, y = (float(value) for value in rng.uniform(-0.45, 0.45, 2))
    frame = canvas.frame(x, y, 0, 0.008)
    radius = rng.uniform(0.0015, 0.003)
    soil[frame.rows, frame.cols] += 0.8 * ridge(np.hypot(frame.u, frame.v), float(radius) * 1.5)


def _glow(canvas: Canvas, melt: Melt) -> Float:
    """(3, S, S) light that comes through."""
    side = canvas.pose.side
    thickness = np.asarray(cv2.GaussianBlur(melt.thickness, (0, 0), 0.0022 * side), np.float32)
    across = cv2.Sobel(thickness, cv2.CV_32F, 1, 0, scale=side / 4096)
    down = cv2.Sobel(thickness, cv2.CV_32F, 0, 1, scale=side / 4096)
    lost = melt.soil + 0.35 * cv2.magnitude(across, down)
    glow = [
        lamp * cv2.exp(-(depth * melt.density * thickness + lost))
        for lamp, depth in zip(LAMP, AMBER, strict=True)
    ]
    return np.asarray(np.stack(glow), np.float32)


def _lay(canvas: Canvas, melt: Melt, mould: Mould) -> None:
    """Put the cover on the light box, where the lamp above gives it some sheen."""
    whole = canvas.frame(0, 0, 0, 0.75)
    window = (whole.rows, whole.cols)
    thickness = melt.thickness[window]
    sheen = Stamp(
        whole, thickness > 0.05, 0.004 + 0.004 * thickness, colour("5a4630"), COVER_LABEL, gloss=0.22
    )
    canvas.paint(sheen)
    for x, y in mould.bosses:
        frame = canvas.frame(x, y, 0, 0.035)
        canvas.parts[frame.rows, frame.cols][np.hypot(frame.u, frame.v) < 0.033] = BOSS_LABEL
    for (x, y), is_open in zip(VENTS, mould.vents, strict=True):
        frame = canvas.frame(x, y, 0, VENT[0] + 0.01, VENT[1] + 0.01)
        slot = box_distance(frame.u, frame.v, *VENT, 0.012) < 0
        if is_open:
            canvas.parts[frame.rows, frame.cols][slot] = VENT_LABEL


def _missing_vent(rng: np.random.Generator) -> tuple[str, Mould]:
    index = int(rng.integers(len(VENTS)))
    vents = tuple(place != index for place in range(len(VENTS)))
    return f"vent {index + 1} is not open", Mould(vents=vents)


def _missing_boss(rng: np.random.Generator) -> tuple[str, Mould]:
    index = int(rng.integers(len(BOSSES)))
    return "boss missing: 3 instead of 4", Mould(bosses=BOSSES[:index] + BOSSES[index + 1 :])


def _extra_boss(rng: np.random.Generator) -> tuple[str, Mould]:
    place = EMPTY[int(rng.integers(len(EMPTY)))]
    return "extra boss: 5 instead of 4", Mould(bosses=(*BOSSES, place))


def _area(rng: np.random.Generator, low: float, high: float) -> float:
    """The radius of a disc whose area lies between these shares of the picture, small as often as large."""
    return float(np.sqrt(np.exp(rng.uniform(np.log(low), np.log(high))) / np.pi))


def _anywhere(rng: np.random.Generator) -> tuple[float, float]:
    """A point of the floor, clear of vents and bosses."""
    points = rng.uniform(-1, 1, (60, 2)) * (0.36, 0.28)
    to_vents = np.abs(points[:, None] - np.array(VENTS)) / (VENT[0] + 0.025, VENT[1] + 0.025)
    to_bosses = np.linalg.norm(points[:, None] - np.array(BOSSES), axis=2)
    clear = (to_vents.max(axis=2) > 1).all(axis=1) & (to_bosses > 0.06).all(axis=1)
    x, y = points[int(clear.argmax())]
    return float(x), float(y)


def _soil(melt: Melt, frame: Frame, depth: Float) -> None:
    """Darken the material, not the holes in it."""
    window = (frame.rows, frame.cols)
    melt.soil[window] += depth * (melt.thickness[window] > 0.3)


def _patch(
    canvas: Canvas, rng: np.random.Generator, radius: float, at: tuple[float, float]
) -> tuple[Frame, Float]:
    frame = canvas.frame(*at, float(rng.uniform(0, 6)), radius * 1.8)
    return frame, blob(frame, radius, rng, roughness=0.25)[1]


def _bubble(canvas: Canvas, melt: Melt, rng: np.random.Generator) -> str:
    """Trapped air: a bright spot in a dark ring."""
    radius = _area(rng, 0.0007, 0.003)
    frame = canvas.frame(*_anywhere(rng), float(rng.uniform(0, 6)), radius * 1.3)
    depth = np.hypot(frame.u, frame.v * np.float32(rng.uniform(1, 1.3))) / radius
    melt.thickness[frame.rows, frame.cols] *= 1 - 0.75 * np.sqrt(np.maximum(1 - depth * depth, 0))
    _soil(melt, frame, 0.7 * ridge(depth - np.float32(0.95), 0.25))
    return "bubble in the cover"


def _inclusion(canvas: Canvas, melt: Melt, rng: np.random.Generator) -> str:
    frame, depth = _patch(canvas, rng, _area(rng, 0.0008, 0.002), _anywhere(rng))
    _soil(melt, frame, 1.1 * (1 - smoothstep(depth, 0.5, 1)))
    return "dark inclusion in the cover"


def _burn(canvas: Canvas, melt: Melt, rng: np.random.Generator) -> str:
    """Scorched by trapped gas where the melt came last: far from the gate."""
    at = float(rng.uniform(0.2, 0.36)), float(rng.uniform(-0.27, 0.27))
    frame, depth = _patch(canvas, rng, _area(rng, 0.0015, 0.005), at)
    _soil(melt, frame, np.float32(rng.uniform(0.45, 0.7)) * (1 - smoothstep(depth, 0.3, 1.1)))
    return "burn mark in the cover"


def _crack(canvas: Canvas, melt: Melt, rng: np.random.Generator) -> str:
    half = float(rng.uniform(0.065, 0.1))
    frame = canvas.frame(*_anywhere(rng), float(rng.uniform(0, 3.1)), half * 1.2)
    _, depth = jagged(frame, half, 0.009, rng)
    _soil(melt, frame, 0.75 * (1 - smoothstep(depth, 0.4, 1)))
    return "crack in the cover"


def _edge(rng: np.random.Generator) -> tuple[float, float]:
    """A point of the outline, on its straight parts."""
    along, sign = rng.uniform(-0.75, 0.75), float(rng.choice([-1, 1]))
    if rng.random() < 0.5:
        return float(along * COVER[0]), sign * COVER[1]
    return sign * COVER[0], float(along * COVER[1])


def _flash(canvas: Canvas, melt: Melt, rng: np.random.Generator) -> str:
    """A thin skin where the mould did not shut tight."""
    frame, depth = _patch(canvas, rng, _area(rng, 0.003, 0.009), _edge(rng))
    plane = melt.thickness[frame.rows, frame.cols]
    skin = 0.45 * (1 - smoothstep(depth, 0.88, 1))
    np.maximum(plane, skin, out=plane)
    return "flash at the edge"


def _short_shot(canvas: Canvas, melt: Melt, rng: np.random.Generator) -> str:
    """The edge was not filled."""
    frame, depth = _patch(canvas, rng, _area(rng, 0.003, 0.007), _edge(rng))
    melt.thickness[frame.rows, frame.cols] *= smoothstep(depth, 0.9, 1.02)
    return "edge not filled"


_MISTAKEN: dict[str, Callable[[np.random.Generator], tuple[str, Mould]]] = {
    "missing_vent": _missing_vent,
    "missing_boss": _missing_boss,
    "extra_boss": _extra_boss,
}
_DAMAGED: dict[str, Callable[[Canvas, Melt, np.random.Generator], str]] = {
    "bubble": _bubble,
    "inclusion": _inclusion,
    "burn_mark": _burn,
    "crack": _crack,
    "flash": _flash,
    "short_shot": _short_shot,
}

VENT_COVER = Product(
    name="vent_cover",
    part_names=("background", "cover", "boss", "vent"),
    flaws=kinds_of(structural=_DAMAGED, logical=_MISTAKEN),
    draw=draw,
)
