"""Screws as label maps show them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = (96, 128)
PLACES = ((24, 24), (24, 72), (72, 24), (72, 72), (104, 48))


def screw(
    centre: tuple[int, int], turn: float, *, bend: float = 0.0, length: float = 26
) -> NDArray[np.uint8]:
    """(H, W) 1 where a bar with a head lies, its middle at (x, y)."""
    canvas = np.zeros(SIZE, np.uint8)
    tip, head = length - 13, -13.0
    points = np.array([[head, 0], [head / 3, 0], [tip, 0]])
    points[2] = points[1] + (tip - points[1, 0]) * np.array([np.cos(bend), np.sin(bend)])
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    line = np.round((points @ spin + centre) * 8).astype(np.int32)
    cv2.polylines(canvas, [line], False, 1, 4, cv2.LINE_8, 3)
    cv2.circle(canvas, tuple(line[0]), 5 * 8, 1, -1, cv2.LINE_8, 3)
    return canvas
