"""Where a picture becomes frames, and what the graphs say of its frames becomes its answer: here alone.

A model sees a picture whole, in one frame, or in tiles, one frame each. Tiles run side by side, each alone,
and are joined in their order, so that an answer depends neither on how many run at once nor on which is done
first. What is in memory beside picture and heatmap does not grow with the picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.images import Frame, to_frame
from flawscope.runtime.pipeline import Outputs, Pipeline
from flawscope.runtime.placement import Pair, Placement
from flawscope.runtime.prediction import Look
from flawscope.runtime.reduction import Decoded
from flawscope.runtime.tiling import Joining, Tiling

Made = TypeVar("Made")
_SIDE_BY_SIDE = 4  # tiles at most


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The answer for one picture.

    Attributes:
        score: raw; of a picture in tiles the highest of theirs.
        heatmap: (H, W) at the picture's own size; None where the method has none.
        look: the further outputs, of the tile with the highest score where there are several.
    """

    score: float
    heatmap: NDArray[np.float32] | None
    look: Look


class Sight:
    """How a model sees pictures; its methods may be called from several threads.

    Args:
        pipeline: the model's graphs.
        frame: at which they see.
        tiling: how pictures are cut into such frames; None: they are seen whole.
    """

    def __init__(self, pipeline: Pipeline, frame: Frame, tiling: Tiling | None = None) -> None:
        self.pipeline, self.frame, self.tiling = pipeline, frame, tiling
        self._more = any(output.name not in pipeline.judged for output in pipeline.graphs.outputs)

    def see(self, image: Decoded, name: str = "picture") -> Seen:
        """Run a decoded picture through the graphs; errors call it `name`.

        Raises:
            InputError: as `flawscope.runtime.images.to_frame`.
            BundleError: as `Pipeline.run`.
        """
        judged = self.pipeline.judged
        if self.tiling is None:
            placement = self.frame.placement(*image.size)
            outputs = self._outputs(image, placement, name)
            heatmap = placement.back(outputs[judged[1]]) if len(judged) > 1 else None
            return Seen(float(outputs[judged[0]]), heatmap, self._look(placement, outputs))
        grid = self.tiling.grid(*image.size)
        joining = Joining(grid, judged)

        def answer(number: int) -> Outputs:
            return self._outputs(image, grid.placement(number), name)

        for number, outputs in enumerate(self._side_by_side(answer, range(len(grid)))):
            joining.add(number, outputs)
        look = self._look(grid.placement(joining.highest), joining.outputs)
        return Seen(joining.score, joining.own_heatmap(), look)

    def looks(self, image: Decoded, seen: Seen, points: Sequence[Pair]) -> tuple[Look, ...]:
        """The look of the answer, then those of other tiles in whose middle the points (x, y) lie most.

        Their tiles are run once more, for no outputs are kept on the way.
        """
        if self.tiling is None or not self._more:
            return (seen.look,)
        grid = self.tiling.grid(*image.size)
        places = dict.fromkeys(grid.placement(grid.nearest(point)) for point in points)
        places.pop(seen.look.placement, None)
        further = self._side_by_side(lambda place: self._look(place, self._outputs(image, place, "")), places)
        return (seen.look, *further)

    def _look(self, placement: Placement, outputs: Outputs) -> Look:
        judged = self.pipeline.judged
        return Look(placement, {name: values for name, values in outputs.items() if name not in judged})

    def _outputs(self, image: Decoded, placement: Placement, name: str) -> Outputs:
        """What the graphs put out for one frame, without the axis N."""
        pixels = to_frame(image, self.frame, placement=placement, name=name)
        return {name: values[0] for name, values in self.pipeline.run(pixels[None]).items()}

    def _side_by_side(self, work: Callable[..., Made], items: Iterable[int | Placement]) -> Iterator[Made]:
        """What `work` makes of each, in their order; a few are in work or wait at once."""
        workers = min(self.pipeline.threads, _SIDE_BY_SIDE)
        pool = ThreadPoolExecutor(workers, thread_name_prefix="tiles")
        waiting: deque[Future[Made]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
