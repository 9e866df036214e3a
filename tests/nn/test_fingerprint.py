"""The name of a training: the same for the same, another once anything differs that it depends on."""

from __future__ import annotations

import numpy as np
from torch import nn

from flawscope.nn.run import Run
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.segmenters import FeatureClustersOptions


def test_every_input_decides() -> None:
    options, maps = FeatureClustersOptions(count=3), np.zeros((2, 4, 4), np.uint8)
    network = nn.Linear(2, 1)
    twin = nn.Linear(2, 1)
    twin.load_state_dict(network.state_dict())
    first = fingerprint(options, Run(), (None,), network, [maps])
    assert first == fingerprint(FeatureClustersOptions(count=3), Run(), (None,), twin, [maps.copy()])
    corrected = maps.copy()
    corrected[1, 2, 3] = 1
    others = [
        fingerprint(FeatureClustersOptions(count=4), Run(), (None,), network, [maps]),
        fingerprint(options, Run(seed=1), (None,), network, [maps]),
        fingerprint(options, Run(), (None,), None, [maps]),
        fingerprint(options, Run(), (None,), network, [corrected]),
        fingerprint(options, Run(), (None,), network, [maps.reshape(4, 2, 4)]),
        fingerprint(options, Run(), (None,), network),
    ]
    assert len({first, *others}) == 1 + len(others)
