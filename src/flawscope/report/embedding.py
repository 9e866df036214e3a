"""Drawings of patches' embeddings: near points are alike."""

from __future__ import annotations

from collections.abc import Sequence

from flawscope.report.content import Scatter
from flawscope.report.markup import text

_WIDTH, _MARGIN = 340, 10


def scatter_section(drawings: Sequence[Scatter]) -> str:
    """The drawings as a section of the page; empty without any."""
    if not drawings:
        return ""
    figures = "".join(
        f"<figure><figcaption>{text(drawing.title)}</figcaption>{_chart(drawing)}</figure>"
        for drawing in drawings
    )
    return (
        '<section><div class="head"><h2>Patches as the model sees them</h2><p class="hint">t-SNE of test '
        "patches' embeddings: near points are alike; distances between groups mean little.</p></div>"
        f'<div class="curves">{figures}</div><p class="key"><i class="good"></i>normal'
        '<i class="defective"></i>anomalous</p></section>'
    )


def _chart(drawing: Scatter) -> str:
    side = _WIDTH - 2 * _MARGIN
    dots = "".join(
        f'<path class="dots {name}" d="'
        + "".join(f"M{_MARGIN + x * side:.1f} {_MARGIN + y * side:.1f}h0" for x, y in points)
        + '"/>'
        for name, points in (("good", drawing.normal), ("defective", drawing.anomalous))
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_WIDTH}" role="img" aria-label="{text(drawing.title)}">{dots}</svg>'
