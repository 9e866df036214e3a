"""Large pictures cut into tiles of the model's frame, and the answers for tiles joined to the picture's.

A tile is a frame like any other: the model and its graph know nothing of tiles. Tiles cover the picture at
its own resolution, or at a stated part of it; the last row and column are moved back so that they end flush
with the picture. A picture smaller than a tile is padded by its border. With an overview the whole picture,
shrunk to a tile, is one more of them, and the last: large and faint flaws show there, small ones elsewhere.

A picture scores what its highest tile scores: a flaw counts the same among four tiles as among forty, while a
mean would thin it out, and as thresholds come from pictures' scores, not from tiles', the promise on false
rejects holds for pictures. Maps are blended where tiles overlap, by weights that fall linearly toward a
tile's border, so that no step shows there; the picture's own border keeps its weight. The overview's
score, brought to the tiles' scale, counts as one more tile's; its map, which is coarse, does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from flawscope.runtime.frozen import Frozen
from flawscope.runtime.placement import Pair, Placement
from flawscope.runtime.resize import resize_map

Blend = Literal["linear", "mean"]
Side = Annotated[int, Field(ge=1, le=8192)]


class Overview(Frozen):
    """What brings scores of whole pictures, shrunk to a tile, to the scale of the tiles'.

    Attributes:
        gain, shift: by what a score is multiplied, and what is added then.
    """

    gain: float = 1.0
    shift: float = 0.0


class Tiling(Frozen):
    """How pictures are cut into tiles; pairs are (height, width).

    Attributes:
        size: of a tile, which is the model's frame.
        stride: pixels from one tile to the next; what is left of the size is the overlap.
        scale: at which part of their own resolution pictures are cut.
        blend: how maps are joined where tiles overlap: by weights that fall toward their borders, or evenly.
        overview: how the whole picture, shrunk to a tile, is looked at too; None: it is not.
    """

    size: tuple[Side, Side]
    stride: tuple[Side, Side]
    scale: float = Field(1.0, gt=0, le=1)
    blend: Blend = "linear"
    overview: Overview | None = None

    @model_validator(mode="after")
    def _gapless(self) -> Self:
        if any(step > side for step, side in zip(self.stride, self.size, strict=True)):
            raise ValueError("a stride of at most the size, so that tiles leave no gaps")
        return self

    def working(self, height: int, width: int) -> Pair:
        """Height and width at which a picture of this height and width is cut."""
        return max(round(height * self.scale), 1), max(round(width * self.scale), 1)

    def grid(self, height: int, width: int) -> Grid:
        """The tiles of a picture of this height and width."""
        working = self.working(height, width)
        rows, columns = (
            _starts(length, side, step)
            for length, side, step in zip(working, self.size, self.stride, strict=True)
        )
        return Grid(self, (height, width), working, rows, columns)


def _starts(length: int, side: int, step: int) -> tuple[int, ...]:
    """Where tiles begin along an axis; below 0 for the one that is longer than the picture.

    >>> _starts(1408, 320, 288), _starts(320, 320, 288), _starts(100, 320, 288)
    ((0, 288, 576, 864, 1088), (0,), (-110,))
    """
    if length <= side:
        return (-((side - length) // 2),)
    return (*range(0, length - side, step), length - side)


@dataclass(frozen=True, slots=True)
class Grid:
    """The tiles of one picture, numbered line by line; after them comes the overview, where there is one.

    Attributes:
        tiling: how it is cut.
        picture: height and width of the picture as it lies on disk.
        working: height and width at which it is cut.
        rows, columns: where the tiles begin, in working pixels.
    """

    tiling: Tiling
    picture: Pair
    working: Pair
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def __len__(self) -> int:
        return self.parts + (self.tiling.overview is not None)

    @property
    def parts(self) -> int:
        """How many tiles show a part of the picture each."""
        return len(self.rows) * len(self.columns)

    def tiles(self) -> list[Tile]:
        """All tiles in their order."""
        return [Tile(self, number) for number in range(len(self))]

    def corner(self, number: int) -> Pair:
        """Top and left of a tile, in working pixels."""
        row, column = divmod(number, len(self.columns))
        return self.rows[row], self.columns[column]

    def placement(self, number: int) -> Placement:
        """Where the picture lies in a tile."""
        if number == self.parts:
            return Placement(self.tiling.size, self.picture, (0, 0), self.tiling.size)
        top, left = self.corner(number)
        return Placement(self.tiling.size, self.picture, (-top, -left), self.working)

    def nearest(self, point: Pair) -> int:
        """Number of the tile of a part in whose middle the picture's pixel (x, y) lies most."""
        return max(range(self.parts), key=lambda number: self.placement(number).depth(point))

    def weights(self, axis: int) -> tuple[NDArray[np.float32], ...]:
        """For each row (axis 0) or column (axis 1) of tiles the weights of the picture's pixels in it.

        The weights of one pixel add up to 1; each array begins where its tile, or the picture, begins.
        """
        starts, tiling = (self.rows, self.columns)[axis], self.tiling
        return _weights(starts, tiling.size[axis], self.working[axis], tiling.blend)


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a picture: its grid, and its number there."""

    grid: Grid
    number: int

    @property
    def placement(self) -> Placement:
        """Where the picture lies in the tile."""
        return self.grid.placement(self.number)

    @property
    def last(self) -> bool:
        """Whether the picture has no tile after it."""
        return self.number == len(self.grid) - 1


@lru_cache(maxsize=64)
def _weights(
    starts: tuple[int, ...], side: int, length: int, blend: Blend
) -> tuple[NDArray[np.float32], ...]:
    """See `Grid.weights`, along one axis."""
    found, total = [], np.zeros(length)
    for index, start in enumerate(starts):
        first, stop = max(start, 0), min(start + side, length)
        own = np.ones(stop - first)
        if blend == "linear":
            places = np.arange(first, stop) + 0.5
            before = starts[index - 1] + side - start if index else 0  # pixels of overlap
            after = stop - starts[index + 1] if index + 1 < len(starts) else 0
            if before > 0:
                own = np.minimum(own, (places - start) / before)
            if after > 0:
                own = np.minimum(own, (stop - places) / after)
        total[first:stop] += own
        found.append((first, own))
    return tuple((own / total[first : first + len(own)]).astype(np.float32) for first, own in found)


class Joining:
    """The answer for a picture, put together of its tiles' answers in their order.

    Memory is that of the map at working size, whatever the number of tiles.

    Args:
        grid: the picture's tiles.
        judged: names of the score and, where there is any, of the heatmap.

    Attributes:
        highest: number of the tile with the highest score, the first of equal ones.
        outputs: what the graph put out for that tile.
        heatmap: (h, w) at working size, complete after the last tile; None without one.
    """

    def __init__(self, grid: Grid, judged: tuple[str, ...]) -> None:
        self.grid, self.judged = grid, judged
        self.highest, self.outputs = -1, dict[str, NDArray[Any]]()
        self.heatmap = np.zeros(grid.working, np.float32) if len(judged) > 1 else None

    @property
    def score(self) -> float:
        """The highest score of a tile."""
        return float(self.outputs[self.judged[0]])

    def add(self, number: int, answer: Mapping[str, NDArray[Any]]) -> None:
        """Add a tile's answer, without the axis N."""
        shown = number < self.grid.parts
        score = answer[self.judged[0]] if shown else self._levelled(answer[self.judged[0]])
        if self.highest < 0 or float(score) > self.score:
            self.highest, self.outputs = number, {**answer, self.judged[0]: score}
        if self.heatmap is not None and shown:
            self._blend(number, self.heatmap, answer[self.judged[1]])

    def _levelled(self, score: NDArray[Any]) -> NDArray[Any]:
        """The overview's score on the scale of the tiles'."""
        overview = self.grid.tiling.overview or Overview()
        return np.asarray(score * np.float32(overview.gain) + np.float32(overview.shift))

    def _blend(self, number: int, canvas: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        grid, (row, column) = self.grid, divmod(number, len(self.grid.columns))
        down, across = grid.weights(0)[row], grid.weights(1)[column]
        height, width = grid.tiling.size
        if values.shape != (height, width):
            sides = (0.0, float(values.shape[0])), (0.0, float(values.shape[1]))
            values = resize_map(values, height, width, *sides)
        part = values[grid.placement(number).shown]
        top, left = max(grid.rows[row], 0), max(grid.columns[column], 0)
        canvas[top : top + len(down), left : left + len(across)] += down[:, None] * (across * part)

    def whole(self) -> dict[str, NDArray[Any]]:
        """The picture's score and map by name, as a graph would have put them out for the whole picture."""
        found: dict[str, NDArray[Any]] = {self.judged[0]: self.outputs[self.judged[0]]}
        return found if self.heatmap is None else found | {self.judged[1]: self.heatmap}

    def own_heatmap(self) -> NDArray[np.float32] | None:
        """The map at the picture's own size (H, W)."""
        if self.heatmap is None or self.grid.working == self.grid.picture:
            return self.heatmap
        height, width = self.grid.working
        return resize_map(self.heatmap, *self.grid.picture, (0.0, float(height)), (0.0, float(width)))


def of_pictures(
    answers: Iterable[Mapping[str, NDArray[Any]]], tiles: Iterable[Tile | None], judged: tuple[str, ...]
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Scores and maps of pictures from the answers for their frames, one picture at a time.

    Args:
        answers: for each frame, in order; all tiles of a picture come one after the other.
        tiles: what each frame is; None: a whole picture, whose answer stays as it is.
        judged: names of the score and, where there is any, of the heatmap.
    """
    joining: Joining | None = None
    for answer, tile in zip(answers, tiles, strict=True):
        if tile is None:
            yield answer
            continue
        joining = joining or Joining(tile.grid, judged)
        joining.add(tile.number, answer)
        if tile.last:
            yield joining.whole()
            joining = None


def auto_scale(tiling: Tiling, height: int, width: int, most: int) -> float:
    """The highest scale, in thousandths, at which a picture has at most so many tiles.

    >>> auto_scale(Tiling(size=(320, 320), stride=(288, 288)), 10000, 10000, 64)
    0.233
    """
    low, high = 1, 1000
    while low < high:
        middle = math.ceil((low + high) / 2)
        scaled = tiling.model_copy(update={"scale": middle / 1000})
        low, high = (middle, high) if scaled.grid(height, width).parts <= most else (low, middle - 1)
    return low / 1000
