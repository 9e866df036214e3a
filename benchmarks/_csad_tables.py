"""The rows of `csad.py` as Markdown: means over seeds, in percent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any

from _csad_measure import named

Row = dict[str, Any]
_AUROC = ("logical", "structural", "mean", "all")
_ABOUT = """\
Image AUROC of logical and of structural flaws, each beside the good test pictures, their mean, and of all
flaws; sPRO up to that rate of false positives, mean of both kinds. In percent, means over the seeds; where
there are several, the lowest and highest mean AUROC. Fit: seconds on the clock, and of all cores together.

Each method at its preset default and its own frame, on the same pictures; nothing is chosen on test pictures.
"""
_COMPONENTS = """\
IoU of components with the rendered ones, mean over the true classes, the background too. Each learnt class
counts as the true class that it covers most in these pictures. The film of the bag counts as background; pins
of both metals are one class. Pseudo-labels: of the training pictures that may be learnt from (their number
beside it); network: of the good test pictures.
"""
_BRANCHES = """\
From the raw scores of one training. One branch, two, or all; fused as the sum, and as the largest.
"""
_CELLS = """\
From the label maps of one training, pixels counted whole. The histogram branch alone, and with the others.
"""
_FINDINGS = """\
Of the logical flaws that the exported model rejects (5 % false rejects on average, from the 60 good pictures
that also brought the branches to one scale), in how many the first two findings name the component and the
direction, and with it the cell, the point or the count; the rule stands in `_csad_findings.py`. Sums over the
seeds.
"""


def page(result: dict[str, Any]) -> str:
    """All tables."""
    rows: list[Row] = result["rows"]
    own = [row for row in rows if "branches" in row]
    lines = ["# CSAD on rendered products", "", _ABOUT, *_main(rows), ""]
    for title, about, table in (
        ("Components", _COMPONENTS, _components),
        ("Branches", _BRANCHES, _branches),
        ("Cells", _CELLS, _cells),
        ("Findings", _FINDINGS, _findings),
    ):
        if own:
            lines += [f"## {title}", "", about, *table(own), ""]
    for name, spec in result["specs"].items():
        lines.append(
            f"- {name}: `{spec['method']}`, options `{spec['options']}`, label maps {spec['labels']}"
        )
    for run in result["runs"]:
        versions = ", ".join(f"{key} {value}" for key, value in run["versions"].items())
        lines.append(f"- `{run['command']}`\n  on {run['processor']}, {run['threads']} threads, {versions}")
    return "\n".join(lines) + "\n"


def _groups(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[Row]]]:
    """Rows of one product and name, products first, in the order in which both appear."""
    for product in dict.fromkeys(row["product"] for row in rows):
        for name in dict.fromkeys(row["name"] for row in rows):
            group = [row for row in rows if (row["product"], row["name"]) == (product, name)]
            if group:
                yield product, name, group


def _percent(values: Iterable[float]) -> str:
    return f"{100 * fmean(values):.1f}"


def _aurocs(group: Sequence[Row], of: Callable[[Row], dict[str, float]]) -> str:
    return " | ".join(_percent(of(row)[key] for row in group) for key in _AUROC)


def _main(rows: Sequence[Row]) -> Iterator[str]:
    four = " | ".join(_AUROC)
    yield f"| product | method | seeds | {four} | range | sPRO 0.05 | 0.3 | fit s | CPU s |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for product, name, group in _groups(rows):
        means = [row["image_auroc"]["mean"] for row in group]
        spread = f"{100 * min(means):.1f}–{100 * max(means):.1f}" if len(group) > 1 else ""
        spro = " | ".join(
            _percent(row["spro"][limit]["mean"] for row in group)
            if all(row["spro"] for row in group)
            else "–"
            for limit in ("0.05", "0.3")
        )
        seconds = " | ".join(
            f"{fmean(row[key] for row in group):.0f}" for key in ("fit_seconds", "fit_processor")
        )
        seeds = ", ".join(str(row["seed"]) for row in group)
        figures = _aurocs(group, lambda row: row["image_auroc"])
        yield f"| {product} | {name} | {seeds} | {figures} | {spread} | {spro} | {seconds} |"


def _components(rows: Sequence[Row]) -> Iterator[str]:
    yield "| product | method | seed | classes | pseudo-labels | labelled | network | network by class |"
    yield "|---|---|---|---|---|---|---|---|"
    for product, name, group in _groups(rows):
        for row in group:
            network, pseudo = row["components"]["network"], row["components"].get("pseudo_labels")
            by_class = ", ".join(f"{part} {100 * iou:.0f}" for part, iou in network["by_class"].items())
            told = (
                f"{100 * pseudo['mean']:.1f} | {pseudo['labelled']} of {pseudo['pictures']}"
                if pseudo
                else "– | –"
            )
            figures = f"{row['classes']} | {told} | {100 * network['mean']:.1f} | {by_class}"
            yield f"| {product} | {name} | {row['seed']} | {figures} |"


def _branches(rows: Sequence[Row]) -> Iterator[str]:
    yield "| product | method | branches | fused | logical | structural | mean | all |"
    yield "|---|---|---|---|---|---|---|---|"
    for product, name, group in _groups(rows):
        for chosen, ways in group[0]["branches"].items():
            for way in ways:
                figures = _aurocs(group, lambda row, chosen=chosen, way=way: row["branches"][chosen][way])
                yield f"| {product} | {name} | {chosen} | {way if len(ways) > 1 else ''} | {figures} |"


def _cells(rows: Sequence[Row]) -> Iterator[str]:
    four = " | ".join(_AUROC)
    yield f"| product | method | cells | grids | histogram: {four} | all branches: {four} |"
    yield "|---|---|---|---|" + 8 * "---|"
    for product, name, group in _groups(rows):
        for cells in group[0]["cells"]:
            grids = "; ".join(dict.fromkeys(_grids(row["cells"][cells]["grids"]) for row in group))
            alone, whole = (
                _aurocs(group, lambda row, cells=cells, part=part: row["cells"][cells][part])
                for part in ("histogram", "fused")
            )
            yield f"| {product} | {name} | {cells} | {grids} | {alone} | {whole} |"


def _grids(grids: Sequence[Sequence[int]]) -> str:
    return ", ".join("×".join(map(str, grid)) for grid in grids)


def _findings(rows: Sequence[Row]) -> Iterator[str]:
    yield "| product | method | flaw | pictures | rejected | component | and cell, point or count | share |"
    yield "|---|---|---|---|---|---|---|---|"
    for product, name, group in _groups([row for row in rows if "findings" in row]):
        joined: dict[str, dict[str, int]] = {}
        for row in group:
            for flaw, counts in row["findings"].items():
                known = joined.setdefault(flaw, dict.fromkeys(counts, 0))
                joined[flaw] = {key: known[key] + value for key, value in counts.items()}
        good = joined.get("good", {"pictures": 0, "rejected": 0})
        yield f"| {product} | {name} | good | {good['pictures']} | {good['rejected']} | | | |"
        for flaw, counts in named(joined):
            share = f"{counts['named'] / counts['rejected']:.0%}" if counts["rejected"] else "–"
            yield f"| {product} | {name} | {flaw} | {' | '.join(map(str, counts.values()))} | {share} |"
