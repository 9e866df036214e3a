"""A benchmark's figures beside the paper's: rows for tables, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flawscope.benchmark.charts import draw
from flawscope.benchmark.kept import RunResult
from flawscope.benchmark.plan import Outcome, resolved_options
from flawscope.benchmark.recipe import MEASURES, Row
from flawscope.files import write_text

TABLE, VALUES = "results.md", "results.json"
NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Spread:
    """One measure over the seeds of a row, in [0, 1]."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """In percent; with the range where the seeds differ.

        >>> print(Spread(0.97, 0.965, 0.975))
        97.00 (96.50–97.50)
        """
        text = f"{100 * self.mean:.2f}"
        return text if self.low == self.high else f"{text} ({100 * self.low:.2f}–{100 * self.high:.2f})"


def spread(results: Sequence[RunResult], measure: str) -> Spread | None:
    """Mean and range of a measure; None where no result has it."""
    values = [result.measures[measure] for result in results if measure in result.measures]
    return Spread(sum(values) / len(values), min(values), max(values)) if values else None


def finished(outcome: Outcome, row: Row) -> list[RunResult]:
    """The results that a row has so far."""
    return [result for planned in outcome.of(row) if (result := planned.result) is not None]


EFFORT = ("seeds", "training pictures", "steps", "fit s")


def headings(outcome: Outcome, *, effort: bool = True) -> list[str]:
    """The table's columns; a measure that the paper prints has two. `effort` adds what ours took."""
    columns = ["row", *(EFFORT if effort else ())]
    for measure, name in MEASURES.items():
        columns += [name, f"{name}, paper"] if _printed(outcome, measure) else [name]
    return columns


def cells(outcome: Outcome, row: Row, *, effort: bool = True) -> list[str]:
    """One row of the table, in percent; columns as in `headings`."""
    results = finished(outcome, row)
    took = [
        f"{len(results)} of {len(outcome.wishes.seeds)}",
        _each(result.pictures["training"] for result in results),
        _each(result.steps for result in results),
        _each(round(result.seconds["fit"]) for result in results),
    ]
    line = [row.label, *(took if effort else ())]
    for measure in MEASURES:
        found = spread(results, measure)
        line.append(NOTHING if found is None else str(found))
        if _printed(outcome, measure):
            published = getattr(row.paper, measure)
            line.append(NOTHING if published is None else f"{published:.2f}")
    return line


def caption(outcome: Outcome) -> list[str]:
    """What a reader must know to compare: everything in which this run differs from the recipe."""
    lines = []
    shortened = _shortened(outcome)
    if shortened:
        lines.append(f"Shortened training: {shortened}. The paper's figures are of full training.")
    if outcome.wishes.settings:
        lines.append(f"Changed from the recipe: {', '.join(outcome.wishes.settings)}.")
    others = _other_products(outcome)
    if others:
        lines.append(f"Not the paper's product: {others}.")
    lines += [f"Not run: {label}: {reason}" for label, reason in outcome.left_out.items()]
    lines += [f"Failed: {name}: {error}" for name, error in outcome.failed.items()]
    lines.append(
        "Percent; AU-PRO up to a false positive rate of 0.3, at each picture's own resolution; several "
        "seeds: mean (range). Ours learns from the good pictures that scaling and calibration leave over."
    )
    return lines


def to_json(outcome: Outcome, command: str) -> dict[str, Any]:
    """All figures as plain values; measures in [0, 1], the paper's in percent as printed."""
    benchmark, wishes = outcome.benchmark, outcome.wishes
    rows = []
    for row in benchmark.rows:
        results = finished(outcome, row)
        spreads = {measure: spread(results, measure) for measure in MEASURES}
        rows.append(
            {
                "label": row.label,
                "paper_percent": row.paper.model_dump(mode="json", exclude_none=True),
                "ours": {
                    measure: {"mean": found.mean, "low": found.low, "high": found.high}
                    for measure, found in spreads.items()
                    if found is not None
                },
                "runs": [result.model_dump(mode="json", exclude={"label"}) for result in results],
                "notes": list(row.notes),
                "left_out": outcome.left_out.get(row.label),
            }
        )
    return {
        "title": benchmark.title,
        "source": benchmark.source,
        "paper": benchmark.paper,
        "pictures": benchmark.pictures,
        "command": command,
        "settings": list(wishes.settings),
        "steps": wishes.steps,
        "seeds": list(wishes.seeds),
        "caption": caption(outcome),
        "rows": rows,
        "notes": list(benchmark.notes),
    }


def write_results(outcome: Outcome, out: Path, command: str) -> None:
    """Write results.json, results.md and the charts into `out`.

    Raises:
        OutputError: the folder cannot be written.
    """
    charts = draw(outcome)
    for name, picture in charts.items():
        write_text(out / name, picture)
    write_text(out / VALUES, json.dumps(to_json(outcome, command), indent=1, allow_nan=False) + "\n")
    write_text(out / TABLE, markdown(outcome, command, list(charts)))


def markdown(outcome: Outcome, command: str, charts: Sequence[str] = ()) -> str:
    """The benchmark as a Markdown page."""
    benchmark = outcome.benchmark
    lines = [
        f"# {benchmark.title}",
        "",
        f"{benchmark.paper}, {benchmark.source}",
        "",
        *_paragraphs(caption(outcome)),
    ]
    columns = headings(outcome)
    lines += [_line(columns), _line(["---"] * len(columns))]
    lines += [_line(cells(outcome, row)) for row in benchmark.rows]
    lines += [line for chart in charts for line in ("", f"![{chart.removesuffix('.svg')}]({chart})")]
    notes = [*benchmark.notes, *(f"{row.label}: {note}" for row in benchmark.rows for note in row.notes)]
    if notes:
        lines += ["", "Notes on the paper's figures:", "", *(f"- {note}" for note in notes)]
    lines += ["", "## How", "", f"- Pictures: {benchmark.pictures}", f"- Command: `{command}`"]
    lines += [f"- {fact}" for fact in _facts(outcome)]
    return "\n".join(lines) + "\n"


def _facts(outcome: Outcome) -> list[str]:
    """Hardware, versions and durations of the finished runs, each said once."""
    results = [result for row in outcome.benchmark.rows for result in finished(outcome, row)]
    machines = sorted({f"{result.hardware}; trained on {result.device}" for result in results})
    versions = sorted(
        {", ".join(f"{name} {number}" for name, number in result.versions.items()) for result in results}
    )
    total = sum(result.seconds["total"] + result.seconds["evaluation"] for result in results)
    facts = [f"Machine: {machine}" for machine in machines] + [f"Versions: {line}" for line in versions]
    return [*facts, f"Training and evaluation: {total:.0f} s in all"] if results else ["No row has run yet."]


def _shortened(outcome: Outcome) -> str:
    """Rows whose steps differ from the recipe's, such as `100 steps in place of 70000`."""
    found = set()
    for planned in outcome.planned:
        steps = planned.options.get("steps")
        if steps is None:
            continue
        plain = outcome.benchmark.resolve(planned.row, planned.recipe.data.folder)
        asked = resolved_options(plain).get("steps")
        if steps != asked:
            found.add(f"{steps} steps in place of {asked}")
    return "; ".join(sorted(found))


def _other_products(outcome: Outcome) -> str:
    """Products that the recipe does not name, such as `ours screw, the paper's plastic_nut`."""
    found = set()
    for planned in outcome.planned:
        named = outcome.benchmark.resolve(planned.row, planned.recipe.data.folder).data.product
        if named is not None and planned.dataset.name != named:
            found.add(f"ours is {planned.dataset.name}, the paper's {named}")
    return "; ".join(sorted(found))


def _printed(outcome: Outcome, measure: str) -> bool:
    return any(getattr(row.paper, measure) is not None for row in outcome.benchmark.rows)


def _each(values: Any) -> str:
    """Distinct values in their order, such as `3` or `3, 4`; a dash for none."""
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or NOTHING


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', '/') for text in texts)} |"


def _paragraphs(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in (line, "")]
