"""Choose the engine of a trained model anew, on the machine that will run it. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flawscope.data.pictures import Pictures
from flawscope.errors import BundleError
from flawscope.progress import Progress, counted
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.engine_table import ParityFigures, Speeds, fastest
from flawscope.runtime.engines import DEFAULT, Pair
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.parity import PICTURES, Compared, check_parity
from flawscope.runtime.pipeline import Graphs, Pipeline
from flawscope.runtime.timing import PICTURES as TIMED
from flawscope.runtime.timing import measured_speeds

BY_WAY = f"torch by way of {DEFAULT} fp32"
_PLAIN: Pair = (DEFAULT, "fp32")


@dataclass(frozen=True, slots=True)
class ChosenHere:
    """The engine to calibrate on, opened, and the manifest's figures with those that were measured here."""

    pipeline: Pipeline
    parity: tuple[ParityFigures, ...]
    speeds: Speeds


def choose_here(opened: Bundle, wanted: Sequence[Pair], pictures: Pictures, progress: Progress) -> ChosenHere:
    """Of the `wanted` engines and precisions the fastest on this machine that answers as it should.

    The trained network is not at hand, but the default engine in float32 is, and how far that lies from the
    network stands in the manifest. So each is held against the default engine on `pictures`, and what that
    differs by is added. One that was found beyond its bound when the model was made is not tried.

    Raises:
        BundleError: each that is wanted differs by more than its bound, or cannot open the graphs.
        MissingExtraError, OptionError: the only one that is wanted does not run here.
    """
    manifest, graphs = opened.manifest, Graphs.of(opened)
    base = _base(manifest)
    known = {entry.pair: entry for entry in manifest.parity}
    tried = [pair for pair in wanted if pair not in known or known[pair].within]
    if not tried:
        check_parity(known[wanted[0]])
    pipelines = [Pipeline.in_engine(graphs), *_opened(graphs, [pair for pair in tried if pair != _PLAIN])]
    compared = [Compared(pipeline, BY_WAY) for pipeline in pipelines[1:]]
    some = pictures.subset(range(min(PICTURES, len(pictures))))
    with progress.stage("comparing engines", len(some)) as stage:
        for pixels in counted(some, stage):
            (reference,) = pipelines[0].score([pixels], finite=False)
            for one in compared:
                one.add(pixels, reference)
    figures = {_PLAIN: base} | {one.pipeline.pair: _added(one.figures(), base) for one in compared}
    holding = [pair for pair in tried if pair in figures and figures[pair].within]
    if not holding:
        check_parity(next(figures[pair] for pair in tried if pair in figures))
    speeds = measured_speeds(pipelines, [some[index] for index in range(min(TIMED, len(some)))])
    times = speeds.by_pair()
    best = fastest({pair: times[pair] for pair in holding})
    chosen = next(pipeline for pipeline in pipelines if pipeline.pair == best)
    return ChosenHere(chosen, tuple((known | figures).values()), speeds)


def _opened(graphs: Graphs, pairs: Sequence[Pair]) -> list[Pipeline]:
    """The graphs in each engine that can open them; one that stands alone must."""
    found = []
    for pair in pairs:
        try:
            found.append(Pipeline.in_engine(graphs, *pair))
        except BundleError:
            if len(pairs) == 1:
                raise
    return found


def _base(manifest: Manifest) -> ParityFigures:
    """How far the default engine lies from the trained network."""
    for entry in manifest.parity:
        if entry.pair == _PLAIN and entry.within:
            return entry
    raise BundleError(
        "parity of the model",
        expected=f"figures of {DEFAULT} fp32 within their bound",
        got="none",
        fix="Train the model again.",
    )


def _added(figures: ParityFigures, base: ParityFigures) -> ParityFigures:
    """Distances add up: from the network to the default engine, and from there."""
    names = ("score_absolute", "score_relative", "heatmap_absolute", "heatmap_relative")
    largest = 3.4e38  # which stands for answers that are not finite
    sums = {name: min(getattr(figures, name) + getattr(base, name), largest) for name in names}
    return figures.model_copy(update=sums)
