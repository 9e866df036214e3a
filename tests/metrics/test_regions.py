"""AU-PRO and AU-sPRO against plain references that follow the papers' definitions, and cases by hand."""

import numpy as np
import pytest
from scipy import ndimage

from flawscope import metrics
from flawscope.errors import InputError, OptionError
from flawscope.metrics import RegionOverlap, Saturation, _spool


def _plain_curve(normal, defects):
    """Every distinct threshold in turn; `defects` holds (scores, saturation) of each defect."""
    everything = np.concatenate([normal, *(scores for scores, _ in defects)])
    fpr, overlap = [0.0], [0.0]
    for threshold in np.unique(everything)[::-1]:
        fpr.append(np.mean(normal >= threshold))
        found = [min(np.sum(scores >= threshold) / saturation, 1.0) for scores, saturation in defects]
        overlap.append(np.mean(found))
    return np.array(fpr), np.array(overlap)


def _plain_area(fpr, overlap, limit):
    last = np.interp(limit, fpr, overlap)
    x, y = np.append(fpr[fpr < limit], limit), np.append(overlap[fpr < limit], last)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)) / limit


def _plain_regions(masks, heatmaps):
    normal, defects = [], []
    for mask, heatmap in zip(masks, heatmaps, strict=True):
        marks = np.zeros(heatmap.shape, bool) if mask is None else mask > 0
        normal.append(heatmap[~marks])
        labels, count = ndimage.label(marks, structure=np.ones((3, 3)))
        regions = [heatmap[labels == region] for region in range(1, count + 1)]
        defects += [(region, region.size) for region in regions]
    return np.concatenate(normal), defects


def _pictures(seed, decimals):
    rng = np.random.default_rng(seed)
    masks, heatmaps = [], []
    for height, width in [(20, 24), (15, 9), (30, 12)]:
        mask = ndimage.gaussian_filter(rng.normal(size=(height, width)), 1.5) > 0.25
        masks.append(mask.astype(np.uint8) * 255)
        heatmap = ndimage.gaussian_filter(rng.normal(size=mask.shape) + 2 * mask, 1)
        heatmaps.append(np.round(heatmap, decimals).astype(np.float32))
    heatmaps.append(np.round(rng.normal(size=(11, 13)) / 2, decimals).astype(np.float32))
    return [*masks, None], heatmaps


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("decimals", [6, 2, 1, 0])
def test_aupro_equals_the_plain_reference(decimals, limit):
    masks, heatmaps = _pictures(decimals, decimals)
    fpr, overlap = _plain_curve(*_plain_regions(masks, heatmaps))
    assert metrics.aupro(masks, heatmaps, limit) == pytest.approx(_plain_area(fpr, overlap, limit), abs=1e-9)


@pytest.mark.parametrize("decimals", [6, 1])
def test_pro_curve_passes_through_every_point_of_the_plain_one(decimals):
    masks, heatmaps = _pictures(7, decimals)
    curve = metrics.pro_curve(masks, heatmaps)
    fpr, overlap = _plain_curve(*_plain_regions(masks, heatmaps))
    last = np.append(np.diff(fpr) > 0, True)  # the top of each vertical step
    np.testing.assert_allclose(np.interp(fpr[last], curve.fpr, curve.pro), overlap[last], atol=1e-12)
    assert (curve.fpr[0], curve.pro[0]) == (0, 0)
    assert (curve.fpr[-1], curve.pro[-1]) == (1, pytest.approx(1))
    assert (np.diff(curve.fpr) >= 0).all()
    assert (np.diff(curve.pro) >= 0).all()
    assert _plain_area(curve.fpr, curve.pro, 0.3) == pytest.approx(metrics.aupro(masks, heatmaps), abs=1e-9)


@pytest.mark.parametrize("limit", [0.05, 0.3])
@pytest.mark.parametrize("chunk", [41, 500])
def test_chunks_on_disk_change_nothing(chunk, limit):
    masks, heatmaps = _pictures(8, 1)
    overlap = metrics.RegionOverlap(chunk=chunk)
    for mask, heatmap in zip(masks, heatmaps, strict=True):
        overlap.update(mask, heatmap)
    assert overlap.ranking().auroc == pytest.approx(metrics.pixel_auroc(masks, heatmaps), abs=1e-12)
    assert overlap.compute(limit) == pytest.approx(metrics.aupro(masks, heatmaps, limit), abs=1e-12)
    np.testing.assert_allclose(overlap.curve().pro, metrics.pro_curve(masks, heatmaps).pro)


@pytest.mark.parametrize("guess", [-1e9, 0.0, 1e9])
def test_a_bad_guess_of_what_matters_costs_time_but_not_exactness(monkeypatch, guess):
    masks, heatmaps = _pictures(9, 1)
    expected = metrics.aupro(masks, heatmaps, 0.1)
    monkeypatch.setattr(_spool.Spool, "quantile", lambda *_: guess)
    assert metrics.aupro(masks, heatmaps, 0.1) == expected


@pytest.mark.parametrize("bins", [3, 64, 500])
@pytest.mark.parametrize("scale", [1e-35, 1.0, 1e5, 0.8e38])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_far_from_any_threshold_are_counted_without_sorting(monkeypatch, bins, scale, dtype):
    rng = np.random.default_rng(bins)
    spool = _spool.Spool()
    values = (np.round(rng.normal(size=1000), 2) * scale).astype(np.float32)
    spool.append(values)
    thresholds = np.sort(rng.choice(np.unique(values), 20, replace=False)).astype(dtype)
    monkeypatch.setattr(_spool, "BINS", bins)
    above, at_least = _spool.counts(spool, thresholds)
    np.testing.assert_array_equal(above, [(values > threshold).sum() for threshold in thresholds])
    np.testing.assert_array_equal(at_least, [(values >= threshold).sum() for threshold in thresholds])


def test_regions_touching_at_a_corner_are_one_and_small_ones_count_as_much_as_large_ones():
    mask = np.array([[1, 0, 0, 1, 1, 1], [0, 1, 0, 1, 1, 1]])
    heatmap = np.array([[9, 0, 0, 0, 0, 0], [1, 9, 1, 0, 0, 0]])
    assert metrics.pro_curve([mask], [heatmap]).pro[1] == 0.5
    assert metrics.aupro([mask], [heatmap], 0.5) == 0.5


def test_a_perfect_heatmap_scores_one_and_an_inverted_one_zero():
    mask = np.zeros((16, 16), np.uint8)
    mask[3:6, 4:9] = 1
    assert metrics.aupro([mask], [mask.astype(np.float32)]) == pytest.approx(1.0)
    assert metrics.aupro([mask], [1.0 - mask]) == 0.0


def test_au_spro_equals_the_plain_reference():
    rng = np.random.default_rng(0)
    masks, heatmaps, saturations, normal, defects = [], [], [], [], []
    for decimals in (6, 1, 0):
        channels = np.stack([ndimage.gaussian_filter(rng.normal(size=(24, 20)), 2) > 0.1 for _ in range(3)])
        heatmap = np.round(rng.normal(size=(24, 20)) + channels.any(axis=0), decimals)
        areas = channels.sum(axis=(1, 2))
        masks.append(channels)
        heatmaps.append(heatmap)
        saturations.append([Saturation(7), Saturation(0.3, relative=True), Saturation(10_000)])
        normal.append(heatmap[~channels.any(axis=0)])
        pixels = [7, int(0.3 * areas[1]), areas[2]]
        defects += [(heatmap[channel], size) for channel, size in zip(channels, pixels, strict=True)]
    masks.append(None)
    saturations.append(())
    heatmaps.append(rng.normal(size=(9, 9)))
    normal.append(heatmaps[-1].ravel())
    fpr, overlap = _plain_curve(np.concatenate(normal), defects)
    for limit in (0.05, 0.3):
        expected = _plain_area(fpr, overlap, limit)
        assert metrics.au_spro(masks, heatmaps, saturations, limit) == pytest.approx(expected, abs=1e-9)


def test_a_defect_is_found_once_its_saturation_is_covered():
    mask = np.zeros((1, 4, 10), bool)
    mask[0, 0] = True
    heatmap = np.zeros((4, 10))
    heatmap[0, :4] = 1.0
    for saturation, area in [
        (Saturation(4), 1.0),
        (Saturation(8), 0.5),
        (Saturation(0.4, relative=True), 1.0),
    ]:
        overlap = metrics.RegionOverlap()
        overlap.update_defects(mask, heatmap, [saturation])
        assert overlap.curve().pro[1] == pytest.approx(area)


@pytest.mark.parametrize(
    ("saturation", "area", "pixels"),
    [
        (Saturation(50), 20, 20),
        (Saturation(50), 80, 50),
        (Saturation(0.5, relative=True), 9, 4),
        (Saturation(0.01, relative=True), 9, 1),
        (Saturation(float("inf")), 9, 9),
    ],
)
def test_saturation_in_pixels(saturation, area, pixels):
    assert saturation.pixels(area) == pixels


def test_refusals():
    mask, heatmap = np.eye(4, dtype=bool), np.zeros((4, 4))
    with pytest.raises(OptionError, match="limit"):
        metrics.aupro([mask], [heatmap], limit=0.0)
    with pytest.raises(InputError, match="no defective pixel"):
        metrics.aupro([None], [heatmap])
    with pytest.raises(InputError, match="no normal pixel"):
        metrics.pro_curve([np.ones((4, 4), bool)], [heatmap])
    with pytest.raises(InputError, match=r"heatmap 0.*shape"):
        metrics.aupro([mask], [heatmap[None]])
    with pytest.raises(InputError, match="NaN"):
        metrics.aupro([mask], [np.full((4, 4), np.nan)])
    with pytest.raises(InputError, match="one for each of its 1 masks"):
        metrics.au_spro([mask[None]], [heatmap], [[]])
    with pytest.raises(InputError, match="above 0"):
        metrics.au_spro([mask[None]], [heatmap], [[Saturation(0)]])
    with pytest.raises(InputError, match="an empty one"):
        metrics.au_spro([np.zeros((1, 4, 4), bool)], [heatmap], [None])


def test_pixels_that_are_left_out_count_neither_way() -> None:
    random = np.random.default_rng(4)
    mask, heatmap = random.random((2, 12, 16)) > 0.6, random.random((2, 12, 16))
    left_out = random.random((2, 12, 16)) > 0.7
    kept, cut = RegionOverlap(), RegionOverlap()
    for area, values, out in zip(mask, heatmap, left_out, strict=True):
        kept.update(area, values, out)
        row = ~out  # the same pixels in one line, whose regions differ: only the ranking is alike
        cut.update(area[row][None], values[row][None])
    assert kept.ranking() == pytest.approx(cut.ranking())
    with pytest.raises(InputError):
        kept.update(mask[0], heatmap[0], left_out[0, :5])


def test_a_region_is_what_is_not_left_out_of_it() -> None:
    mask = np.array([[1, 1, 1, 1, 0, 0]])
    heatmap = np.array([[0.9, 0.9, 0.1, 0.1, 0.5, 0.7]])
    overlap = RegionOverlap()
    overlap.update(mask, heatmap, np.array([[0, 0, 1, 1, 0, 1]]) > 0)
    assert overlap.compute(1.0) == 1.0  # all that counts of it is found above the one normal pixel
    defects = RegionOverlap()
    defects.update_defects(mask[None] > 0, heatmap, left_out=np.array([[0, 0, 0, 0, 1, 0]]) > 0)
    assert defects.compute(1.0) == 0.5
