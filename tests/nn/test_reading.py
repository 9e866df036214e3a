"""Pictures for training steps: order, memory and threads that work ahead."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.nn.run import Run
from flawscope.nn.training.loop import Patience
from flawscope.nn.training.reading import Ahead, KeptPictures, turn
from flawscope.runtime.images import Frame


def test_each_picture_comes_once_a_round_in_an_order_of_the_seed() -> None:
    rounds = [[turn(place, 9, 3, 1) for place in range(start, start + 9)] for start in (0, 9)]
    assert [sorted(each) for each in rounds] == [list(range(9))] * 2
    assert rounds[0] != rounds[1]
    assert [turn(place, 9, 4, 1) for place in range(9)] != rounds[0]
    assert turn(13, 9, 3, 1) == rounds[1][4]


def test_ahead_gives_each_step_its_own_item_from_any_first_one() -> None:
    feed = Ahead(lambda number: number**2, 20)
    assert [feed(number) for number in range(7, 20)] == [number**2 for number in range(7, 20)]
    feed.close()


def test_ahead_works_ahead_and_ends_with_close() -> None:
    made, fifth = [], threading.Event()

    def make(number: int) -> int:
        made.append(number)
        if number == 4:
            fifth.set()
        return number

    feed = Ahead(make, 1000)
    assert feed(0) == 0
    assert fifth.wait(10)
    feed.close()
    assert not [thread for thread in threading.enumerate() if "training-pictures" in thread.name]
    assert len(made) < 20


def test_an_error_reaches_the_step_that_asks() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise OSError("gone")
        return number

    feed = Ahead(make, 5)
    assert [feed(0), feed(1)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        feed(2)


def test_pictures_stay_as_far_as_memory_goes(good_pictures: Callable[..., Path]) -> None:
    samples = [Sample(path, "train", defective=False) for path in sorted(good_pictures(3).iterdir())]
    pictures = PictureFiles(samples, Frame(32, 48))
    size = pictures[0].nbytes
    kept = KeptPictures(pictures, Run(memory=2 * size))
    first = [kept[index] for index in range(3)]
    assert [kept[index] is first[index] for index in range(3)] == [True, True, False]
    assert all(np.array_equal(kept[index], pictures[index]) for index in range(3))


def test_pictures_take_no_more_than_half_of_what_is_free(
    good_pictures: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [Sample(path, "train", defective=False) for path in sorted(good_pictures(2).iterdir())]
    pictures = PictureFiles(samples, Frame(32, 48))
    monkeypatch.setattr("flawscope.nn.memory.available_bytes", lambda: 3 * pictures[0].nbytes)
    kept = KeptPictures(pictures, Run())
    first = [kept[index] for index in range(2)]
    assert [kept[index] is first[index] for index in range(2)] == [True, False]


def test_patience_ends_at_so_many_steps_after_the_best_loss() -> None:
    losses = iter([3.0, 2.0, 2.5, 2.5, 2.5, 2.5])
    patience = Patience(4, lambda: next(losses))
    assert [patience(done) for done in range(1, 7)] == [False] * 5 + [True]
    assert patience.memory["best"].tolist() == [2.0, 2.0]


def test_patience_looks_four_times_and_never_at_0() -> None:
    asked = []
    patience = Patience(40, lambda: float(len(asked.append(0) or asked)))
    assert [done for done in range(1, 51) if patience(done)] == [50]
    assert len(asked) == 5
    assert not any(Patience(0, lambda: 1 / 0)(done) for done in range(100))
