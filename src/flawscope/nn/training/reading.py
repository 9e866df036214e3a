"""Pictures for training steps: in a seeded order, decoded once where memory allows, made ahead of use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.nn.memory import budget
from flawscope.nn.run import Run
from flawscope.runtime.engines import usable_cores

T = TypeVar("T")
Item = TypeVar("Item")

_AHEAD = 4


class Ahead(Generic[T]):
    """What training steps take, made by threads a few steps before it is asked for.

    Args:
        make: the item of a step by its number, in any order and thread.
        steps: how many there are.
    """

    def __init__(self, make: Callable[[int], T], steps: int) -> None:
        self.make, self.steps = make, steps
        self._items: Generator[T, None, None] | None = None

    def __call__(self, number: int) -> T:
        """The item of step `number`; the first call may name any, each later one the next."""
        if self._items is None:
            self._items = ahead(self.make, range(number, self.steps))
        return next(self._items)

    def close(self) -> None:
        """End the threads; what was made ahead is dropped."""
        if self._items is not None:
            self._items.close()


def ahead(make: Callable[[Item], T], items: Iterable[Item]) -> Generator[T, None, None]:
    """What `make` gives for each item, in their order, made by threads a few items before it is asked for."""
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(min(_AHEAD, usable_cores()), thread_name_prefix="training-pictures")
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class KeptPictures:
    """Pictures that stay in memory once decoded, as far as the run's budget goes."""

    def __init__(self, pictures: Pictures, run: Run) -> None:
        self.pictures = pictures
        frame = pictures.frame
        self._room = budget(run) // (3 * frame.height * frame.width * 4)
        self._kept: dict[int, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """(3, height, width) float32 in [0, 1], not to be changed."""
        if index in self._kept:
            return self._kept[index]
        pixels = self.pictures[index]
        if len(self._kept) < self._room:
            self._kept[index] = pixels
        return pixels


def turn(place: int, count: int, *seed: int) -> int:
    """Which of `count` pictures comes at `place`: each once a round, every round in an order of its own.

    It follows from place and seed alone, so that a resumed training sees the same.
    """
    round_, position = divmod(place, count)
    return int(_order((*seed, round_), count)[position])


@lru_cache(maxsize=8)
def _order(seed: tuple[int, ...], count: int) -> NDArray[np.intp]:
    return np.random.default_rng(seed).permutation(count)
