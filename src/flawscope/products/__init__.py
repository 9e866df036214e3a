"""Rendered products: factory-like pictures with known truth, for demonstration and tests.

Each product is drawn from a seed: pose, light, texture, noise and whatever may vary in a good product. A flaw
draws from a stream of its own, so a flawed picture is the good picture of its seed but for the flaw.
"""

from flawscope.products.loco import write_loco
from flawscope.products.renderer import PRODUCTS, render
from flawscope.products.scene import Product, Rendered

__all__ = ["PRODUCTS", "Product", "Rendered", "render", "write_loco"]
