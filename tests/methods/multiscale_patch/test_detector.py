"""The whole method against literal references, and pictures that have no or little content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError, WeightsError
from flawscope.methods.multiscale_patch import MultiScalePatch
from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions
from flawscope.methods.registry import create, options_of
from flawscope.methods.running import score, write_files
from flawscope.nn.run import Run
from flawscope.runtime.explain.examples import example

Make = Callable[..., MultiScalePatch]
Array = NDArray[np.float64]


@torch.inference_mode()
def literal_maps(detector: MultiScalePatch, good: Array, picture: Array) -> dict[int, Array]:
    """Equations 6 and 7 patch by patch: a map (H, W) for each scale."""
    height, width = picture.shape[1:]
    maps = {}
    for scale in detector.options.scales:
        stride = detector.options.stride(scale)

        def vectors(pixels: Array, scale: int = scale, stride: int = stride) -> dict[tuple[int, int], Array]:
            found = {}
            centred = detector.networks.encoders.centred(torch.from_numpy(pixels[None]).float())
            for top in range(0, pixels.shape[1] - scale + 1, stride):
                for left in range(0, pixels.shape[2] - scale + 1, stride):
                    patch = centred[:, :, top : top + scale, left : left + scale]
                    found[top, left] = detector.networks.encoders.embed(scale, patch)[0].double().numpy()
            return found

        known = np.stack([vector for pixels in good for vector in vectors(pixels).values()])
        total, count = np.zeros((height, width)), np.zeros((height, width))
        for (top, left), vector in vectors(picture).items():
            window = np.s_[top : top + scale, left : left + scale]
            total[window] += np.sqrt(np.square(known - vector).sum(1)).min()
            count[window] += 1
        assert (count > 0).all()
        maps[scale] = total / count
    return maps


def literal_score(heatmap: Array, side: int, step: int) -> float:
    rows, columns = heatmap.shape
    means = [
        heatmap[top : top + side, left : left + side].mean()
        for top in range(0, rows - side + 1, step)
        for left in range(0, columns - side + 1, step)
    ]
    return float(max(means))


@pytest.fixture
def picture(training_data: Callable[..., TrainingData]) -> Array:
    """Another picture, with a dark spot."""
    pixels = training_data(1, name="other", seed=9).normal[0].astype(np.float64)
    pixels[:, 30:40, 20:28] = 0
    return pixels


def test_maps_and_score_are_the_papers(tiny: Make, data: TrainingData, picture: Array) -> None:
    data = TrainingData(data.normal.subset([0, 1]), data.tuning)
    detector = tiny(embedding=16).fit(data, Run(precision="fp32"))
    good = np.stack(list(data.normal)).astype(np.float64)
    maps = literal_maps(detector, good, picture)
    expected = maps[32] + maps[16]
    answer = detector(torch.from_numpy(picture).float()[None])
    np.testing.assert_allclose(answer["heatmap"][0].numpy(), expected, rtol=1e-3, atol=1e-5)
    assert float(answer["score"]) == pytest.approx(literal_score(expected, 8, 4), rel=1e-3)


def test_patch_svdd_is_the_same_code(data: TrainingData, training_data: Callable[..., TrainingData]) -> None:
    """Two scales, the larger on the smaller; maps multiplied; the score is the highest pixel."""
    preset = options_of(
        "multiscale_patch", "patch_svdd", {"size": (128, 128), "strides": (32, 16), "steps": 2, "batch": 2}
    )
    detector = create("multiscale_patch", preset)
    assert isinstance(detector, MultiScalePatch)
    assert detector.options.losses == ("svdd", "ssl")
    frame = detector.options.frame
    data = TrainingData(data.normal.resized(frame).subset([0, 1]), data.tuning)
    detector.fit(data, Run(precision="fp32"))
    assert set(detector.learnt.history[0]) == {
        "step", "total", "svdd_64", "ssl_64", "svdd_32", "ssl_32", "learning_rate",
    }  # fmt: skip
    last = detector.learnt.history[-1]
    expected = sum(1e-3 * last[f"svdd_{scale}"] + last[f"ssl_{scale}"] for scale in (64, 32))
    assert last["total"] == pytest.approx(expected, rel=1e-5)
    other = training_data(1, name="other", seed=9).normal.resized(frame)[0].astype(np.float64)
    maps = literal_maps(detector, np.stack(list(data.normal)).astype(np.float64), other)
    product = maps[64] * maps[32]
    answer = detector(torch.from_numpy(other).float()[None])
    np.testing.assert_allclose(answer["heatmap"][0].numpy(), product, rtol=2e-3, atol=1e-7)
    assert float(answer["score"]) == pytest.approx(float(product.max()), rel=2e-3)


def test_the_nearest_patch_is_told_by_its_number(tiny: Make, data: TrainingData) -> None:
    for changes in ({}, {"coreset": 0.5}):
        detector = tiny(**changes).fit(data, Run(precision="fp32"))
        answer = score(detector, data.normal, Run())
        for scale, (rows, columns) in detector.grids.items():
            numbers = answer[f"nearest_{scale}"]
            assert numbers.shape == (5, rows, columns)
            own = np.arange(numbers.size).reshape(numbers.shape)
            exact = answer[f"distance_{scale}"] <= float(detector._bank(scale).least) * (1 + 1e-6)
            assert (numbers == own)[exact].mean() > 0.9  # copies may stand for each other
            assert exact.mean() > (0.9 if not changes else 0.4)


def test_good_pictures_that_the_model_knows_score_alike(tiny: Make, data: TrainingData) -> None:
    """All their distances are 0 but for rounding, which must not rank them."""
    detector = tiny().fit(data, Run(precision="fp32"))
    scores = score(detector, data.normal, Run())["score"]
    assert np.ptp(scores) == 0
    assert scores[0] == pytest.approx(sum(float(detector._bank(scale).least) for scale in (32, 16)), rel=1e-5)


def test_pixels_that_no_patch_covers_take_their_neighbours_value(tiny: Make, data: TrainingData) -> None:
    detector = tiny(size=(67, 70))
    data = TrainingData(data.normal.resized(detector.options.frame), data.tuning)
    heatmap = score(detector.fit(data, Run()), data.normal, Run())["heatmap"]
    assert heatmap.shape == (5, 67, 70)
    np.testing.assert_array_equal(heatmap[:, 64:], np.repeat(heatmap[:, 63:64], 3, 1))


def test_pictures_without_content(tiny: Make, black: TrainingData, data: TrainingData) -> None:
    detector = tiny().fit(black, Run())
    own = score(detector, black.normal, Run())
    assert (own["score"] == own["score"][0]).all()
    assert (own["heatmap"] <= 1e-3).all()
    other = score(detector, data.normal, Run())
    assert np.isfinite(other["score"]).all()
    assert (other["score"] > own["score"][0]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (48, 64), "scales": (64,), "losses": ("kmeans",)}, "at least 64 pixels a side"),
        ({"size": (64, 100), "scales": (64, 32)}, "at least 128 pixels a side for patches of 64"),
        ({"size": (64, 64), "scales": (64,), "losses": ("svdd", "kmeans")}, "at least 65 pixels"),
        ({"size": (70, 70), "scales": (64,), "losses": ("cos", "kmeans")}, "at least 75 pixels"),
    ],
)
def test_pictures_smaller_than_the_patches_need(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        create("multiscale_patch", {"weights": "random", **options})


def test_a_picture_of_one_patch(tiny: Make, data: TrainingData) -> None:
    detector = tiny(scales=(64,), layers=None, backbone="vgg16", losses=("kmeans",), window=(64, 1)).fit(
        data, Run()
    )
    answer = score(detector, data.normal, Run())
    assert answer["distance_64"].shape == (5, 1, 1)
    assert answer["heatmap"].shape == (5, 64, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": (16, 32)}, "scales must fall"),
        ({"scales": (32, 32)}, "scales must fall"),
        ({"strides": (4,)}, "one value for each"),
        ({"layers": ("features.4",)}, "one value for each"),
        ({"strides": (16, 33, 4)}, "lest pixels stay uncovered"),
        ({"hierarchical": True, "scales": (64, 16)}, "one half the other"),
        ({"hierarchical": True, "scales": (64,)}, "one half the other"),
        ({"distance": (1.0, 0.5)}, "distance must rise"),
        ({"losses": ("svdd", "svdd")}, "named once"),
        ({"batch": 64, "together": 10}, "batch must be a multiple of together"),
        ({"losses": ("cos",), "closeness": 0.0}, "closeness must be above 0"),
        ({"window": (4, 8)}, "stride must lie between"),
        ({"directions": 9}, "8 or 12"),
        ({"standardise": True, "bounded": True}, "embeddings are bounded"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        create("multiscale_patch", options)


def test_defaults_are_the_papers() -> None:
    options = MultiScalePatchOptions()
    assert [options.stride(scale) for scale in options.scales] == [16, 4, 4]
    assert [options.nearby(scale) for scale in options.scales] == [4, 2, 1]
    assert (options.batch, options.patches, options.together) == (64, 100, 1)
    assert (options.kmeans_every, options.kmeans_patches) == (5, 100)
    assert (options.learning_rate, options.closeness, options.directions) == (1e-5, 1e-3, 12)


def test_without_weights_the_error_names_the_backbone(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLAWSCOPE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("FLAWSCOPE_CACHE", str(tmp_path))
    monkeypatch.setattr(
        "flawscope.nn.backbones.weights.fetch",
        lambda name: (_ for _ in ()).throw(WeightsError(name, expected="a", got="b", fix="c")),
    )
    detector = create("multiscale_patch", {"size": (64, 64), "scales": (16,)})
    with pytest.raises(WeightsError, match="vgg16"):
        detector.fit(data, Run())


def test_weights_of_vgg16_in_half_precision_reach_its_encoders(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file of convolutions alone, named after the network and more, in one of the weights' folders."""
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128)}
    generator = torch.Generator().manual_seed(1)
    tensors = {
        f"features.{number}.weight": 0.01 * torch.randn(*shape, 3, 3, generator=generator).half()
        for number, shape in shapes.items()
    }
    tensors |= {f"features.{number}.bias": torch.zeros(shape[0]).half() for number, shape in shapes.items()}
    save_file(tensors, tmp_path / "vgg16_other_features.safetensors")
    monkeypatch.setenv("FLAWSCOPE_WEIGHTS", str(tmp_path))
    detector = create("multiscale_patch", {"size": (64, 64), "scales": (16,), "steps": 0, "embedding": 8})
    detector.fit(data, Run())
    state = {name: value for name, value in detector.state_dict().items() if "features" in name}
    assert len(state) == len(tensors)
    for name, value in state.items():
        torch.testing.assert_close(value, tensors[name[name.index("features") :]].float())


def test_good_pictures_go_beside_the_graph(tiny: Make, data: TrainingData, tmp_path: Path) -> None:
    detector = tiny(examples=3, steps=1).fit(data, Run())
    write_files(detector, tmp_path)
    for index in range(3):
        found = example(tmp_path, (64, 64), index)
        assert found is not None
        assert np.abs(found / 255 - data.normal[index].transpose(1, 2, 0)).mean() < 0.05
    assert tiny().learnt.files == {}


def test_too_many_patches_for_memory(tiny: Make, data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flawscope.methods.multiscale_patch.detector.available_bytes", lambda: 1000)
    with pytest.raises(OptionError, match="Lower `embedding`"):
        tiny().fit(data, Run())


def test_no_picture(tiny: Make, training_data: Callable[..., TrainingData]) -> None:
    with pytest.raises(DataError, match="at least 1 good pictures for multiscale_patch, got 0"):
        tiny().fit(training_data(0), Run())
