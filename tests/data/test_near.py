"""Near duplicates: copies of a photograph are found, aligned products are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flawscope.data.checks import near
from flawscope.data.checks.near import near_groups, thumbnail

Image = NDArray[np.uint8]


def photograph(seed: int, *, side: int = 96) -> Image:
    """A smooth random grey picture (side, side, 1)."""
    coarse = np.random.default_rng(seed).uniform(40, 215, (12, 12)).astype(np.float32)
    return (
        cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        .clip(0, 255)
        .astype(np.uint8)[..., None]
    )


def groups_of(images: list[Image]) -> list[list[int]]:
    return near_groups(np.stack([thumbnail(image) for image in images]))


def test_compressed_resized_brighter_and_noisy_copies_are_found() -> None:
    images = [photograph(seed, side=480) for seed in range(12)]
    jpeg = cv2.imdecode(
        cv2.imencode(".jpg", images[3], [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_GRAYSCALE
    )
    smaller = cv2.resize(images[3], (384, 384), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0).normal(0, 3, images[5].shape)
    noisy = (images[5] + noise).clip(0, 255).astype(np.uint8)
    brighter = (images[5] * 1.05 + 4).clip(0, 255).astype(np.uint8)
    deep = images[3].astype(np.uint16) * 257
    copies = [jpeg[..., None], smaller[..., None], deep, noisy, brighter]
    assert groups_of([*images, *copies]) == [[3, 12, 13, 14], [5, 15, 16]]


def test_aligned_products_are_not_copies() -> None:
    scene = photograph(0).astype(np.float32)
    random = np.random.default_rng(1)
    shots = [(scene + random.normal(0, 8, scene.shape)).clip(0, 255).astype(np.uint8) for _ in range(30)]
    assert groups_of(shots) == []
    assert groups_of([*shots, shots[4]]) == [[4, 30]]


def test_flat_pictures_are_left_out() -> None:
    black, white = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)
    assert groups_of([black, white, black]) == []
    assert not thumbnail(black).any()


def test_a_thumbnail_is_normalised() -> None:
    small = thumbnail(photograph(2)).astype(np.float64)
    assert small.shape == (32 * 32,)
    assert small.mean() == pytest.approx(0, abs=1e-3)
    assert small.std() == pytest.approx(1, abs=1e-3)


def test_blocks_agree_with_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [photograph(seed % 9, side=64) for seed in range(40)]
    whole = groups_of(images)
    assert whole == [[start + 9 * step for step in range(5) if start + 9 * step < 40] for start in range(9)]
    monkeypatch.setattr(near, "BLOCK", 7)
    assert groups_of(images) == whole


def test_groups_are_those_of_all_pairs() -> None:
    draw = np.random.default_rng(3)
    basis = draw.normal(size=(40, 1024))
    base = draw.normal(size=(60, 40)) @ basis / np.sqrt(40)
    near_by = base[:30] + draw.normal(size=(30, 1024)) * draw.uniform(0.005, 0.03, (30, 1))
    thumbnails = np.concatenate([base, near_by]).astype(np.float16)
    exact = thumbnails.astype(np.float64)
    expected = []
    for index in range(30):
        distance = np.sqrt(np.mean((exact[index] - exact[60 + index]) ** 2))
        if distance <= near.LIMIT:
            expected.append([index, 60 + index])
    assert 5 < len(expected) < 25
    assert near_groups(thumbnails) == expected


def test_a_chain_is_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(20, 1024))
    step = draw.normal(size=1024) * 0.015
    chain = rows[0] + np.arange(5)[:, None] * step
    thumbnails = np.concatenate([chain[[4, 1]], rows[1:], chain[[0, 3, 2]]]).astype(np.float16)
    monkeypatch.setattr(near, "BLOCK", 3)
    assert near_groups(thumbnails) == [[0, 1, 21, 22, 23]]


def test_nothing_to_compare() -> None:
    assert near_groups(np.zeros((0, 1024), np.float16)) == []
    assert near_groups(thumbnail(photograph(0))[None]) == []
