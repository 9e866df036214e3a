"""Inspect pictures with a model folder: decode, run the graph, read out scores, heatmaps and findings."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import BundleError, FlawscopeError, InputError, OptionError
from flawscope.runtime import bundle as bundles
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.engines import Engine, open_engine, scalars_differ, usable_cores
from flawscope.runtime.engines.choice import choose
from flawscope.runtime.explain import explainer
from flawscope.runtime.images import from_frame, read_image, to_frame
from flawscope.runtime.overlay import find_regions
from flawscope.runtime.prediction import Prediction

Answer = Prediction | FlawscopeError
Item = TypeVar("Item")
Made = TypeVar("Made")
_MOST_WORKERS = 4


class Inspector:
    """A loaded model; its methods may be called from several threads.

    `Inspector.load("models/bracket").inspect("part.png").decision` tells the verdict on one picture.
    """

    def __init__(self, bundle: Bundle, engine: Engine, *, threads: int | None = None) -> None:
        self.bundle = bundle
        self.engine = engine
        self._frame = bundle.manifest.frame
        self._score = str(bundle.manifest.output("score"))
        self._heatmap = bundle.manifest.output("heatmap")
        self._scalars = bundle.manifest.scalar_values()
        self._explain = explainer(bundle.manifest.explains)
        if set(engine.scalars) != set(self._scalars):
            raise scalars_differ(f"model {bundle.folder}", engine.scalars, self._scalars)
        self._workers = min(threads or usable_cores(), _MOST_WORKERS)

    @classmethod
    def load(cls, bundle: Path | str | Bundle, *, engine: str = "auto", threads: int | None = None) -> Self:
        """Open a model folder; `auto` takes the engine whose scores the calibration holds.

        Raises:
            BundleError: a damaged or foreign model, or an engine whose parity was not measured.
            OptionError: an unknown engine.
            MissingExtraError: the engine's package is not installed.
        """
        loaded = bundle if isinstance(bundle, Bundle) else bundles.load(Path(bundle))
        name, precision = choose(loaded.manifest, engine)
        opened = open_engine(name, loaded.graph, precision=precision, threads=threads)
        return cls(loaded, opened, threads=threads)

    @cached_property
    def identity(self) -> str:
        """A digest of graph, knobs and calibration: the same digest means the same verdicts."""
        manifest = self.bundle.manifest
        files = "".join(f"{name}:{entry.sha256}" for name, entry in sorted(manifest.files.items()))
        knobs = "".join(f"{name}={value}" for name, value in manifest.scalar_values().items())
        text = manifest.calibration.model_dump_json() + files + knobs
        return hashlib.sha256(text.encode()).hexdigest()

    def inspect(self, picture: Path | str | bytes | NDArray[Any]) -> Prediction:
        """Inspect one picture: a file, an encoded picture, or pixels (H, W[, 1 or 3]) uint8 or uint16.

        Raises:
            InputError: the picture cannot be used.
            BundleError: the model answers with values that are not finite.
        """
        return self.look(picture)[1]

    def look(self, picture: Path | str | bytes | NDArray[Any]) -> tuple[NDArray[Any], Prediction]:
        """`inspect`, and the pixels (H, W, C) before it, for whoever would decode the picture again."""
        image = _checked(picture) if isinstance(picture, np.ndarray) else read_image(_source(picture))
        outputs = self.run(to_frame(image, self._frame)[None])
        return image, self._predict(outputs, *image.shape[:2])

    def inspect_many(self, paths: Iterable[Path], *, batch: int = 8) -> Iterator[tuple[Path, Answer]]:
        """Answers for many files, in their order; a picture that cannot be inspected yields its error.

        Up to `batch` pictures are in work at once: while one is in the graph, others are decoded and read
        out. Each runs through the graph alone, which takes a processor no longer than a joint call and
        gives bit for bit what `inspect` gives. With `batch=1` each path is taken only once the one before
        is answered.

        Raises:
            OptionError: `batch` below 1.
        """
        return self.each(self._answer, map(Path, paths), batch=batch)

    def each(self, work: Callable[[Item], Made], items: Iterable[Item], *, batch: int = 8) -> Iterator[Made]:
        """What `work` makes of many items, in their order; up to `batch` are in work at once.

        With `batch=1` each item is taken only once the one before is done.

        Raises:
            OptionError: `batch` below 1.
        """
        if batch < 1:
            raise OptionError("batch", expected="1 or more", got=str(batch), fix="Use 8, the default.")
        return self._stream(work, items, batch)

    def _stream(self, work: Callable[[Item], Made], items: Iterable[Item], batch: int) -> Iterator[Made]:
        pool = ThreadPoolExecutor(min(self._workers, batch), thread_name_prefix="inspect")
        working: deque[Future[Made]] = deque()
        try:
            for item in items:
                working.append(pool.submit(work, item))
                if len(working) == batch:
                    yield working.popleft().result()
            while working:
                yield working.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _answer(self, path: Path) -> tuple[Path, Answer]:
        try:
            return path, self.inspect(path)
        except FlawscopeError as error:
            return path, error

    def run(self, pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """The graph's outputs for pixels (N, 3, H, W) in [0, 1] at the model's frame and scalars.

        Raises:
            BundleError: the graph fails, or answers otherwise than its manifest says.
        """
        try:
            outputs = self.engine.run(pixels, self._scalars)
        except Exception as error:
            raise self._broken("a graph that runs", " ".join(str(error).split())[:300]) from error
        missing = [output.name for output in self.bundle.manifest.outputs if output.name not in outputs]
        if missing:
            raise self._broken("the outputs that its manifest names", f"none called {', '.join(missing)}")
        ranks = {self._score: 1} | ({} if self._heatmap is None else {self._heatmap: 3})
        for name, rank in ranks.items():
            if outputs[name].ndim != rank or len(outputs[name]) != len(pixels):
                raise self._broken(f"{name} with {rank} axes, one entry a picture", f"{outputs[name].shape}")
            if not np.isfinite(outputs[name]).all():
                raise self._broken("finite scores and heatmaps", "values that are not")
        return outputs

    def _predict(self, outputs: dict[str, NDArray[Any]], height: int, width: int) -> Prediction:
        """Read the outputs for one picture of `height` × `width`."""
        manifest = self.bundle.manifest
        score = float(outputs[self._score][0])
        heatmap = None if self._heatmap is None else outputs[self._heatmap][0]
        prediction = Prediction(
            score=score,
            p_value=manifest.calibration.p_value(score),
            decision=manifest.calibration.decide(score),
            outputs={
                name: values[0]
                for name, values in outputs.items()
                if name not in (self._score, self._heatmap)
            },
        )
        if heatmap is not None and manifest.heatmap is not None:
            own = from_frame(heatmap, self._frame, height, width)
            above = float(np.nextafter(np.float32(manifest.heatmap.threshold), np.float32(np.inf)))
            prediction = replace(prediction, heatmap=own, regions=find_regions(own, above))
        return self._explain(manifest, prediction).of(prediction)

    def _broken(self, expected: str, got: str) -> BundleError:
        return BundleError(
            f"model {self.bundle.folder}",
            expected=expected,
            got=got,
            fix="Train or export again.",
        )


def _source(picture: Path | str | bytes) -> Path | bytes:
    return picture if isinstance(picture, bytes) else Path(picture)


def _checked(pixels: NDArray[Any]) -> NDArray[Any]:
    """Pixels as (H, W, C), or an InputError."""
    image = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if (
        image.ndim != 3
        or image.shape[2] not in (1, 3)
        or 0 in image.shape
        or image.dtype not in (np.uint8, np.uint16)
    ):
        raise InputError(
            "pixels",
            expected="(H, W), (H, W, 1) or (H, W, 3) uint8 or uint16",
            got=f"{pixels.shape} {pixels.dtype}",
            fix="Convert the array; RGB order, not BGR.",
        )
    return image
