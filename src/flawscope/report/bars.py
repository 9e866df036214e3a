"""What moved one picture's score, as signed bars: inline SVG."""

from __future__ import annotations

from flawscope.report.content import ReportItem
from flawscope.report.markup import number, text

_WIDTH, _EDGE, _ROW, _BAR, _FOOT = 360, 6, 36, 10, 26
_LONGEST = 44  # characters of a label that fit beside its value


def contribution_chart(item: ReportItem) -> str:
    """One bar for each contribution, to the right where it raises the score, to the left where it lowers it.

    Below stands the sum. Empty where the item has no contributions.
    """
    bars = item.contributions
    if not bars:
        return ""
    low = min(0.0, *(value for _, value in bars))
    high = max(0.0, *(value for _, value in bars))
    scale = (_WIDTH - 2 * _EDGE) / ((high - low) or 1.0)
    zero = _EDGE - low * scale
    rows = "".join(
        _bar(label, value, zero, value * scale, _ROW * row) for row, (label, value) in enumerate(bars)
    )
    bottom = _ROW * len(bars)
    start = item.score - sum(value for _, value in bars)
    total = f"start {number(start, 3)}, with all of these score {number(item.score)}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {bottom + _FOOT}" role="img" aria-label="What moved the score">'
        f'{rows}<text x="{_EDGE}" y="{bottom + 18}">{total}</text></svg>'
    )


def _bar(label: str, value: float, zero: float, length: float, top: float) -> str:
    shown = label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"
    sign = "+" if value > 0 else ""
    side = "up" if value > 0 else "down"
    return (
        f'<g><title>{text(label)}</title><text class="name" x="{_EDGE}" y="{top + 15:g}">{text(shown)}</text>'
        f'<text x="{_WIDTH - _EDGE}" y="{top + 15:g}" text-anchor="end">{sign}{number(value, 3)}</text>'
        f'<path class="moved {side}" d="M{zero:.1f} {top + 21:g}h{length:.1f}v{_BAR}H{zero:.1f}Z"/>'
        f'<path class="axis" d="M{zero:.1f} {top + 19:g}v{_BAR + 4}"/></g>'
    )
