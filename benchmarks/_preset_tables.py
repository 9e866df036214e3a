"""Figures of presets from their rows: means, paired bootstrap intervals, leave-one-product-out, Markdown.

A row is one fit of one preset: `preset`, `product`, `pictures` (rows of one value share their test pictures),
`seed`, figures, and by picture `kinds` (g good, s structural, l logical, d defective of no known category)
and `scores`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.metrics import Interval, auroc

ROUNDS = 2000
Row = Mapping[str, Any]
_MERIT = ("image_auroc", "pixel_auroc")  # what leave-one-product-out goes by, both alike
_SHOWN = {
    "image_auroc": "image",
    "structural_auroc": "structural",
    "logical_auroc": "logical",
    "pixel_auroc": "pixel",
    "aupro_0.3": "AU-PRO 0.3",
}


def image_figures(kinds: str, scores: Sequence[float]) -> dict[str, float]:
    """Image AUROC; where there are structural and logical flaws, also of each beside the good pictures."""
    values = np.asarray(scores)
    letters = np.array(list(kinds))
    figures = {"image_auroc": auroc(letters != "g", values)}
    if {"s", "l"} <= set(kinds):
        for name in ("structural", "logical"):
            part = np.isin(letters, ("g", name[0]))
            figures[f"{name}_auroc"] = auroc(letters[part] != "g", values[part])
    return figures


class Table:
    """Rows of presets at those products and seeds that all of them have.

    Attributes:
        presets: the first is what the others are compared with.
        seeds: by product, in the rows' order.
    """

    def __init__(self, rows: Sequence[Row], presets: Sequence[str]) -> None:
        self.presets = tuple(presets)
        self._rows = {(row["preset"], row["product"], row["seed"]): row for row in rows}
        self.seeds: dict[str, list[int]] = {}
        for row in rows:
            place = row["product"], row["seed"]
            if row["preset"] == presets[0] and all((preset, *place) in self._rows for preset in presets):
                self.seeds.setdefault(place[0], []).append(place[1])

    def rows(self, preset: str, product: str) -> list[Row]:
        """One a seed."""
        return [self._rows[preset, product, seed] for seed in self.seeds[product]]

    def figure(self, preset: str, product: str, name: str) -> float | None:
        """Mean over the seeds; None where the product has no such figure."""
        values = [row[name] for row in self.rows(preset, product) if name in row]
        return float(np.mean(values)) if values else None

    def mean(self, preset: str, name: str) -> float | None:
        """Mean over the products that have the figure; None where none has."""
        values = [self.figure(preset, product, name) for product in self.seeds]
        there = [value for value in values if value is not None]
        return float(np.mean(there)) if there else None

    def rounds(self, preset: str, product: str) -> NDArray[np.float64]:
        """Image AUROC (ROUNDS,) of one product over resampled test pictures; the same for all presets."""
        return np.mean([image_rounds(row) for row in self.rows(preset, product)], axis=0)

    def gain(self, preset: str, product: str | None = None) -> Interval:
        """What image AUROC gains over the first preset on one product, or on the mean of all: 95 %."""
        products = [product] if product else list(self.seeds)
        moved = [self.rounds(preset, each) - self.rounds(self.presets[0], each) for each in products]
        values = [
            (self.figure(preset, each, "image_auroc") or 0.0)
            - (self.figure(self.presets[0], each, "image_auroc") or 0.0)
            for each in products
        ]
        low, high = np.quantile(np.mean(moved, axis=0), (0.025, 0.975))
        return Interval(float(np.mean(values)), float(low), float(high))


def by_seed(table: Table) -> Iterator[str]:
    """Gains over the first preset on the products that are rendered anew for each seed; Markdown lines."""
    rows = [row for preset in table.presets for each in table.seeds for row in table.rows(preset, each)]
    drawn = [row for row in rows if row["pictures"] != row["product"]]
    seeds = sorted({row["seed"] for row in drawn})
    tables = [Table([row for row in drawn if row["seed"] == seed], table.presets) for seed in seeds]
    yield f"| preset | {' | '.join(f'seed {seed}' for seed in seeds)} |"
    yield "|---" * (1 + len(seeds)) + "|"
    for preset in table.presets[1:]:
        yield f"| {preset} | {' | '.join(told(each.gain(preset)) for each in tables)} |"


def gains(table: Table) -> Iterator[str]:
    """Gains over the first preset, by product and in the mean; Markdown lines."""
    others = table.presets[1:]
    yield f"| product | {' | '.join(others)} |"
    yield "|---" * (1 + len(others)) + "|"
    for product in (*table.seeds, None):
        line = [product or "mean", *(told(table.gain(preset, product)) for preset in others)]
        yield f"| {' | '.join(line)} |"


def image_rounds(row: Row) -> NDArray[np.float64]:
    """Image AUROC (ROUNDS,) with good and defective test pictures drawn anew, each with replacement.

    What is drawn depends on the pictures alone, so that rows of the same pictures are paired.
    """
    scores = np.array([float(score) for score in row["scores"].split()])
    defective = np.array(list(row["kinds"])) != "g"
    bad, good = scores[defective], scores[~defective]
    wins = (bad[:, None] > good) + (bad[:, None] == good) / 2  # (D, G)
    draw = np.random.default_rng(zlib.crc32(row["pictures"].encode()))
    times_good, times_bad = (  # how often each was drawn: (ROUNDS, G), (ROUNDS, D)
        draw.multinomial(len(part), np.full(len(part), 1 / len(part)), size=ROUNDS) for part in (good, bad)
    )
    return np.asarray(((times_bad @ wins) * times_good).sum(1) / wins.size)


def leave_one_out(merits: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """For each product, the preset of the best mean merit on the other products; the earlier where alike.

    >>> leave_one_out({"a": {"x": 0.9, "y": 0.5, "z": 0.8}, "b": {"x": 0.8, "y": 0.7, "z": 0.8}})
    {'x': 'b', 'y': 'a', 'z': 'b'}
    """
    products = list(next(iter(merits.values())))
    return {
        left: max(merits, key=lambda name: np.mean([merits[name][each] for each in products if each != left]))
        for left in products
    }


def choice(table: Table) -> Iterator[str]:
    """What leave-one-product-out takes, and gives on the products left out; Markdown lines."""
    merits = {
        preset: {
            product: float(np.mean([table.figure(preset, product, key) for key in _MERIT]))
            for product in table.seeds
        }
        for preset in table.presets
    }
    taken = leave_one_out(merits)
    yield "| left out | taken on the others | image | pixel |"
    yield "|---|---|---|---|"
    found = []
    for product, preset in taken.items():
        found.append([table.figure(preset, product, key) or 0.0 for key in _MERIT])
        yield f"| {product} | {preset} | {found[-1][0]:.4f} | {found[-1][1]:.4f} |"
    image, pixel = np.mean(found, axis=0)
    yield f"| mean | | {image:.4f} | {pixel:.4f} |"


def markdown(table: Table) -> Iterator[str]:
    """Means over products, then one line a product."""
    first, others = table.presets[0], table.presets[1:]
    yield f"Mean over products; Δ is the image AUROC's difference to {first}, with its 95 % interval."
    yield ""
    yield f"| preset | {' | '.join(_SHOWN.values())} | Δ image | fit s | fit s of processor |"
    yield "|---" * (len(_SHOWN) + 4) + "|"
    for preset in table.presets:
        figures = " | ".join(_share(table.mean(preset, name)) for name in _SHOWN)
        fit = " | ".join(f"{table.mean(preset, f'fit_{clock}'):.1f}" for clock in ("seconds", "processor"))
        gain = told(table.gain(preset)) if preset in others else "–"
        yield f"| {preset} | {figures} | {gain} | {fit} |"
    yield ""
    yield "Image AUROC by product; Δ as above."
    yield ""
    yield f"| product | seeds | {first} | {' | '.join(f'{other} | Δ' for other in others)} |"
    yield "|---" * (3 + 2 * len(others)) + "|"
    for product, seeds in table.seeds.items():
        line = [product, ", ".join(map(str, seeds)), _share(table.figure(first, product, "image_auroc"))]
        for other in others:
            line += [_share(table.figure(other, product, "image_auroc")), told(table.gain(other, product))]
        yield f"| {' | '.join(line)} |"
    for names in (("structural_auroc", "logical_auroc"), ("pixel_auroc", "aupro_0.3")):
        yield ""
        yield f"{_SHOWN[names[0]].capitalize()} / {_SHOWN[names[1]]} by product."
        yield ""
        yield f"| product | {' | '.join(table.presets)} |"
        yield "|---" * (1 + len(table.presets)) + "|"
        for product in table.seeds:
            if table.figure(first, product, names[0]) is None:
                continue
            cells = (
                " / ".join(_share(table.figure(preset, product, name)) for name in names)
                for preset in table.presets
            )
            yield f"| {product} | {' | '.join(cells)} |"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def told(gain: Interval) -> str:
    """A gain and its interval, in points.

    >>> told(Interval(0.012, -0.003, 0.02))
    '+1.20 [-0.30, +2.00]'
    """
    return f"{100 * gain.value:+.2f} [{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]"
