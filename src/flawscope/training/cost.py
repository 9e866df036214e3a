"""What training will cost, from short probes on this machine, and what it leaves out; told before it."""

from __future__ import annotations

import time
from pathlib import Path

from flawscope.data.pictures import THREADS
from flawscope.data.tiles import files_of
from flawscope.methods.detector import Detector
from flawscope.methods.running import ReadsMaps
from flawscope.nn.banks.preflight import Preflight
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame, load
from flawscope.runtime.parity import PICTURES
from flawscope.training.recipe import Recipe
from flawscope.training.selection import Selection

EXPORT = 10.0  # seconds that one graph takes in PyTorch's exporter, ONNX's checker and on the disk, on a core
PASSES = 4  # of each picture of parity: the trained network, and two or three engines


def say_cost(detector: Detector, chosen: Selection, frame: Frame, watch: Watch) -> None:
    """Tell the watch what training on the chosen pictures takes, as far as the method knows.

    Raises:
        DataError: fewer pictures than the detector needs.
        OptionError: what is learnt would not fit into memory.
    """
    folds, cost, data = chosen.split.folds, detector.needs().cost, chosen.data(frame)
    detector.needs().require(data, detector.name)
    if said := chosen.about_defective(data):
        watch.say(said)
    often = f", in {folds} folds and once more" if folds else ""
    steps = getattr(detector.options, "steps", None)
    if steps is not None:
        watch.say(f"{steps} training steps{often}. Ctrl-C keeps what is done; the same command goes on.")
    if cost is None:
        return
    learnt, pictures = len(data.normal), len(chosen.training)
    expected = cost(learnt)
    expected.require()
    shared = bool(folds) and chosen.tiling is not None and isinstance(detector, ReadsMaps)
    seconds = _seconds(expected, chosen, frame, shared=shared)
    time_, memory = duration(seconds), f"{expected.bytes / 2**30:.1f} GiB of memory"
    of = f"{pictures} pictures" if chosen.learnt_tiling is None else f"{learnt} tiles of {pictures} pictures"
    watch.say(f"Expected: {time_} and {memory} for {of}{often}.")


def say_unused(recipe: Recipe, detector: Detector, watch: Watch) -> None:
    """Tell the watch which folders the recipe names that the method learns nothing from."""
    needs, wish, told = detector.needs(), recipe.data, f"{recipe.method} does not learn from"
    if wish.defects is not None and not needs.defective:
        watch.say(f"{told} defects: {wish.defects} is left out. `flawscope learn` adds them to a model.")
    if wish.natural is not None and not needs.natural:
        watch.say(f"{told} natural pictures with these options: {wish.natural} is left out.")


def _seconds(expected: Preflight, chosen: Selection, frame: Frame, *, shared: bool) -> float:
    """Of all fits, of the scores of good pictures, of export and parity.

    `shared`: the network sees each picture once, whatever the number of fits that learn from it or score it.
    """
    data, apart = chosen.data(frame), chosen.apart(frame)
    fits = chosen.split.folds + 1 if chosen.split.folds else 1
    scaled = fits * len(data.tuning) if chosen.tiling is not None and chosen.tiling.overview else 0
    compared = PASSES * min(len(apart), PICTURES)
    if shared:  # the pictures apart are those that are learnt from
        seen, files = len(apart) + scaled // fits, len(chosen.good)
    else:
        seen = fits * len(data.normal) + len(apart) + scaled
        files = fits * len(chosen.training) + len(files_of(apart))
    network = expected.seconds_a_picture * (seen + compared)
    searching = expected.seconds_a_search * (len(apart) + scaled + compared)
    reading = _reading(chosen.good[0].path, frame) * files
    return fits * expected.seconds + network + searching + reading + EXPORT


def _reading(path: Path, frame: Frame) -> float:
    """Seconds to decode one picture, where as many are decoded at once as there are threads for it."""
    started = time.perf_counter()
    load(path, frame)
    return (time.perf_counter() - started) / THREADS


def duration(seconds: float) -> str:
    """An estimate as people say it.

    >>> [duration(seconds) for seconds in (3, 34, 400, 9000)]
    ['less than 10 s', 'about 30 s', 'about 7 min', 'about 2.5 h']
    """
    if seconds < 10:
        return "less than 10 s"
    if seconds < 100:
        return f"about {round(seconds, -1):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 6000 else f"about {seconds / 3600:.1f} h"
