"""Encoders of patches: a network's first stages and one convolution, patch by patch or densely alike.

An encoder is a trunk (`trunks.py`) and one convolution over all that it leaves of a patch. Without padding,
one pass over a whole picture gives the embeddings of all patches of a grid whose stride is a multiple of the
network's: the same products in another order. With padding each patch has borders of its own, and the patches
of the grid are encoded in blocks.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.errors import OptionError
from flawscope.methods.multiscale_patch.options import PATCH_SVDD, MultiScalePatchOptions
from flawscope.methods.multiscale_patch.patches import cut_grid, grid_shape
from flawscope.methods.multiscale_patch.trunks import (
    SLOPE,
    Convolutions,
    FirstStages,
    build_trunk,
    layers_of,
    strides_of,
)
from flawscope.nn.backbones.build import Backbone

BLOCK_PIXELS = 2**17  # pixels of patches encoded at a time; larger blocks are slower on processors
_ON_GPU = 64  # times as many on a GPU, which small passes leave idle
_JOINT = 128  # channels between Patch SVDD's two encoders
_ALIKE = 1e-3
_FLAT = 1e6  # largest value over standard deviation of what still varies in float32


class Encoder(nn.Module):
    """Enc_θ: patches of one size to embeddings.

    Args:
        body: the trunk: pixels (n, 3, h, w) to a map (n, C, h', w').
        patch: side θ of a patch.
        options: D; whether the hyperbolic tangent ends it, and whether the trunk learns.

    Attributes:
        exact: whether one pass over a whole picture gives the embeddings of its patches.
    """

    def __init__(self, body: FirstStages | Convolutions, patch: int, options: MultiScalePatchOptions) -> None:
        super().__init__()
        self.body, self.patch = body, patch
        self.bounded, self.frozen = options.bounded, options.trunk_rate == 0
        with torch.no_grad():
            channels, *kernel = body(torch.zeros(1, 3, patch, patch)).shape[1:]
        self.head = nn.Conv2d(channels, options.embedding, (kernel[0], kernel[1]))
        self.reduction = math.prod(strides_of(body))
        self.exact = False

    def forward(self, patches: Tensor) -> Tensor:
        """Map patches (n, 3, θ, θ) to embeddings (n, D)."""
        found: Tensor = self.body(patches)
        if self.frozen and found.requires_grad:
            found = found.detach()
        return self._bounded(self.head(found)).flatten(1)

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
    """Patch SVDD's larger encoder on the smaller one's embeddings of its four quarters (its section 3.3).

    Args:
        dim: D.
        bounded: end with the hyperbolic tangent.
    """

    def __init__(self, dim: int, *, bounded: bool) -> None:
        super().__init__()
        self.bounded = bounded
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
        found: Tensor = self.last(F.leaky_relu(joined, SLOPE))
        return found.tanh() if self.bounded else found


class Encoders(nn.Module):
    """The encoders of all scales, unfitted.

    Attributes:
        offset: (1, 3, H, W) taken from pixels first with `mean_picture`: the mean picture less the colour
            that the trunks themselves take.
    """

    offset: Tensor

    def __init__(self, options: MultiScalePatchOptions) -> None:
        super().__init__()
        self.options = options
        self.by_scale = nn.ModuleDict()
        for scale, layer in zip(options.encoders, layers_of(options), strict=True):
            encoder = Encoder(build_trunk(options, scale, layer), scale, options)
            if options.backbone == PATCH_SVDD or not options.padding:
                _require_exact(encoder, options)
            self.by_scale[str(scale)] = encoder
        self.joined = Joined(options.embedding, bounded=options.bounded) if options.hierarchical else None
        if options.mean_picture:
            self.register_buffer("offset", torch.zeros(1, 3, *options.size))

    def centre(self, mean: Tensor) -> None:
        """Take that mean picture (3, H, W) from all pixels from now on."""
        self.offset.copy_(mean.to(self.offset) - self._encoder(self.options.encoders[0]).body.mean)

    def centred(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) as the encoders take them, patches of which `embed` embeds."""
        return pixels - self.offset if self.options.mean_picture else pixels

    def embed(self, scale: int, patches: Tensor) -> Tensor:
        """Embeddings (n, D) of patches (n, 3, θ, θ) of `centred` pixels."""
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
        options, pixels = self.options, self.centred(pixels)
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

    def trunks(self) -> list[nn.Parameter]:
        """The parameters of all trunks, which start pretrained; those of the other layers are new."""
        bodies = [self._encoder(scale).body for scale in self.options.encoders]
        return [parameter for body in bodies for parameter in body.parameters()]

    def _encoder(self, scale: int) -> Encoder:
        encoder = self.by_scale[str(scale)]
        if not isinstance(encoder, Encoder):
            raise TypeError(f"{scale} is no encoder's scale")
        return encoder


def times(device: torch.device) -> int:
    """How many times as many pixels one pass takes on this device as on a processor."""
    return _ON_GPU if device.type == "cuda" else 1


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
