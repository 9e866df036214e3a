"""Ways to learn known defects: what to read of a detector's maps, how to judge it, and the best of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.training import Unseen
from flawscope.errors import DataError, WeightsError
from flawscope.methods.detector import Facts, SmoothsCells
from flawscope.methods.registry import parse_options
from flawscope.methods.running import with_tensors
from flawscope.methods.segad import SegAD, SegADOptions
from flawscope.methods.segad.final import margins_of
from flawscope.methods.segad.reading import SegmentReader
from flawscope.methods.segad.table import Table
from flawscope.metrics import auroc
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.training.ways import open_ways

Scores = NDArray[np.float32]

FRAME = ("size", "aspect")  # options that SegAD shares with its detector
_READ = ("detector_scores", "unsmoothed")


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained detector that SegAD is built around.

    Attributes:
        spec: its method and options, as one of SegAD's detectors.
        facts: what its fit handed back.
        tensors: its weights.
    """

    spec: Mapping[str, Any]
    facts: Facts
    tensors: Mapping[str, Tensor]

    def options(self, values: Mapping[str, Any]) -> SegADOptions:
        """SegAD's options with this as the only detector, at its frame; `values` are all others.

        Raises:
            OptionError: a wrong one.
        """
        own = self.spec["options"]
        frame = {name: own[name] for name in FRAME}
        return parse_options(
            SegAD.name, SegADOptions, {**values, "detectors": [self.spec], **frame}
        ).resolved()

    def segad(self, options: SegADOptions) -> SegAD:
        """An unfitted SegAD around the trained detector."""
        made = SegAD(options, {"bases": [dict(self.facts)]})
        with_tensors(made.bases[0], self.tensors)
        return made


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to learn known defects.

    Attributes:
        reader: what has read the maps for it, the wishes of all candidates of its segments together.
        options: its own.
        table: its features of all pictures.
    """

    reader: SegAD
    options: SegADOptions
    table: Table

    @property
    def names(self) -> tuple[str, str, str]:
        """Segments, features and final classifier, in words."""
        options = self.options
        if options.logistic is not None and options.logistic.weights == "alike":
            return options.segments.kind, "score" + " + likeness" * (options.appearance is not None), "sum"
        features = ["statistics"]
        features += ["unsmoothed"] if options.unsmoothed else []
        features += ["score"] if options.detector_scores else []
        features += ["likeness"] if options.appearance is not None else []
        final = options.forest.kind if options.logistic is None else "logistic regression"
        return options.segments.kind, " + ".join(features), final

    def detector(self, trained: Trained, seed: int) -> SegAD:
        """A SegAD of these options that has learnt from the whole table."""
        made, read = trained.segad(self.options), self.reader
        made.reader.segmenter, made.levels, made.classifier = (
            read.reader.segmenter,
            read.levels,
            read.classifier,
        )
        made.reader.prepare()
        made.learnt = made.settle(self.table, seed)
        return made


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate in cross-validation: what it is, and its image AUROC on pictures that it had not learnt."""

    segments: str
    features: str
    final: str
    auroc: float
    chosen: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "segments": self.segments,
            "features": self.features,
            "final": self.final,
            "auroc": self.auroc,
            "chosen": self.chosen,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """The best of the candidates.

    Attributes:
        best: the one with the highest AUROC of `margins`.
        margins: (P,) its margins of pictures in folds that it had not learnt, the highest of their tiles'.
        judged: (P,) those of whichever was best on all other folds, in deviations of good pictures, so that
            the choice is judged on pictures which had no part in it.
        fold_of: (P,) the folds.
        tried: all, in the order in which they were tried.
    """

    best: Candidate
    margins: Scores
    judged: Scores
    fold_of: NDArray[np.int64]
    tried: tuple[Tried, ...]


def candidates(
    trained: Trained,
    wished: Mapping[str, Any],
    unseen: Unseen,
    run: Run,
    watch: Watch = UNWATCHED,
    *,
    several: bool,
) -> list[Candidate]:
    """All ways that the wishes leave open, with what each reads of the pictures.

    Args:
        trained: the detector.
        wished: options that stay as the user has them.
        unseen: good and defective pictures.
        run: seed and device.
        watch: sees how far it is.
        several: whether to try several; else the last of `ways.JUDGES` on the picture as one segment is all.

    Raises:
        DataError: what the segmenter or a detector refuses; a map that cannot be drafted is left out.
        OptionError: a wrong one of the wishes.
    """
    found = _read(trained, {"segments": {"kind": "one"}, **wished}, unseen, run, watch, several=several)
    # a supervised classifier beside would have to be trained again for another map; tiles have no one map
    tiles = any(sample.tile is not None for sample in unseen.normal.samples)
    if not several or tiles or "segments" in wished or wished.get("classifier") is not None:
        return found
    drafted = {"kind": "drafted", "weights": trained.spec["options"].get("weights", "pretrained")}
    try:
        more = _read(trained, {**wished, "segments": drafted}, unseen, run, watch, several=True)
    except (DataError, WeightsError) as error:
        watch.say(f"No map of segments was drafted: {error}")
        return found
    return found + more if more[0].reader.reader.segmenter.count > 1 else found


def choose(
    tried: Sequence[Candidate], fold_of: NDArray[np.int64], run: Run, watch: Watch = UNWATCHED
) -> Choice:
    """Cross-validate all candidates over the folds (N,) of their rows, the same for each, and take the best.

    Raises:
        Stopped: the stop signal was set.
    """
    folds, table = range(int(fold_of.max()) + 1), tried[0].table
    apart = [fold_of == fold for fold in folds]
    rows = []
    with watch.stage("cross-validating", len(tried) * len(apart)) as stage:
        for candidate in tried:
            margins = held_out(candidate, apart, run, watch, stage.advance)
            rows.append(table.of_pictures(margins))
    found, of_picture = np.stack(rows), table.of_pictures(fold_of)
    apart = [of_picture == fold for fold in folds]
    labels = table.of_pictures(table.defective).astype(np.int64)
    reached = [auroc(labels, margins) for margins in found]
    best = int(np.argmax(reached))
    good = found[:, labels == 0]
    units = (found - good.mean(1, keepdims=True)) / np.maximum(good.std(1, keepdims=True), 1e-12)
    judged = np.empty(len(labels), np.float32)
    for held in apart:
        others = [auroc(labels[~held], margins[~held]) for margins in found]
        judged[held] = units[int(np.argmax(others)), held]
    told = tuple(
        Tried(*candidate.names, auroc=value, chosen=index == best)
        for index, (candidate, value) in enumerate(zip(tried, reached, strict=True))
    )
    return Choice(tried[best], found[best], judged, of_picture, told)


def held_out(
    candidate: Candidate,
    apart: Sequence[NDArray[np.bool_]],
    run: Run,
    watch: Watch = UNWATCHED,
    advance: Callable[[], None] = lambda: None,
) -> Scores:
    """Margins (N,) by classifiers that have not learnt the rows of the same part (N,), one for each part."""
    table, options = candidate.table, candidate.options
    found = np.empty(len(table), np.float32)
    for held in apart:
        watch.check_stop(run)
        found[held] = margins_of(table.rows(held), table.rows(~held), options, run.seed)
        advance()
    return found


def _read(
    trained: Trained, wished: Mapping[str, Any], unseen: Unseen, run: Run, watch: Watch, *, several: bool
) -> list[Candidate]:
    """The candidates on one division into segments, by one pass over the pictures."""
    ways: list[SegADOptions] = []
    for wish in open_ways(wished, unseen, several=several):
        options = trained.options(wish)
        ways += [options] if options not in ways else []
    seen = next((options.appearance for options in ways if options.appearance is not None), None)
    wide = {name: any(getattr(options, name) for options in ways) for name in _READ}
    reader = trained.segad(ways[0].model_copy(update=wide | {"appearance": seen}))
    if not any(isinstance(base, SmoothsCells) for base in reader.bases):
        ways = [options for options in ways if not options.unsmoothed] or ways
    if seen is not None and "appearance" not in wished and not reader.reader.hears():
        reader.reader.looks = None
        ways = [options for options in ways if options.appearance is None]
    table = reader.collect(unseen, run, watch)
    return [Candidate(reader, options, columns_of(reader, options, table)) for options in ways]


def columns_of(reader: SegAD, options: SegADOptions, table: Table) -> Table:
    """The columns of what a reader has read, those that such options have."""
    wide, count = reader.reader, reader.reader.segmenter.count
    bases = reader.bases
    narrow = SegmentReader(
        bases,
        wide.segmenter,
        options.statistics,
        scores=options.detector_scores,
        unsmoothed=options.unsmoothed,
    )
    places = {name: index for index, name in enumerate(wide.feature_names(count))}
    beside = range(len(places), table.features.shape[1])  # the supervised classifier's score
    return table.columns([*(places[name] for name in narrow.feature_names(count)), *beside])
