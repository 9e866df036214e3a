"""Light and camera: a canvas in, a picture out.

Surfaces are shaded from the canvas's height plane: Lambert's cosine law for the dull share, a studio
reflected in the normal for the metal share, a highlight on gloss, cast shadows along the light, and darkened
creases; light from behind is added. The camera adds a gradient, a vignette, white balance, defocus and sensor
noise.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.products.canvas import Canvas, Float

Normals = tuple[Float, Float, Float]  # x, y and z of the surface's normal, each (H, W)

OVERSAMPLING = 2
_BAND = 64


@dataclass(frozen=True)
class Setup:
    """One setting of lamp and camera; angles in radians, lengths as a share of the picture's side."""

    azimuth: float
    elevation: float
    exposure: float
    ambient: float
    gradient: tuple[float, float]
    vignette: float
    balance: tuple[float, float, float]
    blur: float
    read_noise: float
    shot_noise: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Setup:
        """A lamp at the upper left, never quite where it was."""
        warm, green = rng.normal(0, 0.02), rng.normal(0, 0.008)
        return cls(
            azimuth=math.radians(-130 + rng.uniform(-30, 30)),
            elevation=math.radians(rng.uniform(46, 62)),
            exposure=rng.uniform(0.88, 1.12),
            ambient=rng.uniform(0.38, 0.5),
            gradient=(rng.uniform(-0.16, 0.16), rng.uniform(-0.16, 0.16)),
            vignette=rng.uniform(0.1, 0.28),
            balance=(1 + warm, 1 + green, 1 - warm),
            blur=rng.uniform(0.0011, 0.0024),
            read_noise=rng.uniform(0.0015, 0.004),
            shot_noise=rng.uniform(0.006, 0.014),
        )


def photograph(canvas: Canvas, setup: Setup, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The (S / 2, S / 2, 3) RGB picture of a canvas."""
    size = canvas.pose.side // OVERSAMPLING
    picture = _shaded(canvas, setup)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), setup.blur * size), np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = axis, axis[:, None]
    field = 1 + setup.gradient[0] * x + setup.gradient[1] * y - setup.vignette * (x * x + y * y) / 2
    picture *= (field * setup.exposure)[:, :, None]
    picture *= np.asarray(setup.balance, np.float32)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    picture += noise * np.sqrt(setup.read_noise**2 + setup.shot_noise**2 * np.maximum(picture, 0))
    index = np.clip(picture * 4095, 0, 8191).astype(np.uint16)
    return _tone_curve()[index]


def _shaded(canvas: Canvas, setup: Setup) -> Float:
    """The lit scene, (S / 2, S / 2, 3), worked in bands of rows that stay in the processor's cache."""
    side = canvas.pose.side
    height = np.asarray(cv2.blur(canvas.height, (3, 3)), np.float32)
    normals = _normals(height)
    shadow, crease = _occlusion(height, setup)
    film = None if canvas.film is None else (_half_way(*_normals(canvas.film[0]), setup), canvas.film[1])
    picture = np.empty((side // OVERSAMPLING, side // OVERSAMPLING, 3), np.float32)
    for top in range(0, side, _BAND):
        rows = slice(top, min(top + _BAND, side))
        lit = 1 - 0.8 * shadow[rows]
        nx, ny, nz = (plane[rows] for plane in normals)
        planes = _lit(canvas, rows, (nx, ny, nz), (lit, crease[rows]), setup)  # (3, rows, S)
        if film is not None:
            _lay_film(planes, film[0][rows], film[1][rows])
        small = (side // OVERSAMPLING, (rows.stop - rows.start) // OVERSAMPLING)
        reduced = [cv2.resize(plane, small, interpolation=cv2.INTER_AREA) for plane in planes]
        picture[rows.start // OVERSAMPLING : rows.stop // OVERSAMPLING] = cv2.merge(reduced)
    return picture


def _lay_film(planes: Float, cosine: Float, cover: NDArray[np.bool_]) -> None:
    """Dim what lies under the clear film a little and add its glare, sharp on a faint broad one."""
    broad = np.asarray(cv2.pow(cosine, 14), np.float32)
    planes *= np.where(cover, np.float32(0.86), np.float32(1))
    planes += np.where(cover, 0.045 + 0.1 * broad + 0.45 * broad**6, np.float32(0))


def _lit(canvas: Canvas, rows: slice, normals: Normals, open_to: tuple[Float, Float], setup: Setup) -> Float:
    """Colour of a band before the film: dull and mirrored light mixed by metal, plus the highlight.

    `open_to` is the light that arrives, 1 to 0.2 in shadow, and how open creases are.
    """
    (nx, ny, nz), (lit, crease) = normals, open_to
    lx, ly, lz = _towards_light(setup)
    diffuse = np.maximum(nx * lx + ny * ly + nz * lz, 0)
    dull = (setup.ambient + 0.78 * diffuse * lit) * crease
    mirror = _reflection(nx, ny, setup.azimuth) * (0.35 + 0.65 * lit) * (0.4 + 0.6 * crease)
    shading = dull + canvas.metal[rows] * (mirror - dull)
    shine = canvas.gloss[rows] * cv2.pow(_half_way(nx, ny, nz, setup), 40) * lit
    through = 0 if canvas.glow is None else canvas.glow[:, rows]
    return np.asarray(canvas.albedo[:, rows] * shading + shine + through, np.float32)


def _normals(height: Float) -> Normals:
    gx = np.asarray(cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=-1 / 8), np.float32)
    gy = np.asarray(cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=-1 / 8), np.float32)
    nz = np.asarray(1 / np.sqrt(1 + gx * gx + gy * gy), np.float32)
    gx *= nz
    gy *= nz
    return gx, gy, nz


def _towards_light(setup: Setup) -> tuple[float, float, float]:
    level = math.cos(setup.elevation)
    return level * math.cos(setup.azimuth), level * math.sin(setup.azimuth), math.sin(setup.elevation)


def _half_way(nx: Float, ny: Float, nz: Float, setup: Setup) -> Float:
    """Blinn-Phong: the cosine to the half-way vector between lamp and camera; its powers are highlights."""
    lx, ly, lz = _towards_light(setup)
    length = math.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)
    cosine = nx * (lx / length) + ny * (ly / length) + nz * ((lz + 1) / length)
    return np.asarray(np.maximum(cosine, 0), np.float32)


def _occlusion(height: Float, setup: Setup) -> tuple[Float, Float]:
    """Cast shadow (0 lit to 1 dark) and crease (1 open to about 0.5), both found at half resolution."""
    side = height.shape[0]
    size = side // 2
    low = np.asarray(cv2.resize(height, (size, size), interpolation=cv2.INTER_AREA) / 2, np.float32)
    deepest = np.zeros_like(low)
    lx, ly, lz = _towards_light(setup)
    level = math.hypot(lx, ly)
    for step in range(1, 8):
        distance = step * size / 200
        move = np.array([[1, 0, -distance * lx / level], [0, 1, -distance * ly / level]], np.float32)
        shifted = cv2.warpAffine(low, move, (size, size), borderMode=cv2.BORDER_REPLICATE)
        np.maximum(deepest, shifted - low - distance * lz / level, out=deepest)
    shadow = cv2.GaussianBlur(np.clip(deepest * (400 / size), 0, 1), (0, 0), size * 0.006)
    around = cv2.GaussianBlur(low, (0, 0), size * 0.02)
    crease = 1 - np.clip((around - low) * (18 / size), 0, 0.5)
    enlarged = [cv2.resize(plane, (side, side), interpolation=cv2.INTER_LINEAR) for plane in (shadow, crease)]
    return np.asarray(enlarged[0], np.float32), np.asarray(enlarged[1], np.float32)


def _reflection(nx: Float, ny: Float, azimuth: float) -> Float:
    """What a mirror with this normal shows of the studio, which turns with the lamp."""
    studio = _studio()
    half = (studio.shape[0] - 1) / 2
    cos, sin = math.cos(azimuth) * half, math.sin(azimuth) * half
    along = nx * np.float32(cos) + ny * np.float32(sin) + np.float32(half)
    across = ny * np.float32(cos) - nx * np.float32(sin) + np.float32(half)
    return np.asarray(cv2.remap(studio, along, across, cv2.INTER_LINEAR), np.float32)


@functools.lru_cache(maxsize=1)
def _studio() -> Float:
    """(129, 129) brightness by normal: a large soft lamp, a weaker one behind it, a dark horizon."""
    axis = np.linspace(-1, 1, 129)
    nx, ny = np.meshgrid(axis, axis)
    nz = np.sqrt(np.clip(1 - nx**2 - ny**2, 0, 1))
    rx, ry, rz = 2 * nz * nx, 2 * nz * ny, 2 * nz * nz - 1
    lamp = np.clip(0.62 * rx + 0.78 * rz, 0, 1)
    soft = 0.75 * lamp**4 + 1.6 * lamp**40
    strip = 0.5 * np.exp(-(((rx + 0.8) / 0.22) ** 2)) * np.exp(-((ry / 0.9) ** 2))
    floor = 0.16 + 0.22 * np.clip(rz, 0, 1)
    horizon = 1 - 0.75 * np.exp(-(((rz + 0.1) / 0.22) ** 2))
    studio = ((floor + soft) * horizon + strip).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(studio, (0, 0), 1.5), np.float32)


@functools.lru_cache(maxsize=1)
def _tone_curve() -> NDArray[np.uint8]:
    """Linear light (4095 = 1) to display value, with a soft shoulder from 0.8 to 2."""
    linear = np.arange(8192) / 4095
    shoulder = np.where(linear < 0.8, linear, 0.8 + 0.2 * np.tanh((linear - 0.8) / 0.35))
    return np.asarray(np.round(255 * np.clip(shoulder, 0, 1) ** (1 / 2.2)), np.uint8)
