"""What a rendered product is: its parts, its flaws, one picture with its truth, and its random streams."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flawscope.products.canvas import Canvas, Colour, Mask

Kind = Literal["structural", "logical"]


@dataclass(frozen=True)
class Rendered:
    """One picture of a product, with everything that is true of it.

    Attributes:
        picture: (H, W, 3) uint8, RGB.
        mask: (H, W) bool, the union of `masks`; empty when the product is good.
        masks: one (H, W) bool for each place that a flaw touches (a swap touches two).
        parts: (H, W) uint8, the visible part at each pixel, an index into `Product.part_names`.
        truth: one sentence, "" when the product is good.
        flaw: the flaw's name, None when the product is good.
        category: "good", or the kind of the flaw.
    """

    picture: NDArray[np.uint8]
    mask: Mask
    masks: tuple[Mask, ...]
    parts: NDArray[np.uint8]
    truth: str
    flaw: str | None
    category: Literal["good", "structural", "logical"]


@dataclass(frozen=True)
class Outcome:
    """What a product's drawing reports: the truth sentence and the (S, S) masks on the canvas."""

    truth: str = ""
    masks: tuple[Mask, ...] = ()


class Streams:
    """Named random streams of one picture: what one of them draws never moves another.

    So the flawed picture of a seed is its good picture but for the flaw.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __call__(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, zlib.crc32(name.encode())])


Mark = Callable[[Canvas, float, float, np.random.Generator, Colour], Mask]


def kinds_of(*, structural: Iterable[str], logical: Iterable[str]) -> dict[str, Kind]:
    """Flaws by kind as `Product.flaws` has them: each flaw's kind, by its name."""
    return {**dict.fromkeys(structural, "structural"), **dict.fromkeys(logical, "logical")}


@dataclass(frozen=True)
class Product:
    """A product that can be drawn.

    Attributes:
        name: as in `PRODUCTS`.
        part_names: names of the labels in `Rendered.parts`; the first is the background.
        flaws: each flaw's kind, by its name.
        saturation: for flaws whose mask is a region in which any part of a given size is a full answer
            (a screw is missing somewhere in the bag): that size, as a share of the picture's area.
    """

    name: str
    part_names: tuple[str, ...]
    flaws: Mapping[str, Kind]
    draw: Callable[[Canvas, Streams, str | None], Outcome] = field(repr=False)
    saturation: Mapping[str, float] = field(default_factory=dict)
