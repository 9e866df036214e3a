"""SegAD's protocol on one product: every detector alone, with SegAD, all of them, with and without g.

    FLAWSCOPE_WEIGHTS=WEIGHTS flawscope segments draft DATA/magnetic_tile --size 256x256 --out map.png
    python benchmarks/segad.py --data DATA/magnetic_tile --map map.png --shots 100,20 --withheld Crack \
        --steps fastflow=150,rd4ad=500,efficientad=600,classifier=150,devnet=60,dra=40 --folds 3 \
        --work WORK --out benchmarks/results/segad_magnetic_tile

Half of the good training pictures trains the detectors, the other half and the drawn defects the forest;
supervised methods learn from all of these. Detectors are trained once, forests with five seeds. All other
defects and the good test pictures are for testing; no threshold and no setting is chosen on them. Trained
parts are kept in WORK, so that the same command goes on where it stopped. Without --steps the schedules are
the papers'. With --scores, what the detectors answer is kept in that file; where it is there already, only
the forests are grown, so that a machine with a GPU can train the detectors (--only-scores) and any other the
forests.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import command, hardware, versions
from _segad_protocol import DETECTORS, STATISTICS, Parts, Readings, Schedule, divide, parse_steps
from _segad_scores import Scored, Scores, score, train
from _segad_tables import markdown
from numpy.typing import NDArray

from flawscope.files import write_text
from flawscope.methods.segad.forest import ForestOptions, grow, margins
from flawscope.metrics import auroc, fpr_at_tpr
from flawscope.nn.run import Checkpoints, Run
from flawscope.report.histograms import histogram_panel

SEEDS = 5
FOUR = ("quantile", "skewness", "kurtosis", "mean")
METHODS = (*DETECTORS, "devnet", "dra", "g")
MAPS = ("one segment", "drafted map")


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    shots = sorted((int(shot) for shot in arguments.shots.split(",")), reverse=True)
    parts = divide(arguments.data, shots, arguments.withheld, 0)
    run = Run(
        device=arguments.device,
        checkpoints=Checkpoints(arguments.work / "unfinished"),
        trained=Checkpoints(arguments.work / "trained"),
    )
    schedule = Schedule(arguments.steps, arguments.folds, arguments.compile)
    if arguments.train:
        train(parts, arguments.train, schedule, run)
        return
    scored = scores_of(parts, arguments, schedule, run)
    if arguments.only_scores:
        return
    started = time.perf_counter()
    measured = Protocol(parts, scored, ablation=arguments.ablation).rows(shots)
    result = {
        "product": arguments.data.resolve().name,
        "withheld": arguments.withheld,
        "pictures": {
            "detectors": len(parts.learnt),
            "forest_good": len(parts.forest),
            "test_good": int((~parts.defective).sum()),
            "test_seen": int((parts.defective & ~parts.unseen).sum()),
            "test_unseen": int(parts.unseen.sum()),
        },
        "segments": scored.segments,
        "rows": measured.found,
        "training": scored.about,
        "forests": {
            "command": command(),
            "seconds": round(time.perf_counter() - started),
            "machine": f"{hardware('cpu')}, {arguments.threads} thread(s)",
            "versions": versions("flawscope", "xgboost", "numpy"),
        },
    }
    write_text(arguments.out.with_suffix(".json"), json.dumps(result, indent=1) + "\n")
    write_text(arguments.out.with_suffix(".svg"), histogram_panel(measured.columns))
    write_text(arguments.out.with_suffix(".md"), markdown(result, arguments.out.name))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="product's folder")
    parser.add_argument("--map", type=Path, required=True, help="drafted segment map, 256x256")
    parser.add_argument("--shots", default="100,20", help="defective pictures to learn from")
    parser.add_argument("--withheld", help="kind of defect that nothing learns from")
    parser.add_argument("--steps", type=parse_steps, default={}, help="method=steps,... for short training")
    parser.add_argument("--folds", type=int, default=5, help="of the classifier's held-out scores")
    parser.add_argument("--ablation", action="store_true", help="also table 6, at the most defects")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="where detectors train")
    parser.add_argument("--compile", action="store_true", help="compile EfficientAD's networks, for CUDA")
    parser.add_argument("--work", type=Path, required=True, help="folder for trained parts")
    parser.add_argument("--train", nargs="+", choices=METHODS, help="train only these, then stop")
    parser.add_argument("--scores", type=Path, help=".npz file of what the detectors answer")
    parser.add_argument("--only-scores", action="store_true", help="write that file and grow no forest")
    parser.add_argument("--out", type=Path, help="results without suffix")
    arguments = parser.parse_args()
    if arguments.only_scores and not arguments.scores:
        parser.error("--only-scores needs --scores FILE")
    if not arguments.only_scores and not arguments.train and not arguments.out:
        parser.error("--out is missing")
    return arguments


def scores_of(parts: Parts, arguments: argparse.Namespace, schedule: Schedule, run: Run) -> Scored:
    """From the file of scores where there is one, else by training and reading, then kept there."""
    if arguments.scores and arguments.scores.is_file():
        return Scored.load(arguments.scores)
    scored = score(parts, arguments.map, schedule, run, arguments.threads)
    if arguments.scores:
        scored.save(arguments.scores)
    return scored


class Protocol:
    """Measures all rows; `found` holds them, `columns` the scores for the histograms."""

    def __init__(self, parts: Parts, scored: Scored, *, ablation: bool) -> None:
        self.parts, self.scored, self.ablation = parts, scored, ablation
        self.found: list[dict[str, Any]] = []
        self.columns: dict[str, dict[str, list[float]]] = {}

    def rows(self, shots: list[int]) -> Protocol:
        good, defects, test = (self.scored.readings[part] for part in ("good", "defects", "test"))
        names = list(self.scored.about["detectors"])
        for index, name in enumerate(names):
            self._add(name, "alone", None, [test.scores[:, index]])
        sets = {name: [index] for index, name in enumerate(names)} | {"all": list(range(len(names)))}
        for shot in shots:
            for name in ("devnet", "dra", "g"):
                self._add(name, "alone", shot, [self.scored.alone[name, shot]])
            known, whole = first_rows(defects, shot), self.scored.alone["g", shot]
            for segment_map in MAPS:
                for name, chosen in sets.items():
                    learnt = inputs((good, known), segment_map, chosen)
                    seen = inputs((test,), segment_map, chosen)
                    self._forest(name, segment_map, shot, learnt=learnt, test=seen)
                learnt = np.column_stack(
                    [inputs((good, known), segment_map, sets["all"]), self.scored.held_out[shot]]
                )
                seen = np.column_stack([inputs((test,), segment_map, sets["all"]), whole])
                scores = self._forest("all + g", segment_map, shot, learnt=learnt, test=seen)
            if shot == shots[0]:
                self._histograms({"PatchCore": test.scores[:, 0], "g": whole, "all + g + SegAD": scores})
                if self.ablation:
                    self._ablation(names, good, known, test, shot)
        return self

    def _ablation(self, names: list[str], good: Readings, known: Readings, test: Readings, shot: int) -> None:
        """Table 6: each variant on each detector."""
        variants: dict[str, tuple[str, tuple[str, ...], ForestOptions]] = {
            "maximum only": ("drafted map", ("maximum",), ForestOptions()),
            "BT": ("drafted map", FOUR, ForestOptions(kind="boosted trees")),
            "RF": ("drafted map", FOUR, ForestOptions(kind="random forest")),
        }
        for label, (segment_map, statistics, options) in variants.items():
            for index, name in enumerate(names):
                learnt = inputs((good, known), segment_map, [index], statistics)
                seen = inputs((test,), segment_map, [index], statistics)
                where = f"{segment_map}, {label}"
                self._forest(name, where, shot, learnt=learnt, test=seen, options=options)

    def _forest(
        self,
        name: str,
        segments: str,
        shot: int,
        *,
        learnt: Scores,
        test: Scores,
        options: ForestOptions | None = None,
    ) -> Scores:
        """Five forests on features `learnt` (N, F), the good ones first; the first one's test scores."""
        defective = np.arange(len(learnt)) >= len(self.parts.forest)
        found = []
        for seed in range(SEEDS):
            booster = grow(learnt, defective, options or ForestOptions(), seed)
            found.append(margins(booster, test))
        self._add(name, segments, shot, found)
        return found[0]

    def _add(self, name: str, segments: str, shot: int | None, scores: list[Scores]) -> None:
        row: dict[str, Any] = {"method": name, "segments": segments, "defects": shot}
        good = ~self.parts.defective
        for group, members in self._groups():
            labels = self.parts.defective[good | members].astype(int)
            for measure, function in (("auroc", auroc), ("fpr95", fpr_at_tpr)):
                row[f"{measure}_{group}"] = [function(labels, each[good | members]) for each in scores]
        self.found.append(row)
        print(f"{name:12} {segments:28} {shot or '-':>4} {np.mean(row['auroc_all']):.3f}", flush=True)

    def _groups(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        yield "all", self.parts.defective
        if self.parts.unseen.any():
            yield "seen", self.parts.defective & ~self.parts.unseen
            yield "unseen", self.parts.unseen

    def _histograms(self, columns: dict[str, Scores]) -> None:
        groups = {"good": ~self.parts.defective, "seen defective": self.parts.defective & ~self.parts.unseen}
        if self.parts.unseen.any():
            groups["unseen defective"] = self.parts.unseen
        self.columns = {
            name: {group: scores[members].tolist() for group, members in groups.items()}
            for name, scores in columns.items()
        }


def first_rows(readings: Readings, count: int) -> Readings:
    return Readings(
        {name: values[:count] for name, values in readings.statistics.items()}, readings.scores[:count]
    )


def inputs(
    readings: tuple[Readings, ...], segment_map: str, detectors: list[int], statistics: tuple[str, ...] = FOUR
) -> Scores:
    """Features (N, F) of some detectors and statistics, pictures of all readings in their order."""
    columns = [STATISTICS.index(name) for name in statistics]
    parts = [each.statistics[segment_map][:, detectors][..., columns] for each in readings]  # (n, K, L, S)
    return np.concatenate([part.reshape(len(part), -1) for part in parts])  # (N, K * L * S)


if __name__ == "__main__":
    main()
