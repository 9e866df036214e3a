"""Backbones give the library's own maps, cut after the last layer in use."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from flawscope.errors import OptionError
from flawscope.nn.backbones import cutting
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.backbones.folding import folded
from flawscope.nn.backbones.pdn import Convolution

PIXELS = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def copy_weights(source: nn.Module, backbone: Backbone) -> None:
    """Give the backbone the weights of the library's whole network."""
    state = source.state_dict()
    backbone.body.load_state_dict({key: state[key] for key in backbone.body.state_dict()})


def hooked(network: nn.Module, layers: tuple[str, ...], x: Tensor) -> dict[str, Tensor]:
    """What the library's network gives at its modules, an independent way to the maps."""
    found: dict[str, Any] = {}
    for layer in layers:
        network.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: found.update({layer: output})
        )
    with torch.inference_mode():
        network.eval()(x)
    return found


def randomised(network: nn.Module) -> nn.Module:
    """Weights and statistics that no two networks share."""
    generator = torch.Generator().manual_seed(7)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) * 0.1 + (0.9 if "var" in name else 0))
    return network


def test_torchvision_maps_equal_the_library() -> None:
    network = randomised(torchvision.models.resnet18(weights=None))
    backbone = build_backbone("resnet18", ["layer2", "layer3"], size=(64, 64))
    copy_weights(network, backbone)
    expected = hooked(network, ("layer2", "layer3"), (PIXELS - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1))
    for layer, values in backbone(PIXELS).items():
        torch.testing.assert_close(values, expected[layer], rtol=1e-4, atol=1e-4)
    assert backbone.channels == {"layer2": 128, "layer3": 256}
    assert backbone.strides == {"layer2": 8, "layer3": 16}
    assert backbone.grids == {"layer2": (8, 8), "layer3": (4, 4)}


def test_timm_maps_equal_the_library_with_the_weights_own_normalisation() -> None:
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    backbone = build_backbone("tf_efficientnet_lite0")
    copy_weights(network, backbone)
    expected = hooked(network, ("blocks.2", "blocks.4"), (PIXELS * 255 - 127) / 128)
    for layer, values in backbone(PIXELS).items():
        torch.testing.assert_close(values, expected[layer], rtol=1e-4, atol=1e-4)


def test_vision_transformer_tokens_come_as_maps() -> None:
    backbone = build_backbone("timm:vit_tiny_patch16_224", ["blocks.1", "blocks.0"], size=(64, 96))
    maps = backbone(torch.rand(1, 3, 64, 96))
    assert list(maps) == ["blocks.0", "blocks.1"]
    assert maps["blocks.1"].shape == (1, 192, 4, 6)
    assert not any(key.startswith("blocks.2") for key in backbone.body.state_dict())


def test_layers_above_the_last_in_use_are_dropped() -> None:
    keys = build_backbone("resnet18", ["layer2"]).body.state_dict()
    assert any(key.startswith("layer2") for key in keys)
    assert not any(key.startswith(("layer3", "layer4", "fc")) for key in keys)


def test_building_twice_gives_the_same_random_weights_and_leaves_torchs_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first, second = (build_backbone("pdn_s").state_dict() for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_frozen_for_good() -> None:
    backbone = build_backbone("resnet18", ["layer1"]).train()
    before = backbone.body.get_buffer("bn1.running_mean").clone()
    backbone(PIXELS)
    assert torch.equal(before, backbone.body.get_buffer("bn1.running_mean"))
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


@pytest.mark.parametrize("padding", [0, 1, 2, 3])
def test_a_convolution_that_learns_pads_as_any(padding: int) -> None:
    torch.manual_seed(0)
    ours, plain = Convolution(3, 5, 4, padding=padding), nn.Conv2d(3, 5, 4, padding=padding)
    plain.load_state_dict(ours.state_dict())
    gradients = []
    for layer in (ours, plain):
        pixels = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(1), requires_grad=True)
        maps = layer(pixels)
        maps.square().sum().backward()
        gradients.append([maps, pixels.grad, *(value.grad for value in layer.parameters())])
    torch.testing.assert_close(*gradients)


def test_pdn_s_has_the_papers_size_and_stride() -> None:
    backbone = build_backbone("pdn_s", size=(256, 256))
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 2_694_144
    assert backbone.channels == {"8": 384}
    assert backbone.grids == {"8": (64, 64)}


@pytest.mark.parametrize(
    ("name", "layers", "message"),
    [
        ("resnet81", None, 'Did you mean "resnet18"?'),
        ("timm:no_such_network", None, "one that neither knows"),
        ("resnet18", ["layer5"], 'Did you mean "layer4"?'),
        ("resnet18", ["layer2", "layer2"], "each layer once"),
        ("vgg16", None, "Name some of: features"),
        ("resnet18", ["avgpool", "flatten"], "the name of one of its modules"),
        ("resnet18", ["blocks.1"], "layers: null (--set options.layers=null)"),
        ("resnet18", ["fc"], "a feature map, (N, C, h, w)"),
    ],
)
def test_wrong_names_are_one_clear_line(name: str, layers: list[str] | None, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        build_backbone(name, layers)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_size_that_a_transformer_cannot_take() -> None:
    with pytest.raises(OptionError, match="multiples of the network's patch"):
        build_backbone("timm:vit_tiny_patch16_224", ["blocks.1"], size=(60, 60))


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0"])
def test_batch_norms_folded_into_convolutions_change_nothing(name: str) -> None:
    backbone = build_backbone(name, strides=(4, 16))
    randomised(backbone)
    light = folded(backbone)
    assert any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in light.modules())
    for layer, values in backbone(PIXELS).items():
        torch.testing.assert_close(light(PIXELS)[layer], values, rtol=1e-4, atol=1e-4)


def test_strides_are_the_networks_where_sides_are_no_multiples() -> None:
    assert build_backbone("resnet18", strides=(4, 8, 16, 32), size=(100, 70)).strides == {
        "layer1": 4,
        "layer2": 8,
        "layer3": 16,
        "layer4": 32,
    }


@pytest.mark.parametrize("name", ["test_resnet", "timm:test_efficientnet", "pdn_s"])
def test_a_second_network_is_cut_as_the_first_without_being_traced(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "_TRACED", {})
    first = build_backbone(name)
    monkeypatch.setattr(cutting, "_traced", None)
    second = build_backbone(name)
    assert list(first.state_dict()) == list(second.state_dict())
    for layer, found in second(PIXELS).items():
        assert torch.equal(found, first(PIXELS)[layer])
    for parameter in second.parameters():
        parameter.zero_()
    assert any(parameter.any() for parameter in first.parameters())


def test_a_network_that_makes_tensors_on_the_way_is_traced_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.convolution(x + torch.ones(3, 1, 1))

    monkeypatch.setattr(cutting, "_TRACED", {})
    for _ in range(2):
        made = cutting.cut(Shifted(), ("convolution",), "torchvision", "shifted")
        assert made(torch.zeros(1, 3, 8, 8))["convolution"].shape == (1, 4, 6, 6)
    assert cutting._TRACED == {}
