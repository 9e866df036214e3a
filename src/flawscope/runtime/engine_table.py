"""What was measured of each engine and precision on one model, and which of them that speaks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field, FiniteFloat

from flawscope.runtime.engines import Pair, Precision, plainness
from flawscope.runtime.frozen import Frozen

TIE = 0.05  # share by which a further engine must be faster than a plainer one


class ParityFigures(Frozen):
    """How far one engine's outputs lie from the trained model's on the same pictures.

    Relative differences are divided by the spread (max − min) of the reference values over those
    pictures, and `rank_change` is the share of picture pairs that change order, ties aside. Of a method whose
    score is a step function of a vector (SegAD's forest), `score_relative` is that of the vector's columns.
    """

    engine: str
    precision: Precision = "fp32"
    reference: str = "torch"
    pictures: int = Field(ge=1)
    score_absolute: FiniteFloat = Field(ge=0)
    score_relative: FiniteFloat = Field(ge=0)
    heatmap_absolute: FiniteFloat = Field(0.0, ge=0)
    heatmap_relative: FiniteFloat = Field(0.0, ge=0)
    rank_change: FiniteFloat = Field(0.0, ge=0, le=1)
    bound: FiniteFloat = Field(gt=0)

    @property
    def pair(self) -> Pair:
        """Engine and precision."""
        return self.engine, self.precision

    @property
    def within(self) -> bool:
        """Whether score and heatmap stay within the bound."""
        return max(self.score_relative, self.heatmap_relative) <= self.bound

    def statement(self) -> str:
        """The figures in one sentence."""
        return (
            f"{self.engine} {self.precision} on {self.pictures} pictures: scores differ from "
            f"{self.reference} by at most {self.score_relative:.2g} and heatmaps by "
            f"{self.heatmap_relative:.2g} of their spread (bound {self.bound:g})."
        )


class Speed(Frozen):
    """Median milliseconds for one picture, alone, decoded already."""

    engine: str
    precision: Precision
    milliseconds: FiniteFloat = Field(gt=0)


class Speeds(Frozen):
    """What was timed on one machine, with as many threads as an inspection takes there."""

    machine: str
    threads: int = Field(ge=1)
    rows: tuple[Speed, ...]

    def by_pair(self) -> dict[Pair, float]:
        """Milliseconds of each engine and precision."""
        return {(row.engine, row.precision): row.milliseconds for row in self.rows}


@dataclass(frozen=True, slots=True)
class EngineRow:
    """One engine and precision in the table of a model.

    Attributes:
        milliseconds: for one picture, or None where it was not timed.
        scores, heatmaps: largest difference, as a share of the spread.
        bound: the largest share with which it holds.
        holds: whether it may run the model.
        chosen: whether the model is calibrated on it.
    """

    engine: str
    precision: Precision
    milliseconds: float | None
    scores: float
    heatmaps: float
    bound: float
    holds: bool
    chosen: bool


def engine_rows(
    parity: Iterable[ParityFigures], speeds: Speeds | None, chosen: Pair
) -> tuple[EngineRow, ...]:
    """A row for each pair whose parity was measured, the plainest first."""
    times = {} if speeds is None else speeds.by_pair()
    rows = [
        EngineRow(
            engine=entry.engine,
            precision=entry.precision,
            milliseconds=times.get(entry.pair),
            scores=entry.score_relative,
            heatmaps=entry.heatmap_relative,
            bound=entry.bound,
            holds=entry.within,
            chosen=entry.pair == chosen,
        )
        for entry in parity
    ]
    return tuple(sorted(rows, key=lambda row: plainness((row.engine, row.precision))))


def fastest(times: Mapping[Pair, float]) -> Pair:
    """The pair with the least time; of those that take up to 5 % more than it, the plainest.

    So a choice among pairs that are alike does not follow the noise of a measurement.

    >>> fastest({("onnxruntime", "fp32"): 10.2, ("openvino", "fp32"): 9.8})
    ('onnxruntime', 'fp32')
    """
    least = min(times.values())
    alike = [pair for pair, milliseconds in times.items() if milliseconds <= least * (1 + TIE)]
    return min(alike, key=plainness)


def lines(rows: Sequence[EngineRow], *, of: str = "picture") -> list[str]:
    """The table for people, a line each, under a heading; `of` says what the times are for."""
    cells = [("engine", "ms", "scores", "heatmaps", "")]
    for row in rows:
        milliseconds = "" if row.milliseconds is None else f"{row.milliseconds:.1f}"
        verdict = "taken" if row.chosen else "" if row.holds else f"beyond {row.bound:g}, not used"
        name = f"{row.engine} {row.precision}"
        cells.append((name, milliseconds, f"{row.scores:.2g}", f"{row.heatmaps:.2g}", verdict))
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    told = f"Engines, milliseconds a {of}, and differences from the trained network in shares of the spread:"
    return [told, *("  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)]
