"""The results of `drift.py` as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_UNCHANGED = """\
Each stream draws its calibration pictures and its pictures from one source: normal values with the rank
correlations of scores and conditions of MVTec screw's pictures, or such pictures themselves, with repeats.
All scores and conditions together."""
_FIXED = """\
Scores alone, promised 1 %, if each picture were ranked among the calibration pictures alone, as it is not:"""
_CHANGED = """\
299 calibration pictures, 500 unchanged ones, then 1000 changed ones, or 5000 of each; promised 1 %. Pictures
repeat. Scores are those of what `flawscope train` makes by itself of most of 120 good pictures, of further
products those of `product.json`, without conditions. What is staked on which bet was chosen with screw,
impeller and tray in view, and no further product. *Effect*: of the change on the quantity's mean, in its own
deviations. *After*: median of pictures from the change to the first alarm, and what nine of ten streams need.
*Named*: the first alarm is about the quantity that was changed. *Before*: streams with an alarm before the
change, left out of the rest."""


def markdown(result: dict[str, Any]) -> str:
    """The page of results."""
    parts = {name: part["rows"] for name, part in result["parts"].items()}
    products: dict[str, list[dict[str, Any]]] = {}
    for row in (row for rows in parts.values() for row in rows if "product" in row):
        products.setdefault(row["product"], []).append(row)
    return (
        "\n\n".join(
            [
                "# Drift",
                *_header(result),
                "## Unchanged streams that ever raise an alarm",
                _UNCHANGED,
                _table(
                    ("source", "calibration", "streams × pictures", "promised 1 %", "5 %", "10 %"),
                    (
                        (
                            row["source"],
                            *_size(row),
                            *(_percent(row["alarms"][alpha]["any"]) for alpha in ("0.01", "0.05", "0.1")),
                        )
                        for row in (*parts.get("unchanged", ()), *parts.get("pictures", ()))
                    ),
                ),
                "ADWIN and Page-Hinkley on the same quantities, standardised, calibration pictures first:",
                _table(
                    ("detector", "calibration", "streams × pictures", "any quantity", "scores alone"),
                    (
                        (name, *_size(row), _percent(shares["any"]), _percent(shares["scores"]))
                        for row in parts.get("peers", ())
                        for name, shares in row["alarms"].items()
                    ),
                ),
                _FIXED,
                _table(
                    ("calibration", "streams × pictures", "alarms"),
                    ((*_size(row), _percent(row["alarms"])) for row in parts.get("fixed", ())),
                ),
                "## Changed streams",
                _CHANGED,
                *(piece for name, rows in products.items() for piece in (f"### {name}", _changes(rows))),
            ]
        )
        + "\n"
    )


def _header(result: dict[str, Any]) -> list[str]:
    parts = list(result["parts"].values())
    host, loads = parts[0]["machine"], [part["machine"]["load_before"] for part in parts]
    told = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    commands = dict.fromkeys(part["command"] for part in parts)
    return [
        "\n".join(f"    {line}" for line in commands),
        f"{host['processor']}, {host['cores']} cores, {host['system']}; load before parts {min(loads)} to "
        f"{max(loads)}, no figure here is a time. {told}.",
    ]


def _size(row: dict[str, Any]) -> tuple[Any, str]:
    return row["calibration"], f"{row['streams']} × {row['pictures']}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _changes(rows: Sequence[dict[str, Any]]) -> str:
    titles = (
        *(
            "change",
            "changed quantity",
            "effect",
            "detector",
            "after",
            "nine of ten",
            "found",
            "named",
            "before",
        ),
        "scores too",
    )
    return _table(
        titles,
        (
            (
                row["change"],
                row["about"],
                f"{row['effect_in_deviations']:+.2f}",
                row["detector"],
                _count(row["median"]),
                _count(row["nine_of_ten"]),
                _share(row["found"]),
                _share(row["named"]),
                _share(row["before"]),
                f"{_share(row['scores'])}, after {_count(row['median_of_scores'])}" if row["scores"] else "–",
            )
            for row in rows
        ),
    )


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
