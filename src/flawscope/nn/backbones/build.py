"""Feature networks by the names of torchvision and timm, cut after the last layer that is asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from flawscope.errors import OptionError, suggest
from flawscope.nn.backbones._vgg import VggFeatures
from flawscope.nn.backbones.cutting import cut
from flawscope.nn.backbones.pdn import pdn_m, pdn_s
from flawscope.nn.backbones.strides import stride_of
from flawscope.nn.run import seeded

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PREPROCESSING = {
    # TensorFlow's (x * 255 - 127) / 128; timm's own record of these weights says 0.5 and 0.5.
    **dict.fromkeys(
        [f"tf_efficientnet_lite{number}" for number in range(5)], ((127 / 255,) * 3, (128 / 255,) * 3)
    )
}
OWN: dict[str, Callable[[], nn.Module]] = {"pdn_m": pdn_m, "pdn_s": pdn_s}
_PROBE = 64


class Backbone(nn.Module):
    """A pretrained network's first part: pixels in, named feature maps out; frozen unless `trainable`.

    Made by `build_backbone`. `body` keeps the library's parameter names, so that its weight files fit. While
    frozen it stays in evaluation mode: the statistics of its batch norms never move.

    Attributes:
        name: the library's name of the network.
        library: `torchvision`, `timm` or `flawscope`.
        layers: module names whose outputs come out, in the order of `forward`'s dict.
        channels: width of each map, by layer.
        grids: height and width of each map, by layer, for the size given at building.
        strides: input pixels per map pixel, by layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        name: str,
        library: str,
        layers: tuple[str, ...],
        preprocessing: tuple[Sequence[float], Sequence[float]],
        *,
        size: tuple[int, int] = (_PROBE, _PROBE),
        trainable: bool = False,
    ) -> None:
        super().__init__()
        self.body, self.name, self.library, self.layers = body, name, library, layers
        self.trainable = trainable
        self.tokens = not isinstance(body, fx.GraphModule)
        for key, value in zip(("mean", "std"), preprocessing, strict=True):
            self.register_buffer(key, torch.tensor(value).view(1, 3, 1, 1))
        self.requires_grad_(trainable).eval()
        with torch.inference_mode():
            maps = Backbone.forward(self, torch.zeros(1, 3, *size))
        for layer in layers:
            _check_map(name, layer, maps[layer], size)
        self.channels = {layer: maps[layer].shape[1] for layer in layers}
        self.grids = {layer: (maps[layer].shape[2], maps[layer].shape[3]) for layer in layers}
        self.strides = {
            layer: stride_of(size[0], self.grids[layer][0], tokens=self.tokens) for layer in layers
        }

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map `pixels` (N, 3, H, W) in [0, 1] to {layer: (N, C, h, w)} float32."""
        dtype = next(self.body.parameters()).dtype
        x = ((pixels - self.mean) / self.std).to(dtype)
        if self.tokens:
            network: Any = self.body
            found = network.forward_intermediates(x, _blocks(self.layers), intermediates_only=True)
            maps = dict(zip(self.layers, found, strict=True))
        else:
            maps = self.body(x)
        return {layer: maps[layer].float() for layer in self.layers}

    def train(self, mode: bool = True) -> Backbone:
        """See `nn.Module.train`; a frozen network stays in evaluation mode."""
        return super().train(mode and self.trainable)


def build_backbone(
    name: str,
    layers: Sequence[str] | None = None,
    *,
    strides: Sequence[int] = (8, 16),
    size: tuple[int, int] | None = None,
    trainable: bool = False,
) -> Backbone:
    """Build the network up to the last of `layers`, with random weights from a fixed seed; nothing is loaded.

    Args:
        name: as torchvision or timm call it, torchvision first; `timm:NAME` or `torchvision:NAME` decide
            where both know it; `pdn_s` and `pdn_m` are this package's own.
        layers: module names; None takes the last layer at each of `strides`, which for ResNets is layer1 at
            4, layer2 at 8, layer3 at 16.
        strides: for `layers=None`.
        size: height and width of the input, for `grids`; vision transformers are built for it.
        trainable: let its parameters learn; its batch norms then follow `train()`.

    Raises:
        OptionError: unknown network or layer, or a size that the network cannot take.
    """
    library, plain = resolve(name)
    with seeded(0):
        network = _create(library, plain, size)
    chosen = tuple(layers) if layers else _default_layers(network, library, plain, strides)
    _check_layers(network, plain, chosen)
    network.requires_grad_(False).eval()
    side = size or (_PROBE, _PROBE)
    body: Any = network
    if _is_transformer(network):
        chosen = tuple(f"blocks.{number}" for number in sorted(_blocks(chosen)))
        body.prune_intermediate_layers(_blocks(chosen), prune_norm=True)
        side = size or body.pretrained_cfg["input_size"][-2:]
    else:
        body = cut(network, chosen, library, plain)
    return Backbone(
        body, plain, library, chosen, _preprocessing(network, plain), size=side, trainable=trainable
    )


def split_name(name: str) -> tuple[str | None, str]:
    """Split `library:name`; the library is None where the name has none.

    >>> split_name("timm:resnet18"), split_name("resnet18")
    (('timm', 'resnet18'), (None, 'resnet18'))
    """
    library, colon, plain = name.rpartition(":")
    return (library, plain) if colon else (None, name)


def import_timm() -> Any:
    """timm, with its hub client's telemetry off and its log at errors only."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import timm  # noqa: PLC0415 - takes seconds, and many backbones need none of it

    logging.getLogger("timm").setLevel(logging.ERROR)
    return timm


def resolve(name: str) -> tuple[str, str]:
    """The library that knows the network, and the network's plain name there."""
    import torchvision.models  # noqa: PLC0415

    library, plain = split_name(name)
    if plain in OWN and library is None:
        return "flawscope", plain
    if library in (None, "torchvision") and plain in torchvision.models.list_models(torchvision.models):
        return "torchvision", plain
    if library in (None, "timm") and import_timm().is_model(plain.split(".")[0]):
        return "timm", plain
    known = [*OWN, *torchvision.models.list_models(torchvision.models), *import_timm().list_models()]
    near = suggest(plain, known).split(" Known:")[0]
    raise OptionError(
        f"backbone {name!r}",
        expected="the name of a torchvision or timm network",
        got="one that neither knows",
        fix=near
        if near.startswith("Did")
        else "torchvision.models.list_models() and timm.list_models() name them.",
    )


def _create(library: str, name: str, size: tuple[int, int] | None) -> nn.Module:
    if library == "flawscope":
        return OWN[name]()
    if library == "torchvision" and name.startswith("vgg"):
        return VggFeatures(name)
    if library == "torchvision":
        import torchvision.models  # noqa: PLC0415

        options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
        return network
    timm = import_timm()
    network = timm.create_model(name, pretrained=False)
    if not _is_transformer(network) or size is None:
        return network
    try:
        network = timm.create_model(name, pretrained=False, num_classes=0, img_size=size)
    except (AssertionError, ValueError, TypeError) as error:
        raise _wrong_size(name, size, str(error)) from error
    patch = network.patch_embed.patch_size  # type: ignore[union-attr]
    if any(side % step for side, step in zip(size, patch, strict=True)):  # type: ignore[arg-type]
        raise _wrong_size(name, size, f"{size[0]}x{size[1]}")
    return network


def _wrong_size(name: str, size: tuple[int, int], got: str) -> OptionError:
    return OptionError(
        f"size of {name}",
        expected="a height and width that are multiples of the network's patch (14 or 16 pixels)",
        got=got.splitlines()[0] if got else f"{size[0]}x{size[1]}",
        fix="Choose 224 or 448, say.",
    )


def _is_transformer(network: nn.Module) -> bool:
    """Plain vision transformers of timm: token sequences, which need their own way to maps."""
    return (
        hasattr(network, "forward_intermediates")
        and hasattr(network, "patch_embed")
        and hasattr(network, "cls_token")
    )


def _default_layers(network: nn.Module, library: str, name: str, strides: Sequence[int]) -> tuple[str, ...]:
    by_stride: dict[int, str] = {}
    if name in OWN:
        return (str(len(network) - 1),)  # type: ignore[arg-type]
    if library == "timm" and not _is_transformer(network):
        entries: Any = getattr(network, "feature_info", [])
        by_stride = {entry["reduction"]: entry["module"] for entry in getattr(entries, "info", entries)}
    elif all(hasattr(network, f"layer{number}") for number in range(1, 5)):
        by_stride = {2 ** (number + 1): f"layer{number}" for number in range(1, 5)}
    if not all(stride in by_stride for stride in strides):
        raise OptionError(
            f"layers of {name}",
            expected="module names, for this network has no customary ones at strides "
            + ", ".join(str(stride) for stride in strides),
            got="none",
            fix=f"Name some of: {', '.join(_names(network))}.",
        )
    return tuple(by_stride[stride] for stride in strides)


def _blocks(layers: Sequence[str]) -> list[int]:
    """The numbers of a transformer's layers, which are named blocks.0, blocks.1 and so on."""
    return [int(layer.removeprefix("blocks.")) for layer in layers]


def _names(network: nn.Module) -> list[str]:
    """Module names to choose from: the upper two levels."""
    return [name for name, _ in network.named_modules() if name and name.count(".") <= 1]


def _check_layers(network: nn.Module, name: str, layers: tuple[str, ...]) -> None:
    known = [known for known, _ in network.named_modules() if known]
    for layer in layers:
        number = layer.removeprefix("blocks.")
        if layer not in known or (_is_transformer(network) and not number.isdecimal()):
            raise OptionError(
                f"layer {layer!r} of {name}",
                expected="the name of one of its modules",
                got="one that it lacks",
                fix=f"{suggest(layer, _names(network))} If a preset named it for another network, "
                "layers: null (--set options.layers=null) takes the usual ones.",
            )
    if len(set(layers)) != len(layers):
        got, fix = ", ".join(layers), "Remove the repetition."
        raise OptionError(f"layers of {name}", expected="each layer once", got=got, fix=fix)


def _check_map(name: str, layer: str, output: Tensor, size: tuple[int, int]) -> None:
    """Refuse vectors, tokens and (N, h, w, C): a map keeps the picture's proportions within a cell or two."""
    strides = [side / cells for side, cells in zip(size, output.shape[2:4], strict=False)]
    if output.ndim != 4 or max(strides) > 2 * min(strides):
        raise OptionError(
            f"layer {layer!r} of {name}",
            expected="one whose output is a feature map, (N, C, h, w)",
            got=f"shape {tuple(output.shape)} for a picture of {size[0]}x{size[1]}",
            fix="Choose another layer, or another network.",
        )


def _preprocessing(network: nn.Module, name: str) -> tuple[Sequence[float], Sequence[float]]:
    config: Mapping[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    known = PREPROCESSING.get(name.split(".", maxsplit=1)[0])
    return known or (config.get("mean", IMAGENET[0]), config.get("std", IMAGENET[1]))
