"""Pixel AUROC and average precision against scikit-learn, in memory and through the disk."""

import tracemalloc

import numpy as np
import pytest
from sklearn import metrics as reference

from flawscope import metrics
from flawscope.errors import InputError


def _pictures(seed, decimals=6, dtype=np.float32):
    rng = np.random.default_rng(seed)
    masks, heatmaps = [], []
    for height, width in [(20, 30), (17, 9), (32, 32), (8, 50)]:
        mask = (rng.random((height, width)) < 0.1).astype(np.uint8) * 255
        masks.append(mask)
        heatmaps.append(np.round(rng.normal(size=mask.shape) + (mask > 0), decimals).astype(dtype))
    heatmaps.append(rng.normal(size=(12, 12)).astype(dtype))
    return [*masks, None], heatmaps


def _flat(masks, heatmaps):
    marks = [np.zeros(h.shape, bool) if m is None else m > 0 for m, h in zip(masks, heatmaps, strict=True)]
    return np.concatenate([m.ravel() for m in marks]), np.concatenate([h.ravel() for h in heatmaps])


@pytest.mark.parametrize("decimals", [6, 1, 0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_equal_to_scikit_learn(decimals, dtype):
    masks, heatmaps = _pictures(0, decimals, dtype)
    labels, scores = _flat(masks, heatmaps)
    assert metrics.pixel_auroc(masks, heatmaps) == pytest.approx(
        reference.roc_auc_score(labels, scores), abs=1e-12
    )
    assert metrics.pixel_average_precision(masks, heatmaps) == pytest.approx(
        reference.average_precision_score(labels, scores), abs=1e-12
    )


@pytest.mark.parametrize("chunk", [37, 600])
def test_chunks_on_disk_change_nothing(chunk):
    masks, heatmaps = _pictures(1, decimals=1)
    overlap = metrics.RegionOverlap(chunk=chunk)
    for mask, heatmap in zip(masks, heatmaps, strict=True):
        overlap.update(mask, heatmap)
    whole = metrics.RegionOverlap()
    for mask, heatmap in zip(masks, heatmaps, strict=True):
        whole.update(mask, heatmap)
    assert overlap.ranking() == pytest.approx(whole.ranking(), abs=1e-12)


def test_pictures_may_follow_after_compute():
    masks, heatmaps = _pictures(2)
    overlap = metrics.RegionOverlap(chunk=50)
    for mask, heatmap in zip(masks, heatmaps, strict=True):
        overlap.update(mask, heatmap)
        overlap.ranking()
    assert overlap.ranking().auroc == pytest.approx(metrics.pixel_auroc(masks, heatmaps), abs=1e-12)


def test_accumulating_does_not_keep_the_callers_array():
    overlap = metrics.RegionOverlap()
    heatmap = np.array([[0.1, 0.2], [0.9, 0.3]])
    overlap.update(np.array([[0, 0], [1, 0]]), heatmap)
    heatmap[:] = 0
    assert overlap.ranking().auroc == 1.0


def test_refusals():
    heatmap = np.zeros((4, 4))
    with pytest.raises(InputError, match="no defective pixel"):
        metrics.pixel_auroc([None], [heatmap])
    with pytest.raises(InputError, match="no normal pixel"):
        metrics.pixel_auroc([np.ones((4, 4), bool)], [heatmap])
    with pytest.raises(InputError, match="no pictures"):
        metrics.pixel_auroc([], [])
    with pytest.raises(InputError, match=r"mask 0.*\(4, 4\).*\(4, 5\)"):
        metrics.pixel_auroc([np.ones((4, 5), bool)], [heatmap])
    with pytest.raises(InputError, match=r"mask 0.*float64"):
        metrics.pixel_auroc([np.ones((4, 4))], [heatmap])
    with pytest.raises(InputError, match="more heatmaps"):
        metrics.pixel_auroc([None], [heatmap, heatmap])
    with pytest.raises(InputError, match="more masks"):
        metrics.pixel_auroc([None, None], [heatmap])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_the_picture_named(value):
    good, bad = np.zeros((4, 4)), np.zeros((4, 4))
    bad[2, 2] = value
    with pytest.raises(InputError, match="heatmap 1"):
        metrics.pixel_auroc([None, None], [good, bad])


@pytest.mark.parametrize("measure", [metrics.RegionOverlap.compute, metrics.RegionOverlap.ranking])
def test_memory_stays_near_the_chunk_and_not_near_the_data(measure):
    rng = np.random.default_rng(0)
    mask = np.zeros((128, 128), np.uint8)
    mask[:20, :20] = 1
    heatmap = rng.random((128, 128), np.float32)
    tracemalloc.start()
    streamed = metrics.RegionOverlap(chunk=1 << 14)
    for _ in range(100):  # 6.5 MB of float32
        streamed.update(mask, heatmap)
    measure(streamed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6
