"""Encoders of patches: a network's first stages and one convolution, patch by patch or densely alike.

The truncation of VGG16 is ours; the paper says only that each patch size has an architecture of its own.
Without padding, the first stages up to pool 2, conv3_2 and conv4_1 leave exactly one cell of a patch of 16,
32 and 64 pixels (the last sees 60 of the 64). One convolution over what is left makes the embedding.

Such an encoder, applied to a whole picture, gives the embeddings of all patches of a grid whose stride is a
multiple of the network's: the same products in another order. With padding each patch has borders of its own,
and the patches of the grid are encoded in blocks.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.errors import OptionError
from flawscope.methods.multiscale_patch.options import PATCH_SVDD, MultiScalePatchOptions
from flawscope.methods.multiscale_patch.patches import cut_grid, grid_shape
from flawscope.nn.backbones.build import IMAGENET, Backbone, build_backbone, split_name

BLOCK_PIXELS = 2**17  # pixels of patches encoded at a time; larger blocks are slower on processors
_ON_GPU = 64  # times as many on a GPU, which small passes leave idle
_VGG16 = {64: "features.18", 32: "features.13", 16: "features.9"}
_WIDTHS = (32, 64, 128, 128, 64, 32, 32)  # of Patch SVDD's convolutions, its last but one
_JOINT = 128  # channels between Patch SVDD's two encoders
_SLOPE = 0.1
_ALIKE = 1e-3
_FLAT = 1e6  # largest value over standard deviation of what still varies in float32


class FirstStages(nn.Module):
    """The first stages of a registry backbone: pixels (n, 3, h, w) in [0, 1] to one map (n, C, h', w')."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels to the last layer's map."""
        maps: dict[str, Tensor] = self.backbone(pixels)
        return maps[self.backbone.layers[0]]


class Convolutions(nn.Module):
    """Patch SVDD's convolutions without padding (authors' code): pixels (n, 3, h, w) to (n, 32, h', w')."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        for key, value in zip(("mean", "std"), IMAGENET, strict=True):
            self.register_buffer(key, torch.tensor(value).view(1, 3, 1, 1), persistent=False)
        layers: list[nn.Module] = []
        before = 3
        for index, width in enumerate(_WIDTHS):
            layers += [nn.Conv2d(before, width, 3, stride=1 if index else 2), nn.LeakyReLU(_SLOPE)]
            before = width
        self.body = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels to the last layer's map."""
        maps: Tensor = self.body((pixels - self.mean) / self.std)
        return maps


class Encoder(nn.Module):
    """Enc_θ: patches of one size to embeddings.

    Args:
        body: pixels (n, 3, h, w) to a map (n, C, h', w').
        patch: side θ of a patch.
        dim: D.
        bounded: end with the hyperbolic tangent (Patch SVDD).

    Attributes:
        exact: whether one pass over a whole picture gives the embeddings of its patches.
    """

    def __init__(self, body: nn.Module, patch: int, dim: int, *, bounded: bool = False) -> None:
        super().__init__()
        self.body, self.patch, self.bounded = body, patch, bounded
        with torch.no_grad():
            channels, *kernel = body(torch.zeros(1, 3, patch, patch)).shape[1:]
        self.head = nn.Conv2d(channels, dim, (kernel[0], kernel[1]))
        self.reduction = math.prod(_steps(body))
        self.exact = False

    def forward(self, patches: Tensor) -> Tensor:
        """Map patches (n, 3, θ, θ) in [0, 1] to embeddings (n, D)."""
        return self._bounded(self.head(self.body(patches))).flatten(1)

    def grid(self, pixels: Tensor, stride: int) -> Tensor:
        """Embeddings (N, D, h, w) of the grid of patches of pixels (N, 3, H, W)."""
        if self.exact and stride % self.reduction == 0:
            return self.dense(pixels, stride)
        return self.piecewise(pixels, stride)

    def dense(self, pixels: Tensor, stride: int) -> Tensor:
        """The grid in one pass over the whole picture, where that is `exact`."""
        step = stride // self.reduction
        rows, columns = grid_shape(pixels.shape[2:], self.patch, stride)
        found = F.conv2d(self.body(pixels), self.head.weight, self.head.bias, stride=step)
        return self._bounded(found[:, :, :rows, :columns])  # a picture's rest may hold a few more cells

    def piecewise(self, pixels: Tensor, stride: int) -> Tensor:
        """The grid patch by patch, in blocks of a bounded size."""
        rows, columns = grid_shape(pixels.shape[2:], self.patch, stride)
        block = max(1, BLOCK_PIXELS * times(pixels.device) // (columns * self.patch**2))
        found = []
        for first in range(0, rows, block):
            count = min(block, rows - first)
            strip = pixels[:, :, first * stride : (first + count - 1) * stride + self.patch]
            vectors = self(cut_grid(strip, self.patch, stride))  # (N * count * w, D)
            found.append(vectors.reshape(-1, count, columns, vectors.shape[1]))  # (N, count, w, D)
        return torch.cat(found, 1).permute(0, 3, 1, 2)

    @torch.no_grad()
    def standardise(self, embeddings: Tensor) -> None:
        """Scale the head so that the components of these embeddings (n, D) get mean 0 and variance 1."""
        assert self.head.bias is not None  # noqa: S101 - convolutions have one here
        scale = embeddings.std(0, correction=0).clamp_min(torch.finfo(torch.float32).tiny).reciprocal()
        scale = torch.where(scale * embeddings.abs().amax(0) < _FLAT, scale, 1.0).to(self.head.weight)
        shift = embeddings.mean(0).to(self.head.bias)
        self.head.weight.mul_(scale.view(-1, 1, 1, 1))  # (D, C, h, w)
        self.head.bias.sub_(shift).mul_(scale)

    def _bounded(self, embeddings: Tensor) -> Tensor:
        return embeddings.tanh() if self.bounded else embeddings


class Joined(nn.Module):
    """Patch SVDD's larger encoder on the smaller one's embeddings of its four quarters (its section 3.3)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.join = nn.Conv2d(dim, _JOINT, 2)
        self.last = nn.Conv2d(_JOINT, dim, 1)

    def forward(self, quarters: Tensor, *, apart: int = 1, step: int = 1) -> Tensor:
        """Map embeddings (N, D, h, w) to (N, D, h', w').

        Args:
            quarters: of the smaller encoder's grid.
            apart: cells from one quarter of a patch to the next.
            step: cells from patch to patch.
        """
        joined = F.conv2d(quarters, self.join.weight, self.join.bias, stride=step, dilation=apart)
        found: Tensor = self.last(F.leaky_relu(joined, _SLOPE)).tanh()
        return found


class Encoders(nn.Module):
    """The encoders of all scales, unfitted."""

    def __init__(self, options: MultiScalePatchOptions) -> None:
        super().__init__()
        self.options = options
        bounded = options.backbone == PATCH_SVDD
        self.by_scale = nn.ModuleDict()
        for scale, layer in zip(options.encoders, _layers(options), strict=True):
            encoder = Encoder(_body(options, scale, layer), scale, options.embedding, bounded=bounded)
            if bounded or not options.padding:
                _require_exact(encoder, options)
            self.by_scale[str(scale)] = encoder
        self.joined = Joined(options.embedding) if options.hierarchical else None

    def embed(self, scale: int, patches: Tensor) -> Tensor:
        """Embeddings (n, D) of patches (n, 3, θ, θ) in [0, 1]."""
        if self.joined is None or scale != self.options.scales[0]:
            found: Tensor = self._encoder(scale)(patches)
            return found
        small = self.options.scales[1]
        quarters = self._encoder(small)(cut_grid(patches, small, small))  # (n * 4, D)
        square = quarters.reshape(-1, 2, 2, quarters.shape[1]).permute(0, 3, 1, 2)  # (n, D, 2, 2)
        embeddings: Tensor = self.joined(square)
        return embeddings.flatten(1)

    def standardise(self, scale: int, embeddings: Tensor) -> None:
        """Scale that encoder's head so that the components of these (n, D) get mean 0 and variance 1."""
        self._encoder(scale).standardise(embeddings)

    def grids(self, pixels: Tensor) -> dict[int, Tensor]:
        """Embeddings {θ: (N, D, h, w)} of all patches of pixels (N, 3, H, W), largest patches first."""
        options = self.options
        found = {s: self._encoder(s).grid(pixels, options.stride(s)) for s in options.encoders}
        if self.joined is None:
            return found
        large, small = options.scales[:2]
        step = options.stride(small)
        joined = self.joined(found[small], apart=small // step, step=options.stride(large) // step)
        rows, columns = grid_shape(pixels.shape[2:], large, options.stride(large))
        return {large: joined[:, :, :rows, :columns], **found}

    def backbones(self) -> list[Backbone]:
        """Those whose weights can be loaded."""
        return [module for module in self.modules() if isinstance(module, Backbone)]

    def _encoder(self, scale: int) -> Encoder:
        encoder = self.by_scale[str(scale)]
        if not isinstance(encoder, Encoder):
            raise TypeError(f"{scale} is no encoder's scale")
        return encoder


def times(device: torch.device) -> int:
    """How many times as many pixels one pass takes on this device as on a processor."""
    return _ON_GPU if device.type == "cuda" else 1


def _body(options: MultiScalePatchOptions, scale: int, layer: str | None) -> nn.Module:
    """A network for one scale's pixels, from a fixed seed, that leaves something of a patch."""
    try:
        body = Convolutions() if options.backbone == PATCH_SVDD else _first_stages(options, scale, layer)
        # a traced network that fails prints its own code, which the error below says better
        with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
            body(torch.zeros(1, 3, scale, scale))
    except RuntimeError as error:
        raise OptionError(
            "encoders of multiscale_patch",
            expected=f"layers that leave something of a patch of {scale} pixels",
            got=" ".join(str(error).split())[:120],
            fix="Choose earlier `layers`, or padding=true, which networks with shortcuts need.",
        ) from error
    return body


def _first_stages(options: MultiScalePatchOptions, scale: int, layer: str | None) -> nn.Module:
    backbone = build_backbone(
        options.backbone,
        None if layer is None else [layer],
        strides=[max(1, scale // 4)],
        size=(scale, scale),
        trainable=True,
    )
    if not options.padding:
        _remove_padding(backbone)
    return FirstStages(backbone)


def _layers(options: MultiScalePatchOptions) -> Sequence[str | None]:
    if options.layers is not None:
        return options.layers
    known = _VGG16 if split_name(options.backbone)[1] == "vgg16" else {}
    return [known.get(scale) for scale in options.encoders]


def _remove_padding(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            module.padding = (0, 0)


def _steps(network: nn.Module) -> list[int]:
    """Strides of all convolutions and pools, which multiply to the network's where it has no branches."""
    strides: list[Any] = [
        module.stride
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d)
    ]
    return [stride if isinstance(stride, int) else int(stride[0]) for stride in strides]


@torch.no_grad()
def _require_exact(encoder: Encoder, options: MultiScalePatchOptions) -> None:
    """Compare a dense pass with patch by patch, and note whether it is exact; it must be, without padding."""
    stride = math.lcm(encoder.reduction, 4)
    side = encoder.patch + stride
    pixels = torch.rand(1, 3, side, side + 1, generator=torch.Generator().manual_seed(0))
    encoder.eval()
    reference = encoder.piecewise(pixels, stride)
    found = encoder.dense(pixels, stride)
    close = found.shape == reference.shape and float((found - reference).abs().max()) <= _ALIKE * float(
        reference.abs().max()
    )
    if not close:
        raise OptionError(
            "option 'padding' of multiscale_patch",
            expected=f"true for {options.backbone}, which is no plain chain of convolutions and pools",
            got="false",
            fix="Set padding=true, or take vgg16.",
        )
    encoder.exact = True
