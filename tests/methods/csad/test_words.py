"""Words: histograms of what patches show, soft or hard, tell pictures of other mixtures from good ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from flawscope.methods.csad.words import VisualWords, VisualWordsOptions

GRID = (8, 8)


def backbone() -> Any:
    """What a grid asks of a backbone: two layers at strides 8 and 16 of a picture of 128×128."""
    return SimpleNamespace(
        layers=("fine", "coarse"),
        strides={"fine": 8, "coarse": 16},
        channels={"fine": 3, "coarse": 4},
        grids={"fine": (16, 16), "coarse": GRID},
    )


def maps(count: int, seed: int, red: int = 20) -> dict[str, Tensor]:
    """Pictures of which `red` patches of 64 look one way, the others another, all with some noise."""
    random = np.random.default_rng(seed)
    fine, coarse = random.normal(0, 0.05, (count, 3, 16, 16)), random.normal(0, 0.05, (count, 4, *GRID))
    for one in range(count):
        drawn = np.zeros(64)
        drawn[random.permutation(64)[: red + random.integers(-1, 2)]] = 1
        coarse[one, 0] += drawn.reshape(GRID)
        fine[one, 1] += np.kron(drawn.reshape(GRID), np.ones((2, 2)))
    return {"fine": torch.from_numpy(fine).float(), "coarse": torch.from_numpy(coarse).float()}


def fitted(**options: Any) -> tuple[VisualWords, Tensor]:
    words = VisualWords(backbone(), VisualWordsOptions.model_validate({"words": 8, **options}))
    left_out = words.learn(words.grid(maps(24, 0)), words.grid(maps(6, 1)))
    return words.eval(), left_out


@pytest.mark.parametrize("options", [{}, {"assignment": "hard", "quarters": False}])
def test_other_mixtures_score_higher(options: dict[str, Any]) -> None:
    words, left_out = fitted(**options)
    good, odd = words(maps(10, 2)), words(maps(10, 3, red=32))
    assert odd.min() > good.max()
    assert left_out.shape == (24,)
    assert (left_out.median() - good.median()).abs() < 2 * left_out.std()


def test_features_without_noise_repeat_their_words_and_stay_finite() -> None:
    words = VisualWords(backbone(), VisualWordsOptions(words=16))
    still = {layer: values * 0 + 1 for layer, values in maps(3, 0).items()}
    assert torch.isfinite(words.learn(words.grid(still))).all()
    assert torch.isfinite(words(maps(2, 1))).all()


def test_the_same_seed_gives_the_same_words() -> None:
    first, second = fitted()[0], fitted()[0]
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)
