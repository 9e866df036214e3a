"""The canvas: colour, height, finish and label of every point, before any light falls on it."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
Colour = tuple[float, float, float]


def colour(code: str) -> Colour:
    """Linear RGB of a display colour.

    >>> [round(value, 3) for value in colour("ff8000")]
    [1.0, 0.22, 0.0]
    """
    red, green, blue = ((int(code[i : i + 2], 16) / 255) ** 2.2 for i in (0, 2, 4))
    return red, green, blue


@dataclass(frozen=True)
class Pose:
    """Where the product lies: product coordinates (origin at its centre, unit = picture side) to pixels."""

    side: int
    x: float
    y: float
    angle: float
    scale: float

    @classmethod
    def jittered(cls, side: int, rng: np.random.Generator) -> Pose:
        """The small errors of a fixture: a few per cent of shift and scale, a few degrees of turn."""
        x, y = rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02)
        return cls(side, x, y, math.radians(rng.uniform(-3, 3)), rng.uniform(0.97, 1.03))

    @property
    def unit(self) -> float:
        """Pixels per unit of the product."""
        return self.side * self.scale

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Column and row of a point of the product."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        column = self.side * (0.5 + self.x) + self.unit * (cos * x - sin * y)
        row = self.side * (0.5 + self.y) + self.unit * (sin * x + cos * y)
        return float(column), float(row)


@dataclass(frozen=True)
class Frame:
    """A window of the canvas with part coordinates: u along the part, v across it, in product units."""

    rows: slice
    cols: slice
    u: Float
    v: Float


@dataclass(frozen=True)
class Stamp:
    """A part ready to be painted: where it covers its frame, how high it stands, what it is made of.

    `height` is in product units; `albedo` a linear colour, times `shade` at each point; `metal` goes from 0
    (dull) to 1 (mirror); `gloss` is the strength of the highlight on lacquer or plastic.
    """

    frame: Frame
    cover: Mask
    height: Float | float
    albedo: Colour
    label: int
    shade: Float | float = 1.0
    metal: float = 0.0
    gloss: float = 0.0


@dataclass
class Canvas:
    """Planes of (S, S) points that `light.photograph` turns into a picture of S / 2 pixels.

    A `film` is a clear sheet over all: its height plane and the points that it covers. A `glow`, (3, S, S),
    is light from behind that comes through.
    """

    pose: Pose
    albedo: Float = field(init=False)
    height: Float = field(init=False)
    metal: Float = field(init=False)
    gloss: Float = field(init=False)
    parts: NDArray[np.uint8] = field(init=False)
    film: tuple[Float, Mask] | None = None
    glow: Float | None = None

    def __post_init__(self) -> None:
        side = self.pose.side
        planes = np.zeros((6, side, side), np.float32)  # one block: cheaper to get and give back than six
        self.albedo, self.height, self.metal, self.gloss = planes[:3], planes[3], planes[4], planes[5]
        self.parts = np.zeros((side, side), np.uint8)

    def frame(self, x: float, y: float, angle: float, reach: float, reach_y: float | None = None) -> Frame:
        """The window `reach` around (x, y), its u axis turned by `angle` against the product's x axis.

        With `reach_y` the window is `reach` wide and `reach_y` high to each side, both along the picture.
        """
        column, row = self.pose.pixel(x, y)
        high = reach if reach_y is None else reach_y
        rows = _window(row, high * self.pose.unit, self.pose.side)
        cols = _window(column, reach * self.pose.unit, self.pose.side)
        dx = (np.arange(cols.start, cols.stop, dtype=np.float32) + 0.5 - column) / self.pose.unit
        dy = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5 - row) / self.pose.unit
        cos, sin = math.cos(angle + self.pose.angle), math.sin(angle + self.pose.angle)
        u = dy[:, None] * np.float32(sin) + dx * np.float32(cos)
        v = dy[:, None] * np.float32(cos) - dx * np.float32(sin)
        return Frame(rows, cols, np.asarray(u, np.float32), np.asarray(v, np.float32))

    def ground(self, albedo: Colour, shade: Float) -> None:
        """Cover the whole canvas with a surface of this colour, times `shade` (S, S) at each point."""
        for plane, value in zip(self.albedo, albedo, strict=True):
            np.multiply(shade, np.float32(value), out=plane)

    def paint(self, stamp: Stamp, base: float = 0.0) -> None:
        """Lay the part on a floor at height `base` (product units)."""
        window = (stamp.frame.rows, stamp.frame.cols)
        cover = stamp.cover
        shade = np.asarray(stamp.shade, np.float32)
        for plane, value in zip(self.albedo, stamp.albedo, strict=True):
            np.multiply(shade, np.float32(value), out=plane[window], where=cover)
        height = np.asarray((np.asarray(stamp.height) + base) * self.pose.unit, np.float32)
        np.copyto(self.height[window], height, where=cover)
        np.copyto(self.metal[window], np.float32(stamp.metal), where=cover)
        np.copyto(self.gloss[window], np.float32(stamp.gloss), where=cover)
        np.copyto(self.parts[window], np.uint8(stamp.label), where=cover)

    def copy(self) -> Canvas:
        """The canvas as it is now, to be compared with what becomes of it."""
        return copy.deepcopy(self)

    def changed(self, before: Canvas) -> Mask:
        """(S, S) bool: the points that look different than `before`.

        Colour or finish moved there by more than 0.03, or the height by more than 0.0006 product units.
        """
        mask = np.asarray(np.abs(self.height - before.height) > 0.0006 * self.pose.unit, np.bool_)
        for now, then in zip(self._looks(), before._looks(), strict=True):
            mask |= np.abs(now - then) > 0.03
        return mask

    def _looks(self) -> tuple[Float, ...]:
        glow = () if self.glow is None else tuple(self.glow)
        return (*self.albedo, self.metal, self.gloss, *glow)

    def lower(self, frame: Frame, cover: Mask, height: NDArray[np.floating] | float) -> None:
        """Take away what stands above `height` (product units) where `cover` marks the window."""
        surface = self.height[frame.rows, frame.cols]
        np.minimum(surface, np.float32(height * self.pose.unit), out=surface, where=cover)

    def footprint(self, *stamps: Stamp) -> Mask:
        """(S, S) bool: the points that any of the parts covers, painted or not."""
        mask = np.zeros(self.parts.shape, np.bool_)
        for stamp in stamps:
            mask[stamp.frame.rows, stamp.frame.cols] |= stamp.cover
        return mask

    def mask(self, frame: Frame, cover: Mask) -> Mask:
        """(S, S) bool: the points of a window that `cover` marks."""
        mask = np.zeros(self.parts.shape, np.bool_)
        mask[frame.rows, frame.cols] = cover
        return mask


def _window(centre: float, radius: float, side: int) -> slice:
    start = min(max(math.floor(centre - radius), 0), side - 1)
    return slice(start, min(max(math.ceil(centre + radius), start + 1), side))
