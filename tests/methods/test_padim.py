"""PaDiM against numpy's covariance and scipy's Mahalanobis distance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial.distance import mahalanobis

from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError
from flawscope.methods.padim import PaDiM
from flawscope.methods.registry import create
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
