"""A benchmark's figures beside the paper's: rows for tables, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flawscope.benchmark.charts import draw
from flawscope.benchmark.measures import MEASURES, Measure, Spread
from flawscope.benchmark.plan import Outcome, counted, resolved_options
from flawscope.benchmark.results import RunResult
from flawscope.benchmark.rows import Row
from flawscope.files import write_text

TABLE, VALUES = "results.md", "results.json"
NOTHING = "–"


def finished(outcome: Outcome, row: Row) -> list[RunResult]:
    """The results that a row has so far; none for a mean of rows."""
    return [result for planned in outcome.of(row) if (result := planned.result) is not None]


def values(outcome: Outcome, row: Row, measure: Measure) -> dict[int, float]:
    """A measure in [0, 1] by seed; of a mean of rows only for seeds for which all of them have it."""
    if not row.mean_of:
        results = finished(outcome, row)
        return {result.seed: result.measures[measure] for result in results if measure in result.measures}
    series = [
        values(outcome, other, measure) for other in outcome.benchmark.rows if other.label in row.mean_of
    ]
    common = [seed for seed in series[0] if all(seed in one for one in series)]
    return {seed: sum(one[seed] for one in series) / len(series) for seed in common}


def shown(outcome: Outcome) -> list[Measure]:
    """The benchmark's measures that some row has or that the paper prints."""
    results = [result for row in outcome.benchmark.rows for result in finished(outcome, row)]
    return [
        measure
        for measure in outcome.benchmark.measures
        if not results or _printed(outcome, measure) or any(measure in result.measures for result in results)
    ]


EFFORT = ("seeds", "training pictures", "steps", "fit s")


def headings(outcome: Outcome, *, effort: bool = True) -> list[str]:
    """The table's columns; a measure that the paper prints has two. `effort` adds what ours took."""
    columns = ["row", *(EFFORT if effort else ())]
    for measure in shown(outcome):
        name = MEASURES[measure]
        columns += [name, f"{name}, paper"] if _printed(outcome, measure) else [name]
    return columns


def cells(outcome: Outcome, row: Row, *, effort: bool = True) -> list[str]:
    """One row of the table, in percent; columns as in `headings`."""
    results = finished(outcome, row)
    done = len(values(outcome, row, outcome.benchmark.measures[0])) if row.mean_of else len(results)
    took = [
        f"{done} of {len(outcome.seeds)}",
        _each(result.pictures["training"] for result in results),
        _each(result.steps for result in results),
        _each(round(result.seconds["fit"]) for result in results),
    ]
    line = [row.label, *(took if effort else ())]
    for measure in shown(outcome):
        found = _spread(outcome, row, measure)
        line.append(NOTHING if found is None else found.text(outcome.benchmark.spread))
        if _printed(outcome, measure):
            line.append(row.paper.text(measure) or NOTHING)
    return line


def caption(outcome: Outcome) -> list[str]:
    """What a reader must know to compare: everything in which this run differs from the recipe."""
    lines = []
    shortened = _shortened(outcome)
    if shortened:
        lines.append(f"Shortened training: {shortened}. The paper's figures are of full training.")
    if outcome.wishes.settings:
        lines.append(f"Changed from the recipe: {', '.join(outcome.wishes.settings)}.")
    if outcome.wishes.seeds and outcome.wishes.seeds != outcome.benchmark.seeds:
        few, all_of = (", ".join(map(str, seeds)) for seeds in (outcome.seeds, outcome.benchmark.seeds))
        lines.append(f"Seeds {few}; the recipe's are {all_of}.")
    others = _other_products(outcome)
    if others:
        lines.append(f"Not the paper's product: {others}.")
    lines += [f"Not run: {label}: {reason}" for label, reason in outcome.left_out.items()]
    lines += [f"Failed: {name}: {error}" for name, error in outcome.failed.items()]
    return [*lines, _legend(outcome)]


def _legend(outcome: Outcome) -> str:
    """What the figures are, in one line."""
    measures = shown(outcome)
    deviation = "mean ± standard deviation of the sample (n − 1)"
    spread = {"range": "mean (range)", "std": deviation}[outcome.benchmark.spread]
    facts = ["Percent"]
    if "aupro_30" in measures:
        facts.append("AU-PRO up to a false positive rate of 0.3, at each picture's own resolution")
    if {"au_spro_05", "au_spro_10", "au_spro_30"} & set(measures):
        facts.append("AU-sPRO and AUROC without a kind: the mean of logical and structural defects")
    if "fpr_at_95_tpr" in measures:
        facts.append("FPR@95TPR: good pictures called defective where 95 % of the defective ones are found")
    facts.append(f"several seeds: {spread}")
    return f"{'; '.join(facts)}. Ours learns from the good pictures that scaling and calibration leave over."


def to_json(outcome: Outcome, command: str) -> dict[str, Any]:
    """All figures as plain values; measures in [0, 1], the paper's in percent as printed."""
    benchmark, wishes = outcome.benchmark, outcome.wishes
    rows = []
    for row in benchmark.rows:
        results = finished(outcome, row)
        spreads = {measure: _spread(outcome, row, measure) for measure in benchmark.measures}
        rows.append(
            {
                "label": row.label,
                "paper_percent": row.paper.model_dump(mode="json", exclude_none=True),
                "ours": {name: asdict(found) for name, found in spreads.items() if found is not None},
                "mean_of": list(row.mean_of),
                "runs": [result.model_dump(mode="json", exclude={"label"}) for result in results],
                "notes": list(row.notes),
                "left_out": outcome.left_out.get(row.label),
            }
        )
    return {
        **benchmark.about(),
        "command": command,
        "settings": list(wishes.settings),
        "steps": wishes.steps,
        "seeds": list(outcome.seeds),
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
        *(f"# {benchmark.title}", "", f"{benchmark.paper}, {benchmark.source}", ""),
        *(text for line in caption(outcome) for text in (line, "")),
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
    """Steps that differ from the recipe's, such as `100 steps in place of 70000`, by method where several."""
    found: dict[str, list[str]] = {}
    kept = [setting for setting in outcome.wishes.settings if not setting.split("=")[0].endswith(".steps")]
    for planned in (planned for row in outcome.benchmark.runs for planned in outcome.of(row)[:1]):
        taken = counted(planned.recipe.method, planned.options)
        folder = planned.recipe.data.folder
        plain = outcome.benchmark.resolve(planned.row, folder, settings=kept)
        asked = counted(plain.method, resolved_options(plain))
        for method, steps in taken.items():
            if steps is not None and steps != asked.get(method):
                full = asked.get(method) or "all epochs"
                found.setdefault(f"{steps} steps in place of {full}", []).append(method)
    methods = {name for names in found.values() for name in names}
    return "; ".join(
        text if len(methods) == 1 else f"{', '.join(sorted(set(names)))} {text}"
        for text, names in sorted(found.items())
    )


def _other_products(outcome: Outcome) -> str:
    """Products that the recipe does not name, such as `ours screw, the paper's plastic_nut`."""
    found = set()
    for planned in outcome.planned:
        named = outcome.benchmark.resolve(planned.row, planned.recipe.data.folder).data.product
        if named is not None and planned.dataset.name != named:
            found.add(f"ours is {planned.dataset.name}, the paper's {named}")
    return "; ".join(sorted(found))


def _spread(outcome: Outcome, row: Row, measure: Measure) -> Spread | None:
    return Spread.of(list(values(outcome, row, measure).values()))


def _printed(outcome: Outcome, measure: Measure) -> bool:
    return any(getattr(row.paper, measure) is not None for row in outcome.benchmark.rows)


def _each(found: Iterable[object]) -> str:
    """Distinct values in their order, such as `3` or `3, 4`; a dash for none."""
    return ", ".join(dict.fromkeys(str(value) for value in found if value is not None)) or NOTHING


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', '/') for text in texts)} |"
