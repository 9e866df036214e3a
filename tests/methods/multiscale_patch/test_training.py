"""A step's losses, parts of it, K-means, and a stopped training that goes on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from flawscope.data.training import TrainingData
from flawscope.errors import DataError
from flawscope.methods.multiscale_patch import MultiScalePatch, patches, training
from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions
from flawscope.methods.multiscale_patch.training import (
    _PLACES,
    Networks,
    Objective,
    at_once,
    descend,
    standardise,
)
from flawscope.methods.registry import options_of
from flawscope.nn.run import Run
from flawscope.nn.training.stores import PixelStore

Make = Callable[..., MultiScalePatch]


def networks_of(detector: MultiScalePatch) -> Networks:
    networks = detector.networks.requires_grad_(True)
    for scale in detector.options.scales:
        networks.centres(scale).copy_(torch.rand(detector.options.clusters, detector.options.embedding))
    return networks


def literal(detector: MultiScalePatch, pixels: torch.Tensor, number: int, run: Run) -> dict[str, float]:
    """The step's losses patch by patch, after the equations."""
    options, embed = detector.options, detector.networks.encoders.embed
    found = dict[str, float]()
    for scale in options.scales:
        places = patches.draw(options, scale, len(pixels), run.generator(_PLACES, scale, number))
        assert places.label is not None
        sums = dict.fromkeys(("svdd", "cos", "ssl", "kmeans"), 0.0)
        for index, owner in enumerate(places.owners):
            vectors = {}
            for kind, corners in places.corners.items():
                top, left = corners[index].tolist()
                patch = pixels[owner, :, top : top + scale, left : left + scale]
                vectors[kind] = embed(scale, patch[None])[0]
            i, j, k, m, n, r = (vectors[kind] for kind in "ijkmnr")
            sums["svdd"] += float((i - j).square().sum().sqrt())
            sums["cos"] += float(i @ k / i.norm() / k.norm() - i @ j / i.norm() / j.norm())
            logits = detector.networks.classifiers[str(scale)](m[None], n[None])[0]
            sums["ssl"] -= float(logits.log_softmax(0)[places.label[index]])
            sums["kmeans"] += float((r - detector.networks.centres(scale)).norm(dim=1).min())
        found |= {f"{name}_{scale}": value / len(places.owners) for name, value in sums.items()}
    return found


@pytest.mark.parametrize("at_once", [1 << 30, 6 * 32 * 32])
def test_a_step_is_the_equations(tiny: Make, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("flawscope.methods.multiscale_patch.training._AT_ONCE", at_once)
    detector, run, pixels = tiny(), Run(precision="fp32"), torch.rand(2, 3, 64, 64)
    networks = networks_of(detector)
    losses = descend(Objective(networks, detector.options, run), pixels, 7, run)
    with torch.no_grad():
        expected = literal(detector, pixels, 7, run)
    assert {name: float(value) for name, value in losses.items() if name != "total"} == pytest.approx(
        expected, rel=1e-4, abs=1e-5
    )
    total = sum(
        (1e-3 if name.startswith(("svdd", "cos")) else 1.0) * value for name, value in expected.items()
    )
    assert float(losses["total"].detach()) == pytest.approx(total, rel=1e-4)


def test_parts_of_a_step_have_the_gradient_of_the_whole(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run, pixels, found = Run(precision="fp32"), torch.rand(2, 3, 64, 64), []
    detector = tiny()
    networks = networks_of(detector)
    for pixels_at_once in (1 << 30, 2 * 6 * 32 * 32):
        monkeypatch.setattr("flawscope.methods.multiscale_patch.training._AT_ONCE", pixels_at_once)
        networks.zero_grad()
        descend(Objective(networks, detector.options, run), pixels, 0, run)["total"].backward()
        found.append([value.grad.clone() for value in networks.parameters() if value.grad is not None])
    assert len(found[0]) == len(list(networks.parameters()))
    for whole, parted in zip(*found, strict=True):
        torch.testing.assert_close(parted, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("without", ["svdd", "cos", "ssl", "kmeans"])
def test_each_loss_can_be_left_out(tiny: Make, data: TrainingData, without: str) -> None:
    losses = tuple(name for name in ("svdd", "cos", "ssl", "kmeans") if name != without)
    detector = tiny(losses=losses, steps=2).fit(data, Run())
    kinds = {name.split("_")[0] for name in detector.learnt.history[0]} - {"step", "total", "learning"}
    assert kinds == set(losses)


def test_learning_lowers_the_loss(tiny: Make, data: TrainingData) -> None:
    detector = tiny(steps=30, learning_rate=1e-3, losses=("svdd", "kmeans"), closeness=1.0, kmeans_every=100)
    detector.fit(data, Run())
    assert detector.learnt.history[-1]["total"] < 0.7 * detector.learnt.history[0]["total"]


def test_centres_come_every_five_epochs(tiny: Make) -> None:
    options = tiny(kmeans_every=5).options
    found = [number for number in range(40) if training.due(number, options, 5)]
    assert found == [0, 13, 25, 38]  # 25 pictures are 12.5 steps


def test_an_epoch_takes_a_hundred_pairs_of_every_picture() -> None:
    """320 pictures: 500 steps of 64 pairs, or five of 64 pictures with a hundred pairs each."""
    for preset, pictures, steps in ((None, 64, 150_000), ("batch_of_pictures", 64, 1500)):
        options = MultiScalePatchOptions(**options_of("multiscale_patch", preset, {}))
        assert options.pictures == pictures
        assert training.steps_in_all(options, 320) == steps
        renewed = [number for number in range(steps // 20) if training.due(number, options, 320)]
        assert renewed == list(range(0, steps // 20, steps // 60))


def test_a_step_takes_pairs_of_different_pictures(tiny: Make) -> None:
    for together, owners in ((1, [0, 1, 2, 3, 4, 5]), (3, [0, 0, 0, 1, 1, 1])):
        options = tiny(batch=6, together=together).options
        places = patches.draw(options, 16, options.pictures, torch.Generator().manual_seed(0))
        assert places.owners.tolist() == owners
        assert all(len(corners) == 6 for corners in places.corners.values())


def test_sixty_pictures_are_enough_for_the_default(
    tiny: Make, training_data: Callable[..., TrainingData]
) -> None:
    """A product of 60 good pictures, 57 after calibration, has patches enough for 100 centres."""
    options = MultiScalePatchOptions()
    settings = {name: getattr(options, name) for name in ("patches", "kmeans_patches", "clusters", "batch")}
    detector = tiny(**settings, together=options.together, scales=(16,), layers=("features.2",), steps=1)
    detector.fit(training_data(57), Run())
    assert len(detector.networks.centres(16).unique(dim=0)) == 100


def test_centres_are_those_of_kmeans(tiny: Make, data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    networks, run = tiny(clusters=2, kmeans_patches=20).networks, Run()

    def embed(scale: int, patches: torch.Tensor) -> torch.Tensor:
        """Two far groups, by the patches' first pixel."""
        bright = (patches[:, 0, 0, 0] > 0.4).float()[:, None]
        return bright * torch.tensor([[9.0, 0.0]]) + 0.01 * patches[:, :2, 1, 1]

    def found(together: int) -> torch.Tensor:
        monkeypatch.setattr(training, "_AT_ONCE", together * 20 * 16**2)
        generator = run.generator(1)
        rows = training.sampled(networks, PixelStore(data.normal, run), 16, generator, run=run)
        assert rows.shape == (20 * len(data.normal), 2)
        return training.centres(rows, 2, generator)

    monkeypatch.setattr(networks.encoders, "embed", embed)
    assert torch.equal(found(2), found(2))
    for together in (1, 3, 100):
        first, second = sorted(found(together).tolist())
        assert first == pytest.approx([0, 0], abs=0.02)
        assert second == pytest.approx([9, 0], abs=0.02)


def test_embeddings_begin_standardised(tiny: Make, data: TrainingData) -> None:
    """Every component has mean 0 and variance 1 over random patches; a constant one is left alone."""
    for changes in ({}, {"layers": ("features.2",), "hierarchical": True, "strides": (16, 8)}):
        options = tiny(kmeans_patches=200, **changes).options
        networks = Networks(options)
        store, run = PixelStore(data.normal, Run()), Run()
        standardise(networks, store, options, run)
        for scale in options.encoders:
            encoder = networks.encoders.by_scale[str(scale)]
            rows = training.sampled(networks, store, scale, run.generator(5), run=run)
            assert rows.mean(0).abs().max() < 0.2
            assert (rows.std(0) - 1).abs().max() < 0.2
    constant = torch.full((10, options.embedding), 3.0)
    before = encoder.head.weight.clone()
    encoder.standardise(constant)
    assert torch.equal(encoder.head.weight, before)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_trunks_learn_at_their_share_of_the_rate(tiny: Make, data: TrainingData, share: float) -> None:
    """Adam's first step moves every weight by the learning rate."""
    start = tiny(steps=0).fit(data, Run()).networks
    learnt = tiny(steps=1, learning_rate=1e-3, trunk_rate=share).fit(data, Run()).networks
    before = dict(start.named_parameters())
    for name, value in learnt.named_parameters():
        moved = float((value - before[name]).abs().max())
        assert moved == pytest.approx(1e-3 * (share if ".body." in name else 1.0), rel=0.01, abs=1e-8)


def test_the_mean_picture_is_that_of_the_good_ones(tiny: Make, data: TrainingData) -> None:
    detector = tiny(steps=0, mean_picture=True).fit(data, Run())
    mean = np.mean(list(data.normal), axis=0)
    colour = np.array([0.485, 0.456, 0.406])[:, None, None]
    np.testing.assert_allclose(detector.networks.encoders.offset[0].numpy(), mean - colour, atol=2.1 / 255)
    pixels = torch.from_numpy(data.normal[0])[None]
    again = tiny(steps=0, mean_picture=True)
    again.networks.load_state_dict(detector.networks.state_dict())
    assert torch.equal(
        again.networks.encoders.grids(pixels)[16], detector.networks.encoders.grids(pixels)[16]
    )


def test_noise_lies_on_the_patches_whose_position_is_told_alone(tiny: Make) -> None:
    """A shift of each colour and noise on each pixel, both of the σ of Patch SVDD's code."""
    detector = tiny(noise=0.02, batch=600, together=300)
    objective = Objective(detector.networks, detector.options, Run())
    found = objective._noise(torch.zeros(6 * 300, 3, 16, 16), list("ijkmnr"))
    by_kind = dict(zip("ijkmnr", found.chunk(6), strict=True))
    assert {kind for kind, values in by_kind.items() if values.any()} == {"m", "n"}
    shifts = by_kind["m"].mean((2, 3))  # (300, 3)
    assert float(shifts.std()) == pytest.approx(0.02, rel=0.15)
    assert float((by_kind["m"] - shifts[:, :, None, None]).std()) == pytest.approx(0.02, rel=0.05)
    assert not torch.allclose(by_kind["m"], by_kind["n"])


def test_no_step_leaves_the_encoders_as_they_start(tiny: Make, data: TrainingData) -> None:
    detector = tiny(steps=0, clusters=1000).fit(data, Run())
    again = tiny(steps=0, clusters=1000).fit(data, Run())
    other = tiny(steps=0, clusters=1000, standardise=True).fit(data, Run())
    assert detector.learnt.history == []
    first, second, third = (each.networks.state_dict() for each in (detector, again, other))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    changed = {name for name, value in first.items() if not torch.equal(value, third[name])}
    assert changed == {f"encoders.by_scale.{s}.head.{part}" for s in (32, 16) for part in ("weight", "bias")}


def test_more_clusters_than_patches(tiny: Make, data: TrainingData) -> None:
    with pytest.raises(
        DataError, match=r"at least 16 for as many clusters, got 15 \(3 in each of 5 pictures\)"
    ):
        tiny(clusters=16).fit(data, Run())
    tiny(clusters=16, losses=("ssl",), steps=1).fit(data, Run())


def test_batch_norms_of_random_encoders_learn_their_statistics(tiny: Make, data: TrainingData) -> None:
    detector = tiny(backbone="resnet18", padding=True, scales=(16,), layers=None, steps=1).fit(data, Run())
    means = [value for name, value in detector.state_dict().items() if name.endswith("running_mean")]
    assert means
    assert any(value.abs().max() > 0 for value in means)
    assert not any(module.training for module in detector.modules())


def test_compiled_encoders_learn_the_same(
    tiny: Make, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def passed_on(function: Callable[..., torch.Tensor], **options: bool) -> Callable[..., torch.Tensor]:
        compiled.append(options)
        return function

    monkeypatch.setattr(torch, "compile", passed_on)
    plain = tiny(steps=2).fit(data, Run())
    assert not compiled
    quick = tiny(steps=2, compile=True).fit(data, Run())
    assert compiled == [{"dynamic": False}]
    assert quick.learnt.history == plain.learnt.history


def test_a_gpu_takes_more_pixels_at_once() -> None:
    assert at_once(torch.device("cuda")) > at_once(torch.device("cpu")) > 0
