"""From a product, a seed and a flaw to a picture with its truth."""

from __future__ import annotations

from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.errors import OptionError, unknown
from flawscope.products.canvas import Canvas, Mask, Pose
from flawscope.products.connector_block import CONNECTOR_BLOCK
from flawscope.products.fastener_bag import FASTENER_BAG
from flawscope.products.ground_plate import GROUND_PLATE
from flawscope.products.impeller import IMPELLER
from flawscope.products.light import OVERSAMPLING, Setup, photograph
from flawscope.products.pin_tray import PIN_TRAY
from flawscope.products.scene import Product, Rendered, Streams
from flawscope.products.vent_cover import VENT_COVER

PRODUCTS = MappingProxyType(
    {
        each.name: each
        for each in (PIN_TRAY, FASTENER_BAG, CONNECTOR_BLOCK, IMPELLER, VENT_COVER, GROUND_PLATE)
    }
)


def render(product: str, *, seed: int, flaw: str | None = None, size: int = 256) -> Rendered:
    """Draw one picture of (size, size) pixels; the same arguments give the same bytes.

    Raises:
        OptionError: an unknown product or flaw, a size outside 64 to 1024, a negative seed.
    """
    made = product_named(product)
    if flaw is not None and flaw not in made.flaws:
        raise unknown(f"flaw of {product}", flaw, made.flaws)
    if not 64 <= size <= 1024:
        raise OptionError("size", expected="64 to 1024 pixels", got=str(size), fix="Choose one between.")
    if seed < 0:
        raise OptionError("seed", expected="0 or more", got=str(seed), fix="Choose a non-negative number.")
    streams = Streams(seed)
    canvas = Canvas(Pose.jittered(size * OVERSAMPLING, streams("pose")))
    outcome = made.draw(canvas, streams, flaw)
    picture = photograph(canvas, Setup.drawn(streams("light")), streams("noise"))
    masks = tuple(_reduced(mask, size) for mask in outcome.masks)
    union = np.logical_or.reduce(masks) if masks else np.zeros((size, size), np.bool_)
    parts = np.ascontiguousarray(canvas.parts[1::OVERSAMPLING, 1::OVERSAMPLING])
    category = "good" if flaw is None else made.flaws[flaw]
    return Rendered(picture, union, masks, parts, outcome.truth, flaw, category)


def product_named(name: str) -> Product:
    """The product, or an OptionError that lists the known ones."""
    if name not in PRODUCTS:
        raise unknown("product", name, PRODUCTS)
    return PRODUCTS[name]


def _reduced(mask: Mask, size: int) -> NDArray[np.bool_]:
    """Canvas to picture: a pixel belongs when a quarter of it does, so that thin scratches stay whole."""
    share = cv2.resize(mask.astype(np.uint8) * 255, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(share >= 63, np.bool_)
