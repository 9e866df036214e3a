"""Kinds of patches, by clustering."""

from __future__ import annotations

import numpy as np

from flawscope.nn.codebook import code_book


def test_any_seed_of_a_recipe_gives_the_groups() -> None:
    random = np.random.default_rng(0)
    centres = np.array([[0, 0], [9, 0], [0, 9]], np.float32)
    rows = np.repeat(centres, 50, 0) + random.normal(0, 0.5, (150, 2)).astype(np.float32)
    for seed in (0, 2**32, 2**63 - 1):
        words, distance = code_book(rows, 3, seed=seed, starts=3)
        np.testing.assert_allclose(words[np.lexsort(words.T.round())], centres, atol=0.3)
        assert distance < 1
