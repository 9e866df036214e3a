"""Encoders: what is left of a patch, and one pass over a picture against patch by patch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from flawscope.errors import OptionError
from flawscope.methods.multiscale_patch.encoders import Encoder, Encoders
from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions
from flawscope.methods.multiscale_patch.patches import crop
from flawscope.methods.multiscale_patch.trunks import FirstStages

SVDD: dict[str, Any] = {
    "backbone": "patch_svdd",
    "weights": "random",
    "scales": (64, 32),
    "hierarchical": True,
    "bounded": True,
}


def encoders(**options: Any) -> Encoders:
    return Encoders(MultiScalePatchOptions(**{"weights": "random", **options})).eval()


def one_by_one(found: Encoders, scale: int, pixels: torch.Tensor, stride: int) -> torch.Tensor:
    """The paper's evaluation, literally: cut one patch, encode it, go on."""
    rows = range(0, pixels.shape[2] - scale + 1, stride)
    columns = range(0, pixels.shape[3] - scale + 1, stride)
    grid = [
        [found.embed(scale, pixels[:, :, top : top + scale, left : left + scale]) for left in columns]
        for top in rows
    ]
    return torch.stack([torch.stack(line, -1) for line in grid], -2)  # (N, D, h, w)


@pytest.fixture(scope="module")
def vgg16() -> Encoders:
    return encoders()


@pytest.mark.parametrize("size", [(96, 96), (90, 101), (79, 66), (64, 64)])
@pytest.mark.parametrize(("scale", "stride"), [(64, 16), (32, 4), (16, 4)])
@torch.inference_mode()
def test_a_dense_pass_is_patch_by_patch(
    vgg16: Encoders, size: tuple[int, int], scale: int, stride: int
) -> None:
    pixels = torch.rand(1, 3, *size)
    encoder = vgg16.by_scale[str(scale)]
    assert isinstance(encoder, Encoder)
    assert encoder.exact
    cut = pixels[:, :, : scale + 3 * stride]  # a strip is enough of the slow one
    slow = one_by_one(vgg16, scale, cut, stride)
    dense = encoder.dense(cut, stride)
    assert dense.shape == slow.shape
    assert (dense - slow).abs().max() < 1e-4
    torch.testing.assert_close(
        encoder.dense(pixels, stride), encoder.piecewise(pixels, stride), atol=1e-4, rtol=0
    )


def test_vgg16_leaves_one_cell_of_each_patch(vgg16: Encoders) -> None:
    shapes = {
        scale: tuple(encoder.head.weight.shape[1:])
        for scale, encoder in vgg16.by_scale.items()
        if isinstance(encoder, Encoder)
    }
    assert shapes == {"64": (512, 1, 1), "32": (256, 1, 1), "16": (128, 1, 1)}


@torch.inference_mode()
def test_padded_encoders_are_piecewise_and_differ_from_a_dense_pass() -> None:
    found = encoders(backbone="resnet18", padding=True, scales=(32, 16))
    pixels = torch.rand(2, 3, 50, 45)
    for scale, grid in found.grids(pixels).items():
        torch.testing.assert_close(grid, one_by_one(found, scale, pixels, 4), atol=1e-4, rtol=1e-4)
        encoder = found.by_scale[str(scale)]
        assert isinstance(encoder, Encoder)
        assert not encoder.exact


@torch.inference_mode()
def test_blocks_of_patches_change_nothing(monkeypatch: pytest.MonkeyPatch, vgg16: Encoders) -> None:
    encoder = vgg16.by_scale["16"]
    assert isinstance(encoder, Encoder)
    pixels = torch.rand(2, 3, 60, 40)
    whole = encoder.piecewise(pixels, 4)
    monkeypatch.setattr("flawscope.methods.multiscale_patch.encoders.BLOCK_PIXELS", 5000)
    torch.testing.assert_close(encoder.piecewise(pixels, 4), whole)


def test_strides_between_the_networks_cells_are_piecewise(vgg16: Encoders) -> None:
    encoder = vgg16.by_scale["64"]
    assert isinstance(encoder, Encoder)
    pixels = torch.rand(1, 3, 72, 70)
    with torch.inference_mode():
        grid = encoder.grid(pixels, 3)  # the network's cells lie 8 pixels apart
        torch.testing.assert_close(grid, one_by_one(vgg16, 64, pixels, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(80, 80), (83, 98)])
@torch.inference_mode()
def test_the_hierarchical_encoder_is_the_small_one_on_four_quarters(size: tuple[int, int]) -> None:
    found = encoders(**SVDD)
    small, joined = found.by_scale["32"], found.joined
    assert joined is not None
    pixels = torch.rand(2, 3, *size)
    patch = pixels[:1, :, 16:80, 16:80]
    quarters = [small(patch[:, :, top : top + 32, left : left + 32]) for top in (0, 32) for left in (0, 32)]
    square = torch.stack(quarters, -1).reshape(1, 64, 2, 2)
    hidden = torch.einsum("ndij,cdij->nc", square, joined.join.weight) + joined.join.bias
    hidden = torch.where(hidden > 0, hidden, 0.1 * hidden)
    literal = torch.tanh(hidden @ joined.last.weight[:, :, 0, 0].T + joined.last.bias)
    torch.testing.assert_close(found.embed(64, patch), literal)
    grids = found.grids(pixels)
    assert list(grids) == [64, 32]
    torch.testing.assert_close(grids[64], one_by_one(found, 64, pixels, 16), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(grids[64][:1, :, 1, 1], literal, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(grids[32], one_by_one(found, 32, pixels, 4), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_every_pixel_of_a_patch_counts_but_vgg16s_last_four_lines() -> None:
    found = encoders(scales=(64, 32, 16))
    for scale, blind in ((64, 4), (32, 0), (16, 0)):
        patch = torch.full((1, 3, scale, scale), 0.5)
        for last in (scale - blind - 1, 0):
            changed = patch.clone()
            changed[:, :, last] = torch.rand(3, scale)
            assert not torch.allclose(
                found.embed(scale, patch), found.embed(scale, changed), rtol=0, atol=1e-6
            )


@torch.inference_mode()
def test_the_mean_picture_takes_the_place_of_the_mean_colour() -> None:
    """Whatever lies in the mean picture alone counts no longer; deviations are scaled as the network asks."""
    found = encoders(scales=(16,), size=(40, 48), mean_picture=True)
    plain = encoders(scales=(16,), size=(40, 48))
    plain.load_state_dict(found.state_dict(), strict=False)
    mean, change = torch.rand(3, 40, 48), 0.1 * torch.rand(1, 3, 40, 48)
    found.centre(mean)
    colour = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    expected = plain.grids(colour + change)[16]
    torch.testing.assert_close(found.grids(mean + change)[16], expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_patch_svdd_divides_what_is_left_of_the_mean_picture_by_nothing() -> None:
    found = encoders(**{**SVDD, "size": (64, 64), "mean_picture": True})
    mean, pixels = torch.rand(3, 64, 64), torch.rand(1, 3, 64, 64)
    found.centre(mean)
    small = found.by_scale["32"]
    literal = small.head(small.body.body((pixels - mean)[:, :, :32, :32])).tanh().flatten()
    torch.testing.assert_close(found.grids(pixels)[32][0, :, 0, 0], literal, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_bounded_embeddings_are_those_within_one() -> None:
    options: dict[str, Any] = {"backbone": "resnet18", "padding": True, "scales": (32, 16)}
    bounded, plain = encoders(**options, bounded=True), encoders(**options)
    plain.load_state_dict(bounded.state_dict())
    for scale in (32, 16):
        patches = torch.rand(3, 3, scale, scale)
        torch.testing.assert_close(bounded.embed(scale, patches), plain.embed(scale, patches).tanh())


def test_scales_learn_apart(vgg16: Encoders) -> None:
    owned = [set(map(id, module.parameters())) for module in vgg16.by_scale.values()]
    assert not owned[0] & owned[1]
    assert not owned[1] & owned[2]
    pictures = torch.rand(1, 3, 64, 64)
    patches = crop(pictures, torch.tensor([0, 0]), torch.tensor([[3, 5], [40, 41]]), 16)
    vgg16.embed(16, patches).sum().backward()
    assert all(value.grad is None for value in vgg16.by_scale["64"].parameters())
    assert all(value.grad is not None for value in vgg16.by_scale["16"].parameters())


def test_default_layers_of_a_registry_backbone_are_at_a_quarter_patch() -> None:
    found = encoders(backbone="resnet18", padding=True)
    bodies = [module.body for module in found.by_scale.values() if isinstance(module, Encoder)]
    layers = [body.backbone.layers for body in bodies if isinstance(body, FirstStages)]
    assert layers == [("layer3",), ("layer2",), ("layer1",)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet18", "scales": (32,)}, "padding"),
        ({"backbone": "tf_efficientnet_lite0", "scales": (32,)}, "padding"),
        ({"scales": (16,), "layers": ("features.30",)}, "something of a patch of 16 pixels"),
        ({"backbone": "patch_svdd", "scales": (16,)}, "something of a patch of 16 pixels"),
        ({"scales": (48,)}, "layers of vgg16"),
    ],
)
def test_networks_that_cannot_encode(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        encoders(**options)
