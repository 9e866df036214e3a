"""PaDiM against numpy's covariance and scipy's Mahalanobis distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial.distance import mahalanobis

from flawscope.data.pictures import PictureFiles
from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError
from flawscope.methods.padim import PaDiM
from flawscope.methods.registry import create
from flawscope.methods.running import taught
from flawscope.nn.run import Run

SMALL = {"weights": "random", "size": (32, 32), "channels": 20}


def fitted(data: TrainingData) -> PaDiM:
    detector = create("padim", SMALL)
    assert isinstance(detector, PaDiM)
    return detector.fit(data, Run(precision="fp32"))


def test_map_holds_mahalanobis_distances_of_each_place(training_data: Callable[..., TrainingData]) -> None:
    data = training_data(19)
    data = TrainingData(data.normal.resized(create("padim", SMALL).options.frame), data.tuning)
    detector = fitted(data)

    def vectors(pixels: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            maps = [m.double().numpy() for m in detector.backbone(pixels).values()]
        joined = np.concatenate([m.repeat(8 // m.shape[2], 2).repeat(8 // m.shape[3], 3) for m in maps], 1)
        return joined[:, detector.channels.numpy()]  # (N, d, 8, 8)

    learned = vectors(torch.from_numpy(np.stack(list(data.normal))))
    other = training_data(1, name="other", seed=4).normal.resized(detector.options.frame)
    test = torch.from_numpy(other[0])[None]
    seen = vectors(test)[0]
    expected = np.empty((8, 8))
    for row, column in np.ndindex(8, 8):
        place = learned[:, :, row, column]
        covariance = np.cov(place, rowvar=False) + 0.01 * np.eye(20)
        expected[row, column] = mahalanobis(seen[:, row, column], place.mean(0), np.linalg.inv(covariance))
    smooth = gaussian_filter(zoom(expected, 4, order=1, mode="nearest", grid_mode=True), 4, mode="reflect")
    answer = detector(test)
    np.testing.assert_allclose(answer["heatmap"][0].numpy(), smooth, rtol=1e-3)
    assert float(answer["score"]) == float(answer["heatmap"].max())


def test_channels_are_drawn_by_the_seed(training_data: Callable[..., TrainingData]) -> None:
    data = training_data(3)
    draws = [
        create("padim", {**SMALL, "size": (64, 64)}).fit(data, Run(seed=seed)).get_buffer("channels").tolist()
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert sorted(set(draws[0])) == draws[0]
    assert max(draws[0]) > 128


def test_taught_pictures_give_the_moments_of_all_together(training_data: Callable[..., TrainingData]) -> None:
    found = training_data(30), training_data(9, name="more", seed=5)
    frame = create("padim", SMALL).options.frame
    first, more = (replace(data, normal=data.normal.resized(frame)) for data in found)
    both = PictureFiles((*first.normal.samples, *more.normal.samples), frame)
    together = fitted(replace(first, normal=both))
    detector = fitted(first)
    for some in (range(4), range(4, 9)):  # one after the other
        detector = taught(detector, replace(more, normal=more.normal.subset(some)), Run(precision="fp32"))
    assert int(detector.count) == 39
    torch.testing.assert_close(detector.mean, together.mean, rtol=1e-5, atol=1e-5)
    covariance, expected = (one._covariance(one.whitening) for one in (detector, together))
    torch.testing.assert_close(covariance, expected, rtol=1e-4, atol=1e-5)
    pixels = torch.from_numpy(more.normal[0])[None]
    for name, value in together(pixels).items():
        torch.testing.assert_close(detector(pixels)[name], value, rtol=1e-3, atol=1e-4)
    single = taught(fitted(first), replace(more, normal=more.normal.subset(range(1))), Run())
    assert int(single.count) == 31


def test_one_picture_has_no_covariance(training_data: Callable[..., TrainingData]) -> None:
    with pytest.raises(DataError, match="at least 2 good pictures for padim, got 1"):
        fitted(training_data(1))


def test_covariances_that_cannot_fit(
    training_data: Callable[..., TrainingData], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flawscope.methods.padim.available_bytes", lambda: 1000)
    with pytest.raises(OptionError, match="Lower `channels` or `size`"):
        fitted(training_data(2))


def test_more_channels_than_there_are() -> None:
    with pytest.raises(OptionError, match="at most the 448 channels"):
        create("padim", {**SMALL, "channels": 449})


def test_a_regularisation_too_small_for_few_pictures(training_data: Callable[..., TrainingData]) -> None:
    detector = create("padim", {**SMALL, "channels": 100, "regularisation": 1e-12})
    with pytest.raises(OptionError, match=r"got 1e-12\. Train with a higher one"):
        detector.fit(training_data(6), Run(precision="fp32"))
