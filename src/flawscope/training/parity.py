"""The gate that the exported graphs answer as the trained detector does; the fastest engine that passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flawscope.data.pictures import Pictures
from flawscope.errors import BundleError
from flawscope.methods.agreement import HoldsEngines
from flawscope.methods.detector import Detector
from flawscope.methods.running import answers
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.engine_table import ParityFigures, Speeds, fastest
from flawscope.runtime.engines import DEFAULT, Pair, installed
from flawscope.runtime.parity import Compared, check_parity
from flawscope.runtime.pipeline import Graphs, Pipeline
from flawscope.runtime.timing import PICTURES, measured_speeds


@dataclass(frozen=True, slots=True)
class EngineChosen:
    """The engine to calibrate on, opened, and what was measured of all.

    Attributes:
        pipeline: the graphs in it.
        parity: figures of each engine and precision, the plainest first.
        speeds: how long each takes on this machine.
    """

    pipeline: Pipeline
    parity: tuple[ParityFigures, ...]
    speeds: Speeds


def choose_engine(
    detector: Detector,
    graphs: Graphs,
    pictures: Pictures,
    run: Run,
    watch: Watch = UNWATCHED,
    *,
    wanted: Sequence[Pair] = ((DEFAULT, "fp32"),),
    timed: Speeds | None = None,
) -> EngineChosen:
    """Of the `wanted` engines and precisions the fastest that answers as the detector does, by measurement.

    The default engine in float32 is measured too and must pass; so are others in float32, which may run
    the model where the chosen one is not at hand. One that cannot open the graphs is left out and named.
    Where graphs like these were `timed` before, those times hold: the first of `wanted` whose parity holds is
    taken, and no engine is opened beside them and the default one.

    Raises:
        BundleError: the default engine, or each that is wanted, differs from the detector by more than its
            bound; an engine's answers contradict a reference of the method's own.
        OptionError: this machine lacks the only precision that is wanted.
        MissingExtraError: the package of the only engine that is wanted is not installed.
    """
    plain = [pair for pair in installed() if pair[1] == "fp32"][: None if timed is None else 1]
    pairs = [*plain, *(pair for pair in wanted if pair not in plain)]
    needed = {pairs[0], *(wanted if len(wanted) == 1 else ())}
    pipelines = opened(graphs, pairs, needed, watch)
    figures = parity(detector, pipelines, pictures, run, watch)
    check_parity(figures[0])
    asked = [one for one in figures if one.pair in wanted]
    if not any(one.within for one in asked):
        check_parity(asked[0])
    holding = [one.pair for one in asked if one.within]
    if timed is None:
        speeds = _timed(pipelines, pictures, watch)
        times = speeds.by_pair()
        best = fastest({pair: times[pair] for pair in holding})
    else:
        speeds, best = timed, min(holding, key=list(wanted).index)
    chosen = next(pipeline for pipeline in pipelines if pipeline.pair == best)
    return EngineChosen(chosen, figures, speeds)


def _timed(pipelines: Sequence[Pipeline], pictures: Pictures, watch: Watch) -> Speeds:
    some = [pictures[index] for index in range(min(PICTURES, len(pictures)))]
    with watch.stage("timing engines", 1) as stage:
        speeds = measured_speeds(pipelines, some)
        stage.advance()
    return speeds


def opened(graphs: Graphs, pairs: Sequence[Pair], needed: set[Pair], watch: Watch) -> list[Pipeline]:
    """The graphs in each of the engines; one that cannot open them is left out and named, unless needed.

    Raises:
        BundleError: a needed one cannot.
    """
    found = []
    for pair in pairs:
        try:
            found.append(Pipeline.in_engine(graphs, *pair))
        except BundleError as error:
            if pair in needed:
                raise
            watch.say(f"{' '.join(pair)} is left out. {error}")
    return found


def parity(
    detector: Detector, pipelines: Sequence[Pipeline], pictures: Pictures, run: Run, watch: Watch = UNWATCHED
) -> tuple[ParityFigures, ...]:
    """Compare scores and heatmaps of pipelines over the same graphs with the detector's own.

    All are at the graphs' values of the scalars. Pictures are read twice, once for the detector and once for
    the pipelines; maps are compared picture by picture and then dropped.

    Raises:
        BundleError: a graph fails, or an engine's answers contradict a reference of the method's own.
    """
    compared = [Compared(pipeline, "torch") for pipeline in pipelines]
    references = answers(detector, pictures, run, watch, scalars=pipelines[0].graphs.scalars)
    for pixels, reference in zip(pictures, references, strict=True):
        for one in compared:
            one.add(pixels, reference)
    for one in compared:
        if one.pipeline.precision == "fp32" and isinstance(detector, HoldsEngines):
            detector.hold(one.given(), one.pipeline.engine)
    return tuple(one.figures() for one in compared)
