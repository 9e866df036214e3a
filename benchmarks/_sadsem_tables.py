"""Tables and curves of SADSeM's comparison, from the rows that there are."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from flawscope.benchmark.charts import Line, line_chart

MEASURES = {
    "image_auroc": "image AUROC",
    "image_auroc_structural": "image AUROC, structural",
    "pixel_auroc": "pixel AUROC",
    "au_spro_10": "AUsPRO 0.1",
    "au_spro_10_structural": "AUsPRO 0.1, structural",
}
COSTS = {"seconds_a_picture": "seconds a picture", "peak_gib": "peak memory, GiB"}
Rows = Sequence[dict[str, Any]]


def mean_of(rows: Rows, name: str, side: int, measure: str) -> float | None:
    """Mean over products and seeds; None where a product that others have is missing."""
    products = {(row["product"], row["seed"]) for row in rows}
    found = [row for row in rows if row["name"] == name and row["side"] == side and measure in row]
    if {(row["product"], row["seed"]) for row in found} != products:
        return None
    return fmean(row[measure] for row in found)


def page(result: dict[str, Any], *, crop: int) -> str:
    """All tables as Markdown."""
    lines = [f"# SADSeM and tiled methods, crops of {crop} pixels", ""]
    rows = [row for row in result["rows"] if row["side"]]
    names = list(dict.fromkeys(row["name"] for row in rows))
    sides = sorted({row["side"] for row in rows})
    for measure, title in {**MEASURES, **COSTS}.items():
        head = ["", *(f"{side}" for side in sides)]
        lines += [f"## {title}, mean over products", "", _line(head), _line(["---"] * len(head))]
        for name in names:
            means = [mean_of(rows, name, side, measure) for side in sides]
            lines.append(_line([name, *(_told(value, measure) for value in means)]))
        lines.append("")
    lines += _by_product(rows, sides)
    lines += _native([row for row in result["rows"] if not row["side"]])
    for run in result["runs"]:
        lines += [f"`{run['command']}`", ""]
    return "\n".join(lines)


def _by_product(rows: Rows, sides: Sequence[int]) -> list[str]:
    """Image AUROC and AUsPRO of structural flaws, product by product."""
    lines = ["## By product: image AUROC and AUsPRO 0.1 of structural flaws", ""]
    head = ["", "product", "seed", *(f"{side}" for side in sides)]
    lines += [_line(head), _line(["---"] * len(head))]
    keys = sorted({(row["name"], row["product"], row["seed"]) for row in rows})
    for name, product, seed in keys:
        cells = []
        for side in sides:
            found = [
                row
                for row in rows
                if (row["name"], row["product"], row["seed"], row["side"]) == (name, product, seed, side)
            ]
            pair = [
                _told(row.get(f"{one}_structural"), one)
                for row in found
                for one in ("image_auroc", "au_spro_10")
            ]
            cells.append(" / ".join(pair))
        lines.append(_line([name, product, str(seed), *cells]))
    return [*lines, ""]


def _native(rows: Rows) -> list[str]:
    """Of photographs that were taken as large as they are: a line each method."""
    if not rows:
        return []
    measures = {
        name: title for name, title in {**MEASURES, **COSTS}.items() if any(name in row for row in rows)
    }
    head = ["", "product", "seed", *measures.values()]
    lines = ["## At native size", "", _line(head), _line(["---"] * len(head))]
    for row in rows:
        told = [_told(row.get(name), name) for name in measures]
        lines.append(_line([row["name"], row["product"], str(row["seed"]), *told]))
    return [*lines, ""]


def curves(result: dict[str, Any]) -> dict[str, str]:
    """SVG text by file name: figures and costs against the side, of names with three sides or more."""
    rows, drawn = [row for row in result["rows"] if row["side"]], {}
    names = list(dict.fromkeys(row["name"] for row in rows))
    sides = sorted({row["side"] for row in rows})
    for measure, title in {**MEASURES, **COSTS}.items():
        scale = 100.0 if measure in MEASURES else 1.0
        lines = []
        for name in names:
            means = ((side, mean_of(rows, name, side, measure)) for side in sides)
            points = tuple((float(side), scale * value) for side, value in means if value is not None)
            if len(points) > 2:
                lines.append(Line(name, points))
        if lines:
            up = "percent" if measure in MEASURES else title
            drawn[measure] = line_chart(title, "pixels a side", up, lines)
    return drawn


def _told(value: float | None, measure: str) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if measure in COSTS else f"{100 * value:.1f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
