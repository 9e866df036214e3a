"""What known defects add to a model: SegAD beside the detector that it builds on, in cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.data.samples import GOOD
from flawscope.methods.segad.table import SYNTHETIC, Table, folds_by_kind
from flawscope.metrics import Interval, auroc, bootstrap_interval
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.training.candidates import Choice, held_out

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Gain:
    """Image AUROC of pictures that SegAD has not learnt from, before and after.

    Attributes:
        pictures: how many good and how many defective ones.
        before: of the detector alone.
        after: of SegAD.
        difference: after less before, with its 95 % bootstrap interval over the same pictures, or over their
            parts where several show one.
        held_out: how what judged was kept from what it is judged on.
        synthetic: how many of the defective ones are good pictures with synthetic defects.
    """

    pictures: tuple[int, int]
    before: float
    after: float
    difference: Interval
    held_out: str
    synthetic: int = 0

    @property
    def verdict(self) -> str:
        """In one word: `gain`, `loss`; where the interval holds 0, `likely` gain, or `none`."""
        if self.difference.low > 0:
            return "gain"
        if self.difference.high < 0:
            return "loss"
        return "likely" if self.difference.value > 0 else "none"

    def statement(self) -> str:
        """In a sentence, plainly."""
        low, high = (f"{100 * value:+.1f}" for value in (self.difference.low, self.difference.high))
        change = f"from {self.before:.3f} to {self.after:.3f} ({low} to {high} points, 95 %)"
        good, defective = self.pictures
        said = {
            "gain": f"AUROC rises {change}",
            "loss": f"AUROC falls {change}: keep the model as it was",
            "likely": f"AUROC probably rises, though it may fall: {change}",
            "none": f"No gain that these pictures can show: AUROC goes {change}",
        }[self.verdict]
        made = f" ({self.synthetic} of them synthetic)" if self.synthetic else ""
        return f"{said}, on {good} good and {defective} defective pictures{made}, {self.held_out}."

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "verdict": self.verdict,
            "good": self.pictures[0],
            "defective": self.pictures[1],
            "synthetic": self.synthetic,
            "auroc_before": self.before,
            "auroc_after": self.after,
            "difference": self.difference.value,
            "difference_low": self.difference.low,
            "difference_high": self.difference.high,
            "held_out": self.held_out,
        }


def gains(choice: Choice, run: Run, *, watch: Watch = UNWATCHED) -> list[Gain]:
    """The gain in cross-validation, and, with several kinds of defects, on kinds that are not learnt from.

    A supervised classifier beside has learnt all kinds, so that its score cannot tell of the latter.

    Raises:
        Stopped: the stop signal was set.
    """
    table, folds = choice.best.table, int(choice.fold_of.max()) + 1
    found = [_gain(table, choice.judged, f"held out in {folds} folds")]
    kinds = sorted(set(table.kinds) - {GOOD})
    if len(kinds) > 1 and choice.best.options.classifier is None:
        fold_of = folds_by_kind(table.kinds, len(kinds), run.seed + 1, table.units)
        named = np.asarray(table.kinds)
        apart = [
            np.where(table.defective, named == kind, fold_of == index) for index, kind in enumerate(kinds)
        ]
        with watch.stage("judging each kind of defect", len(apart)) as stage:
            unseen = held_out(choice.best, apart, run, watch, stage.advance)
        unseen = table.of_pictures(unseen)
        found.append(_gain(table, unseen, "each kind of defect judged by one that has not learnt it"))
    return found


def _gain(table: Table, after: Scores, held_out: str) -> Gain:
    labels = table.of_pictures(table.defective).astype(np.int64)
    before, rows = table.of_pictures(table.scores[:, 0]), np.arange(len(labels))
    units = table.of_pictures(table.units).tolist()
    parts = units if len(set(units)) < len(units) else None

    def difference(drawn: NDArray[Any], chosen: NDArray[Any]) -> float:
        places = chosen.astype(np.int64)
        return auroc(drawn, after[places]) - auroc(drawn, before[places])

    return Gain(
        (int((labels == 0).sum()), int(labels.sum())),
        auroc(labels, before),
        auroc(labels, after),
        bootstrap_interval(difference, labels, rows, groups=parts),
        held_out,
        sum(table.kinds[first] == SYNTHETIC for first in table.firsts),
    )
