"""A map that fit drafts itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from flawscope.data.pictures import Pictures
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame
from flawscope.segmenters import DraftedMapOptions, Segmenter, build_segmenter
from flawscope.segmenters.drafting import draft_by_features, mean_picture
from flawscope.testing.rings import good_rings

FRAME = Frame(64, 64)


def test_it_is_what_drafting_proposes_and_restores(
    saved: Callable[..., Pictures], restored: Callable[[Segmenter, Segmenter], Segmenter]
) -> None:
    given, chosen = saved(good_rings(2, 3), FRAME), DraftedMapOptions(count=2, weights="random")
    segmenter = build_segmenter(chosen, FRAME).fit(given, Run(seed=1))
    labels = segmenter(torch.zeros(2, 3, 64, 64)).numpy()
    drafted = draft_by_features(
        given, mean_picture(given, Run(seed=1)), Run(seed=1), count=2, weights="random"
    )
    assert segmenter.static
    np.testing.assert_array_equal(labels, [drafted, drafted])
    np.testing.assert_allclose(segmenter.shares.numpy(), np.bincount(drafted.ravel()) / drafted.size)
    twin = restored(build_segmenter(chosen, FRAME), segmenter)
    np.testing.assert_array_equal(twin(torch.zeros(2, 3, 64, 64)).numpy(), labels)
