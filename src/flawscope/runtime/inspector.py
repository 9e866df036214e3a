"""Inspect pictures with a model folder: decode, run the graph, read out scores, heatmaps and findings."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import BundleError, FlawscopeError, InputError, OptionError
from flawscope.runtime import bundle as bundles
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.explain import explainer
from flawscope.runtime.explain.areas import MOST_AREAS
from flawscope.runtime.images import decode, pixels_in
from flawscope.runtime.in_force import InForce
from flawscope.runtime.overlay import find_regions
from flawscope.runtime.picture_file import PictureFile
from flawscope.runtime.pipeline import Pipeline
from flawscope.runtime.prediction import Prediction, Region
from flawscope.runtime.reduction import Decoded
from flawscope.runtime.sight import Seen, Sight

Answer = Prediction | FlawscopeError
Item = TypeVar("Item")
Made = TypeVar("Made")
LARGE = 16_000_000  # pixels from which on pictures take turns
_MOST_WORKERS = 4


class Inspector:
    """A loaded model; its methods may be called from several threads.

    `Inspector.load("models/bracket").inspect("part.png").decision` tells the verdict on one picture. Its
    threads for many pictures start when they are first needed; `close`, or the end of a `with`, ends them.
    """

    def __init__(self, bundle: Bundle, pipeline: Pipeline) -> None:
        self.bundle, self.pipeline = bundle, pipeline
        manifest = bundle.manifest
        self._sight = Sight(pipeline, manifest.frame, manifest.tiling)
        self._explain = explainer(manifest.explains)
        self._lock, self._large = threading.Lock(), threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0  # whose threads these are: a fork has none of them

    @classmethod
    def load(
        cls,
        bundle: Path | str | Bundle,
        *,
        engine: str = "auto",
        threads: int | None = None,
        trust: Path | None = None,
    ) -> Self:
        """Open a model folder; `auto` takes the engine whose scores the calibration holds.

        With `trust`, a public Ed25519 key, a folder must be signed with it. Where another command puts
        another model in the folder's place meanwhile, that one is opened, whole.

        Raises:
            BundleError, OptionError, MissingExtraError: as `runtime.bundle.load` and `Pipeline.open`.
        """
        if isinstance(bundle, Bundle):
            return cls(bundle, Pipeline.open(bundle, engine, threads=threads))
        loaded = bundles.load(Path(bundle), trust=trust)
        try:
            opened = cls(loaded, Pipeline.open(loaded, engine, threads=threads))
        except BundleError:
            if bundles.is_current(loaded):
                raise
        else:
            if bundles.is_current(loaded):
                return opened
        return cls.load(bundle, engine=engine, threads=threads, trust=trust)

    def close(self) -> None:
        """End the threads, once what they work on is done; the model, and streams begun, stay usable.

        A stream that is read on begins new threads, which last until `close` again.
        """
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @cached_property
    def in_force(self) -> InForce:
        """What its verdicts are made with: model, calibration and engine."""
        return InForce.of(self.bundle, self.pipeline.pair)

    @cached_property
    def identity(self) -> str:
        """A digest of model, calibration and engine, which every record carries."""
        return self.in_force.identity

    def inspect(self, picture: Path | str | bytes | NDArray[Any]) -> Prediction:
        """Inspect one picture: a file, an encoded one, or pixels (H, W[, 1 or 3]) uint8, uint16 or float32.

        Raises:
            InputError: the picture cannot be used.
            BundleError: the model answers with values that are not finite.
        """
        return self.look(picture)[1]

    def look(self, picture: Path | str | bytes | PictureFile | NDArray[Any]) -> tuple[Decoded, Prediction]:
        """`inspect`, and the pixels before it, for whoever would decode the picture again.

        A `PictureFile` knows its hash afterwards.
        """
        if isinstance(picture, np.ndarray):
            image = Decoded.of(_checked(picture))
        else:
            source = Path(picture) if isinstance(picture, str) else picture
            image = decode(source, self._sight.frame, tiling=self._sight.tiling)
        name = "picture" if isinstance(picture, bytes | np.ndarray) else f"picture {picture}"
        return image, self._predict(image, self._sight.see(image, name))

    def turn(self, path: Path) -> contextlib.AbstractContextManager[object]:
        """Wait until this picture may be worked on, and hold its place: large ones are in work one at a time.

        A picture of 100 megapixels takes 1.5 GB while it is decoded and read out. Whoever works on many in
        threads enters it; `inspect_many` does.
        """
        return self._large if pixels_in(path) > LARGE else contextlib.nullcontext()

    def inspect_many(self, paths: Iterable[Path], *, batch: int = 8) -> Iterator[tuple[Path, Answer]]:
        """Answers for many files, in their order; a picture that cannot be inspected yields its error.

        Up to `batch` pictures are in work at once: while one is in the graph, others are decoded and read
        out. Each runs through the graph alone, which takes a processor no longer than a joint call and
        gives bit for bit what `inspect` gives. Otherwise as `each`.
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
        working: deque[tuple[Item, Future[Made]]] = deque()
        try:
            for item in items:
                working.append((item, self._submit(work, item)))
                if len(working) == batch:
                    yield _made(work, *working.popleft())
            while working:
                yield _made(work, *working.popleft())
        finally:
            wait([future for _, future in working if not future.cancel()])

    def _answer(self, path: Path) -> tuple[Path, Answer]:
        try:
            with self.turn(path):
                return path, self.inspect(path)
        except FlawscopeError as error:
            return path, error

    def _submit(self, work: Callable[[Item], Made], item: Item) -> Future[Made]:
        with self._lock:
            if self._pool is None or self._process != os.getpid():
                workers = min(self.pipeline.engines[0].threads, _MOST_WORKERS)
                self._pool = ThreadPoolExecutor(workers, thread_name_prefix="inspect")
                self._process = os.getpid()
            return self._pool.submit(work, item)

    def _predict(self, image: Decoded, seen: Seen) -> Prediction:
        """Read out what was seen of one picture."""
        manifest = self.bundle.manifest
        own, regions = None, tuple[Region, ...]()
        if seen.heatmap is not None and manifest.heatmap is not None:
            own = seen.heatmap
            regions = find_regions(own, manifest.heatmap.threshold)
        prediction = Prediction(
            score=seen.score,
            p_value=manifest.calibration.p_value(seen.score),
            decision=manifest.calibration.decide(seen.score),
            heatmap=own,
            regions=regions,
            looks=self._sight.looks(image, seen, [region.peak for region in regions[:MOST_AREAS]]),
        )
        return self._explain(manifest, prediction).of(prediction)


def _made(work: Callable[[Item], Made], item: Item, future: Future[Made]) -> Made:
    """What `future` gives; where `close` has cancelled it, `work` is done here."""
    try:
        return future.result()
    except CancelledError:
        return work(item)


def _checked(pixels: NDArray[Any]) -> NDArray[Any]:
    """Pixels as (H, W, C), or an InputError."""
    image = pixels[:, :, None] if pixels.ndim == 2 else pixels
    shaped = image.ndim == 3 and image.shape[2] in (1, 3) and 0 not in image.shape
    if not shaped or image.dtype not in (np.uint8, np.uint16, np.float32):
        raise InputError(
            "pixels",
            expected="(H, W), (H, W, 1) or (H, W, 3) uint8, uint16 or float32",
            got=f"{pixels.shape} {pixels.dtype}",
            fix="Convert the array; RGB order, not BGR.",
        )
    return image
