"""The rows of `committee.py` as Markdown: every score from the members' raw ones, in percent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flawscope.methods.committee.levels import TailLevels, joined
from flawscope.methods.committee.options import SLOW
from flawscope.metrics import auroc

Row = Mapping[str, Any]
JOINS = ("largest", "sum")
FUSED = "csad, banks as its branch"
_ABOUT = """\
Image AUROC, of all flaws, and of structural and logical ones apart, each beside the good test pictures; means
over the seeds. Each member was fitted once, and alone it is its own raw score; the joins are of the same
scores, levelled on good pictures that no member has learnt from, without those that the committee left out. A
member that refused the good pictures of a product has no figure there. Loss: points below the best member of
that product; mean and loss are over the products where there is a figure.
"""


def scores(row: Row) -> dict[str, NDArray[np.float64]]:
    """The test pictures' scores (n,) of each way: the committee's joins, then each member."""
    fitted = [name for name in row["members"] if name in row["raw"]["test"]]
    seated = [number for number, name in enumerate(fitted) if name not in row["left_out"]]
    raw = {
        part: np.array([row["raw"][part][name].split() for name in fitted], np.float64).T
        for part in ("tuning", "test")
    }  # (n, K) each
    levels = TailLevels(len(seated), [fitted[number] in SLOW for number in seated])
    levels.learn(torch.from_numpy(raw["tuning"][:, seated]))
    found = levels(torch.from_numpy(raw["test"][:, seated]).float())
    ways = {f"committee, {join}": joined(found, join).double().numpy() for join in JOINS}
    alone = {name: raw["test"][:, number] for number, name in enumerate(fitted)}
    if {"csad", "joined_banks"} <= set(fitted):
        banks = raw["tuning"][:, fitted.index("joined_banks")]
        level = (alone["joined_banks"] - banks.mean()) / banks.std()
        ways[FUSED] = np.maximum(level, alone["csad"])
    return ways | alone


def figures(row: Row) -> dict[str, dict[str, float]]:
    """Image AUROC of each way: `all`, and `structural` and `logical` where the row has both."""
    letters = np.array(list(row["kinds"]))
    parts = {"all": np.ones(len(letters), bool)}
    if {"s", "l"} <= set(row["kinds"]):
        parts |= {name: np.isin(letters, ("g", name[0])) for name in ("structural", "logical")}
    return {
        way: {name: auroc(letters[part] != "g", values[part]) for name, part in parts.items()}
        for way, values in scores(row).items()
    }


def page(result: Mapping[str, Any], *, rows_only: bool = False) -> str:
    """All tables, or those of the rows alone."""
    rows: list[Row] = result["rows"]
    by_product: dict[str, list[dict[str, dict[str, float]]]] = {}
    for row in rows:
        by_product.setdefault(row["product"], []).append(figures(row))
    tables = list(_table(by_product, "all", rows)) if rows else []
    for name in ("structural", "logical"):
        known = {
            product: each for product, each in by_product.items() if name in each[0][f"committee, {JOINS[0]}"]
        }
        tables += ["", *_table(known, name, rows)] if known else []
    tables += ["", *_pixels(rows)] if any("pixels" in row for row in rows) else []
    if rows_only:
        return "\n".join(tables)
    lines = ["# The committee and its members", "", _ABOUT, *tables, "", *_seconds(rows)]
    for run in result["runs"]:
        versions = ", ".join(f"{key} {value}" for key, value in run["versions"].items())
        lines.append(f"- `{run['command']}`\n  on {run['processor']}, {run['threads']} threads, {versions}")
    return "\n".join(lines) + "\n"


def _table(
    by_product: Mapping[str, Sequence[dict[str, dict[str, float]]]], name: str, rows: Sequence[Row]
) -> Iterator[str]:
    """AUROC of one kind of flaws by product and way, their mean, and the largest loss."""
    members = rows[0]["members"]
    joins = [f"committee, {join}" for join in JOINS]
    fused = [FUSED] * any(FUSED in one for each in by_product.values() for one in each)
    ways = [*joins, *fused, *members]
    means = {
        product: {
            way: fmean(one[way][name] for one in each) for way in ways if all(way in one for one in each)
        }
        for product, each in by_product.items()
    }
    yield f"| {name} flaws | {' | '.join(ways)} |"
    yield "|---" * (1 + len(ways)) + "|"
    for product, values in means.items():
        yield _line(product, ways, values)
    columns = {way: [values for values in means.values() if way in values] for way in ways}
    yield _line("mean", ways, {way: fmean(one[way] for one in each) for way, each in columns.items() if each})
    lost = {
        way: max(0.0, *(max(one.get(name, 0.0) for name in members) - one[way] for one in each))
        for way, each in columns.items()
        if each
    }
    yield _line("largest loss", ways, lost)


def _line(title: str, ways: Sequence[str], values: Mapping[str, float]) -> str:
    """A line of a table in percent; a dash where there is no figure."""
    told = (f"{100 * values[way]:.1f}" if way in values else "–" for way in ways)
    return f"| {title} | {' | '.join(told)} |"


def _pixels(rows: Sequence[Row]) -> Iterator[str]:
    """Pixel AUROC and AU-PRO of the heatmaps, of rows where they were measured."""
    told = [row for row in rows if "pixels" in row]
    ways = list(dict.fromkeys(way for row in told for way in row["pixels"]))
    yield f"| pixel AUROC, AU-PRO 0.3 | {' | '.join(ways)} |"
    yield "|---" * (1 + len(ways)) + "|"
    for row in told:
        cells = (
            f"{100 * found['pixel_auroc']:.1f}, {100 * found['aupro_0.3']:.1f}" if found else "–"
            for found in map(row["pixels"].get, ways)
        )
        yield f"| {row['product']}, seed {row['seed']} | {' | '.join(cells)} |"


def _seconds(rows: Sequence[Row]) -> Iterator[str]:
    """Seconds of the fits, and milliseconds a picture where they were measured."""
    if not rows:
        return
    members = rows[0]["members"]
    fits = " | ".join(f"{one}: fit s" for one in members)
    yield f"| product | seed | training, tuning, test | {fits} | ms |"
    yield "|---" * (4 + len(members)) + "|"
    for row in rows:
        counts = ", ".join(str(count) for count in row["pictures"].values())
        fits = " | ".join(_fit(row, one) for one in members)
        told = "; ".join(
            f"{name} {min(times.values()):.1f}" for name, times in row.get("latency", {}).items()
        )
        yield f"| {row['product']} | {row['seed']} | {counts} | {fits} | {told or '–'} |"
    yield ""
    for row in rows:
        for name, why in row["left_out"].items():
            yield f"- {row['product']}, seed {row['seed']}: {name} is left out: {why}."
    yield ""


def _fit(row: Row, member: str) -> str:
    """Seconds of a member's fit, and whether it was of no use."""
    seconds = row["fit_seconds"].get(member)
    told = "refused" if seconds is None else f"{seconds:.0f}"
    return f"{told}, left out" if seconds is not None and member in row["left_out"] else told
