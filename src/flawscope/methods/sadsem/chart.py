"""The plane of figure 2: components by area and spread, with the layers that describe them, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from flawscope.methods.sadsem.layers import ComponentFacts, LayerOptions
from flawscope.report.svg import COLOURS, Axis, element, horizontal, own_file, path, text, vertical

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 460, 70, 180, 24, 60
_TAKEN = {(1,): "layer 1", (1, 2): "layers 1 and 2", (2,): "layer 2", (3,): "layer 3"}


def plane_chart(components: Sequence[ComponentFacts], options: LayerOptions) -> str:
    """Spread (WSS by that of whole pictures) over area in per cent, and the borders between the layers.

    Components that no good picture shows are left out. The paper's figure has the WSS itself, which differs
    from network to network.
    """
    components = [one for one in components if one.pictures]
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    widest = max([options.area, *(one.area for one in components)])
    highest = max([options.spread, *(one.spread for one in components)])
    across, up = Axis(0.0, 1.1 * widest, _LEFT, right), Axis(0.0, 1.1 * highest, bottom, _TOP)
    lines = [_border(border, options, across, up) for border in options.borders if options.fixed is None]
    kinds = sorted({one.layers for one in components})
    colours = {layers: COLOURS[index % len(COLOURS)] for index, layers in enumerate(kinds)}
    dots = []
    for one in components:
        x, y = across(one.area), up(one.spread)
        said = element("title", f"{one}")
        dots.append(element("circle", said, cx=x, cy=y, r=5.5, fill=colours[one.layers]))
        dots.append(text(x + 9, y + 4, one.name))
    legend = []
    for row, layers in enumerate(kinds):
        y = _TOP + 14 + 22 * row
        legend.append(element("circle", cx=right + 22, cy=y - 4, r=5.5, fill=colours[layers]))
        legend.append(text(right + 34, y, _words(layers), class_="name"))
    return own_file(
        _WIDTH,
        _HEIGHT,
        "Layers of the components by area and spread",
        horizontal(across, bottom, "area in per cent of the picture", across.ticks(6), top=_TOP),
        vertical(up, _LEFT, "WSS as a share of whole pictures'", up.ticks(6), right=right),
        *lines,
        *dots,
        *legend,
    )


def _border(border: float, options: LayerOptions, across: Axis, up: Axis) -> Markup:
    """The line where so many units of area and spread, added, are reached; what lies outside is cut off."""
    areas = [border * options.area * (1 - spread / border / options.spread) for spread in (up.high, up.low)]
    left, right = (min(max(area, across.low), across.high) for area in areas)
    top, foot = ((border - area / options.area) * options.spread for area in (left, right))
    if max(top, foot) > up.high + 1e-9 or not border:
        return Markup()
    line = f"M{across(left):.1f} {up(top):.1f}L{across(right):.1f} {up(foot):.1f}"
    return path("axis", line, stroke_dasharray="5 4")


def _words(layers: tuple[int, ...]) -> str:
    if not layers:
        return "too small for any"
    return _TAKEN.get(layers, f"layers {' and '.join(map(str, layers))}")
