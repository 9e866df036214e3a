"""k-means on rows of features."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from flawscope.errors import DataError, Stopped
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.segmenters.clustering import cluster

CENTRES = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]], np.float32)
SIZES = (40, 120, 80, 160)


def groups(seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return np.concatenate(
        [
            random.normal(centre, 0.5, (size, 3)).astype(np.float32)
            for centre, size in zip(CENTRES, SIZES, strict=True)
        ]
    )


@pytest.mark.parametrize("count", [4, None])
def test_it_finds_the_groups_largest_first(count: int | None) -> None:
    for seed in (3, 2**63 - 1):
        found = cluster(groups(), count, Run(seed=seed))
        np.testing.assert_allclose(found, CENTRES[[3, 1, 2, 0]], atol=0.3)
        np.testing.assert_array_equal(found, cluster(groups(), count, Run(seed=seed)))


def test_rows_that_do_not_differ_enough_are_refused() -> None:
    same = np.ones((50, 3), np.float32)
    for count in (2, None):
        with pytest.raises(DataError, match="too plain"):
            cluster(same, count, Run())
    two = np.repeat(CENTRES[:2], 20, axis=0)
    assert len(cluster(two, None, Run())) == 2
    with pytest.raises(DataError, match="3 groups or more"):
        cluster(two, 3, Run())
    with pytest.raises(DataError, match="5 groups or more"):
        cluster(CENTRES, 5, Run())


def test_it_stops() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        cluster(groups(), None, Run(), Watch(stop=stop))
