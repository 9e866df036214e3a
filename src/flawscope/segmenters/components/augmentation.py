"""What training pictures are changed into: logical synthetic anomalies, CutPaste, light, mirroring.

Pictures are (3, H, W) and labels (H, W), both of 8 bits; labels follow whatever is done to the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from flawscope.runtime.frozen import Frozen

Bytes = NDArray[np.uint8]

_SMALLEST = 0.001  # of the picture: smaller components are specks (authors' code)
_MARGIN = 0.1  # of each side that the middle of what is pasted stays away from the border (authors' code)
_TRIES = 16
_PATCH_AREA, _PATCH_ASPECT = (0.02, 0.15), (0.3, 3.3)  # CutPaste (Li et al., CVPR 2021, section 2.2)


class AugmentationOptions(Frozen):
    """How labelled training pictures are changed."""

    kind: Literal["lsa", "cutpaste", "none"] = Field(
        "lsa",
        description="logical synthetic anomalies: components pasted elsewhere (section 3.2); cutpaste, "
        "rectangles; or none (table 3 compares the three)",
    )
    source: Literal["drawn", "same"] = Field(
        "drawn",
        description="where pasted components come from: a labelled picture drawn at random (figure 7), or "
        "the same picture (authors' code)",
    )
    rotated: bool = Field(False, description="turn pasted components by any angle (authors' code: yes)")
    pieces: tuple[int, int] = Field(
        (1, 2), description="fewest and most components that are pasted (authors' code: 1 and 2)"
    )
    distance: float = Field(
        0.1,
        ge=0,
        lt=0.5,
        description="share of the picture's sides that a pasted component lies at least away from where it "
        "was (appendix B.2: 0.1)",
    )
    largest: float = Field(
        0.25,
        gt=0,
        le=1,
        description="share of the picture beyond which a component, such as a tray, is not pasted elsewhere "
        "(the paper sets no limit: 1)",
    )
    brightness: float = Field(
        0.0, ge=0, lt=1, description="brightness changes by up to this share (not in the paper)"
    )
    colour: float = Field(
        0.0, ge=0, lt=1, description="each colour changes by up to this share of its own (not in the paper)"
    )
    mirrored: tuple[Literal["left_right", "up_down"], ...] = Field(
        (), description="ways in which every other picture is mirrored (not in the paper)"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        fewest, most = self.pieces
        if not 1 <= fewest <= most:
            raise ValueError("pieces must be two numbers that do not fall, from 1 on")
        return self


@dataclass(frozen=True)
class Component:
    """A connected component of a label map: its class, its place, and its shape (h, w)."""

    label: int
    top: int
    left: int
    mask: NDArray[np.bool_]


class Augmentation:
    """Changes pictures as the options say; what is drawn comes from the generator that is handed in.

    Args:
        options: what is done.
        pixels: the picture (3, H, W) of a labelled picture by its number.
        maps: (n, H, W), labels of the labelled pictures.
    """

    def __init__(self, options: AugmentationOptions, pixels: Callable[[int], Bytes], maps: Bytes) -> None:
        self.options, self.pixels, self.maps = options, pixels, maps
        self.components = lru_cache(maxsize=None)(self._components)

    def labelled(self, number: int, random: np.random.Generator) -> tuple[Bytes, Bytes]:
        """Picture (3, H, W) and labels (H, W) of that labelled picture, changed."""
        picture, labels = self.pixels(number).copy(), self.maps[number].copy()
        if self.options.kind == "lsa":
            self._paste_components(picture, labels, number, random)
        elif self.options.kind == "cutpaste":
            _paste_rectangle(picture, labels, random)
        return self._mirrored(self.lit(picture, random), labels, random)

    def lit(self, picture: Bytes, random: np.random.Generator) -> Bytes:
        """The picture (3, H, W) in another light."""
        options = self.options
        if not options.brightness and not options.colour:
            return picture
        brighter = 1 + random.uniform(-options.brightness, options.brightness)
        factors = brighter * (1 + random.uniform(-options.colour, options.colour, (3, 1)))
        levels = np.arange(256) * factors  # (3, 256)
        tables = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        planes = zip(picture, tables, strict=True)
        return np.stack([np.asarray(cv2.LUT(plane, table), np.uint8) for plane, table in planes])

    def _mirrored(self, picture: Bytes, labels: Bytes, random: np.random.Generator) -> tuple[Bytes, Bytes]:
        for way in self.options.mirrored:
            if random.random() < 0.5:
                axis = -1 if way == "left_right" else -2
                picture, labels = np.flip(picture, axis), np.flip(labels, axis)
        return picture, labels

    def _paste_components(
        self, picture: Bytes, labels: Bytes, number: int, random: np.random.Generator
    ) -> None:
        fewest, most = self.options.pieces
        for _ in range(random.integers(fewest, most + 1)):
            source = number if self.options.source == "same" else int(random.integers(len(self.maps)))
            found = self.components(source)
            if not found:
                continue
            component = found[random.integers(len(found))]
            height, width = component.mask.shape
            crop = np.s_[component.top : component.top + height, component.left : component.left + width]
            pixels, mask = self.pixels(source)[:, *crop], component.mask
            was = (component.top + height / 2, component.left + width / 2)
            place = _elsewhere(was, labels.shape, self.options.distance, random)
            if place is None:
                continue
            if self.options.rotated:
                pixels, mask = _turned(pixels, mask, random.uniform(0, 360))
            _paste((picture, labels), pixels, mask, component.label, place)

    def _components(self, number: int) -> tuple[Component, ...]:
        """The picture's components that are neither specks nor too large."""
        labels = self.maps[number]
        least, most = _SMALLEST * labels.size, self.options.largest * labels.size
        found = []
        for label in np.unique(labels[labels > 0]).tolist():
            shown = (labels == label).astype(np.uint8)
            _, numbers, boxes, _ = cv2.connectedComponentsWithStats(shown, connectivity=8)
            for index, (left, top, width, height, area) in enumerate(boxes.tolist()):
                if index and least <= area <= most:
                    mask = numbers[top : top + height, left : left + width] == index
                    found.append(Component(label, top, left, mask))
        return tuple(found)


def _elsewhere(
    was: tuple[float, float], size: tuple[int, ...], distance: float, random: np.random.Generator
) -> tuple[float, float] | None:
    """A place (y, x) at least `distance` of the picture's sides away; None where none is found."""
    sides = np.array(size, np.float64)
    places = random.uniform(_MARGIN, 1 - _MARGIN, (_TRIES, 2))  # shares of the sides
    far = np.flatnonzero(np.hypot(*(places - np.array(was) / sides).T) >= distance)
    if not len(far):
        return None
    y, x = places[far[0]] * sides
    return float(y), float(x)


def _paste(
    target: tuple[Bytes, Bytes],
    pixels: Bytes,
    mask: NDArray[np.bool_],
    label: int,
    place: tuple[float, float],
) -> None:
    """Put pixels (3, h, w) of one label where `mask` (h, w) is, cut at the border; `target`: picture, labels.

    The mask's middle comes to `place` (y, x).
    """
    picture, labels = target
    first = [round(middle - side / 2) for middle, side in zip(place, mask.shape, strict=True)]
    cut = [max(0, -start) for start in first]
    ends = [
        min(side, whole - start) for side, whole, start in zip(mask.shape, labels.shape, first, strict=True)
    ]
    inner = np.s_[cut[0] : ends[0], cut[1] : ends[1]]
    where = np.s_[first[0] + cut[0] : first[0] + ends[0], first[1] + cut[1] : first[1] + ends[1]]
    shown = mask[inner]
    np.copyto(picture[:, *where], pixels[:, *inner], where=shown)
    np.copyto(labels[where], np.uint8(label), where=shown)


def _turned(pixels: Bytes, mask: NDArray[np.bool_], angle: float) -> tuple[Bytes, NDArray[np.bool_]]:
    """Pixels (3, s, s) and mask (s, s), turned by `angle` degrees about their middle."""
    height, width = mask.shape
    side = int(np.ceil(np.hypot(height, width))) + 2
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    turn[:, 2] += (side - width) / 2, (side - height) / 2
    crop = np.ascontiguousarray(pixels.transpose(1, 2, 0))  # (h, w, 3)
    moved = cv2.warpAffine(crop, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shape = cv2.warpAffine(mask.astype(np.uint8), turn, (side, side), flags=cv2.INTER_NEAREST)
    return np.asarray(moved, np.uint8).transpose(2, 0, 1), shape > 0


def _paste_rectangle(picture: Bytes, labels: Bytes, random: np.random.Generator) -> None:
    """CutPaste: a rectangle of the picture, put somewhere else in it."""
    height, width = labels.shape
    area = random.uniform(*_PATCH_AREA) * labels.size
    aspect = float(np.exp(random.uniform(*np.log(_PATCH_ASPECT))))
    high = min(height, max(1, round(float(np.sqrt(area / aspect)))))
    wide = min(width, max(1, round(float(np.sqrt(area * aspect)))))
    (y, to_y), (x, to_x) = random.integers(0, height - high + 1, 2), random.integers(0, width - wide + 1, 2)
    source, target = np.s_[y : y + high, x : x + wide], np.s_[to_y : to_y + high, to_x : to_x + wide]
    picture[:, *target] = picture[:, *source].copy()
    labels[target] = labels[source].copy()
