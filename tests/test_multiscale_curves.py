"""The curves of multi-scale patches: levelled light, and what a table's columns say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flawscope.data.samples import Sample
from flawscope.runtime.images import Frame


def test_levelled_pictures_have_one_median_and_their_own_contrast(load, tmp_path: Path) -> None:
    samples = []
    for index, grey in enumerate((100, 120, 170)):
        pixels = np.full((8, 8), grey, np.uint8)
        pixels[0, :3] = grey - 50
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        samples.append(Sample(tmp_path / f"{index}.png", "train", defective=False))
    levelled = load("_multiscale_curves").Levelled(samples, Frame(8, 8), 0.5)
    batch = np.concatenate(list(levelled.batches(2)))
    assert np.median(batch, axis=(1, 2, 3)) == pytest.approx(0.5)
    assert batch[:, :, 0, 0] == pytest.approx(0.5 - 50 / 255)
    plain = load("_multiscale_curves").Levelled(samples, Frame(8, 8), None)
    assert np.concatenate(list(plain.batches(3)))[:, 0, 5, 5] * 255 == pytest.approx([100, 120, 170])


def test_rank_counts_the_directions_that_carry_the_variance(load) -> None:
    rows = torch.zeros(400, 6)
    rows[:100, 0], rows[100:200, 0] = 1, -1
    rows[200:300, 1], rows[300:, 1] = 1, -1
    found = load("multiscale_patch_curves").spectrum(rows)
    assert found["rank"] == pytest.approx(2)
    assert found["spread"] == pytest.approx(1, rel=0.01)
