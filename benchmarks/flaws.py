"""Where a preset loses against the others: image AUROC of each kind of flaw, from the rows of `presets.py`.

    python benchmarks/flaws.py --data DATA --rows benchmarks/results/presets.json --preset joined \\
        --out benchmarks/results/flaws.md

Each kind stands beside all good test pictures of its product; figures are means over the seeds that all
presets have. Nothing is fitted: scores come from the rows. The kinds of real pictures come from DATA, those
of rendered ones from the order in which they are drawn. The rival is the best of the other presets on that
very kind, a maximum of several, so that it lies ahead where nothing differs, too. The difference to it has a
95 % interval of paired bootstraps over the test pictures, as in `presets.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _preset_tables import Table, image_figures, told
from accuracy import FOLDERS
from numpy.typing import NDArray

from flawscope.data.layouts import read_dataset
from flawscope.files import write_text
from flawscope.products import PRODUCTS

_CATEGORIES = {"l": "logical", "s": "structural"}
_GOOD = "good"
Row = Mapping[str, Any]


def rendered_flaws(product: str, letters: str) -> NDArray[np.str_]:
    """The flaw of each test picture, of its `kinds` in a row: as many of each, in the product's own order."""
    flaws = np.full(len(letters), _GOOD, dtype=object)
    codes = np.array(list(letters))
    for letter in sorted(set(letters) - {"g"}):
        names = [name for name, kind in PRODUCTS[product].flaws.items() if kind == _CATEGORIES[letter]]
        count, rest = divmod(int(np.sum(codes == letter)), len(names))
        if rest:
            raise SystemExit(f"{product}: other pictures than presets.py renders; run that again.")
        flaws[codes == letter] = np.repeat(names, count)
    return flaws.astype(np.str_)


def real_flaws(folder: Path) -> NDArray[np.str_]:
    """The kind of each test picture, in the order of the rows."""
    test = read_dataset(folder).select(split="test")
    return np.array([sample.kind or "defective" if sample.defective else _GOOD for sample in test])


def of_flaw(rows: Sequence[Row], flaws: NDArray[np.str_], flaw: str) -> list[Row]:
    """One product's rows, with the good pictures and those of one flaw alone."""
    part, found = np.isin(flaws, (_GOOD, flaw)), []
    kinds = "".join("g" if name == _GOOD else "d" for name in flaws[part])
    for row in rows:
        scores = np.array(row["scores"].split())[part]
        figures = image_figures(kinds, scores.astype(np.float64).tolist())
        place = {key: row[key] for key in ("preset", "product", "seed")}
        pictures = f"{row['pictures']} {flaw}"
        found.append({**place, **figures, "kinds": kinds, "scores": " ".join(scores), "pictures": pictures})
    return found


def compared(rows: Sequence[Row], product: str, preset: str, presets: Sequence[str]) -> tuple[float, str]:
    """What the preset has less than its best rival in points, and the table's cells of one flaw."""
    table = Table(rows, presets)
    figures = {name: table.figure(name, product, "image_auroc") or 0.0 for name in presets}
    rival = max((name for name in presets if name != preset), key=figures.__getitem__)
    gain = Table([row for row in rows if row["preset"] in (preset, rival)], [rival, preset]).gain(preset)
    cells = (*(f"{figure:.3f}" for figure in figures.values()), rival, told(gain))
    return gain.value, " | ".join(cells)


def markdown(rows: Sequence[Row], flaws: Mapping[str, NDArray[np.str_]], preset: str) -> Iterator[str]:
    """Lines of a table, the largest loss first within each product."""
    presets = list(dict.fromkeys((preset, *(row["preset"] for row in rows))))
    yield f"| product | flaw | {' | '.join(presets)} | best rival | {preset} less it |"
    yield "|---" * (4 + len(presets)) + "|"
    for product, names in flaws.items():
        own = [row for row in rows if row["product"] == product]
        lines = []
        for flaw in dict.fromkeys(names[names != _GOOD].tolist()):
            loss, cells = compared(of_flaw(own, names, flaw), product, preset, presets)
            lines.append((loss, f"| {product} | {flaw} | {cells} |"))
        yield from (line for _, line in sorted(lines))


def main() -> None:
    """Read, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the real products")
    parser.add_argument("--rows", type=Path, required=True, help="JSON of presets.py")
    parser.add_argument("--preset", required=True, help="whose losses are looked for")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file")
    given = parser.parse_args()
    rows = json.loads(given.rows.read_text())["rows"]
    flaws = {}
    for product, letters in {row["product"]: row["kinds"] for row in rows}.items():
        real = product in FOLDERS
        flaws[product] = (
            real_flaws(given.data / FOLDERS[product]) if real else rendered_flaws(product, letters)
        )
    options = f"--data DATA --rows {given.rows} --preset {given.preset} --out {given.out}"
    lines = ["# Flaw by flaw", "", (__doc__ or "").split("\n\n")[-1].strip(), ""]
    lines += [*markdown(rows, flaws, given.preset), "", f"`python benchmarks/flaws.py {options}`"]
    write_text(given.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
