"""EfficientAD's three networks, the patch description network as a function with taps, and maps' places.

Tables 5.2 to 5.4 of the thesis named in `flawscope.methods.efficientad`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.nn.backbones.pdn import STRIDE, Cells, cells
from flawscope.nn.heatmaps import Separable, interpolation
from flawscope.nn.moments import Moments
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch, batches

AUTOENCODER_SIDE = 256
LATENT = 64
_ENCODER = (32, 32, 64, 64, 64)
DECODER = (3, 8, 15, 32, 63, 127)
_DROPOUT = 0.2
_BATCH = 4


class Autoencoder(nn.Module):
    """Table 5.4: a whole picture through 64 values, back to the teacher's map. (N, 3, H, W) → (N, C, h, w).

    The table is for 256×256. Pictures of another size are resized to it first, so that the 64 values still
    hold the whole picture; the last resize goes to the teacher's map.

    Args:
        channels: C, of the teacher's map.
        grid: its height and width.
        largest: side of the largest maps that the decoder convolves; those of the table that are larger are
            left out. At a grid of 56×56 the last one takes 70 % of all operations.
    """

    def __init__(self, channels: int, grid: tuple[int, int], *, largest: int = DECODER[-1]) -> None:
        super().__init__()
        self.grid = grid
        self.sides = tuple(side for side in DECODER if side <= largest)
        widths = (3, *_ENCODER)
        self.encoder = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.bottleneck = nn.Conv2d(_ENCODER[-1], LATENT, 8)
        self.decoder = nn.ModuleList(nn.Conv2d(LATENT, 64, 4, padding=2) for _ in self.sides)
        self.last = nn.Conv2d(64, 64, 3, padding=1)
        self.output = nn.Conv2d(64, channels, 3, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised pixels (N, 3, H, W) to (N, C, h, w)."""
        x = pixels
        if x.shape[2:] != (AUTOENCODER_SIDE, AUTOENCODER_SIDE):
            x = _resize(x, (AUTOENCODER_SIDE, AUTOENCODER_SIDE))
        for convolution in self.encoder:
            x = F.relu(convolution(x))
        x = self.bottleneck(x)  # (N, 64, 1, 1)
        for side, convolution in zip(self.sides, self.decoder, strict=True):
            x = F.relu(convolution(_resize(x, (side, side))))  # (N, 64, side + 1, side + 1)
            x = dropped(x, _DROPOUT) if self.training else x
        x = F.relu(self.last(_resize(x, self.grid)))
        output: Tensor = self.output(x)
        return output


class Networks(nn.Module):
    """Teacher, student and autoencoder.

    Args:
        teacher: its last convolution gives normalised features (N, C, h, w).
        student: the same network with 2C channels at the end.
        autoencoder: (N, 3, H, W) → (N, C, h, w).
    """

    def __init__(self, teacher: nn.Sequential, student: nn.Sequential, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.teacher, self.student, self.autoencoder = teacher, student, autoencoder
        self.cells = cells(teacher)


class Resampling(Separable):
    """Reads a map (N, h, w) at the centres of another map's cells, linearly between its own: (N, H, W)."""

    def __init__(self, source: Cells, target: Cells, shape: tuple[int, int], grid: tuple[int, int]) -> None:
        super().__init__(
            *(
                interpolation(own, (target.centres(count) - source.origin) / source.stride).float()
                for own, count in zip(shape, grid, strict=True)
            )
        )


Border = tuple[int, int, int, int]  # cells at the left, right, upper and lower side


def border(where: Cells, grid: tuple[int, int], size: tuple[int, int]) -> tuple[Border, tuple[int, int]]:
    """What a map lacks at each side of a picture of that size, and the grid (h, w) that spans all of it.

    Cells without padding begin a few strides inside the picture.
    """
    before = round(where.origin / STRIDE)
    height, width = (-(-side // STRIDE) for side in size)
    return (before, width - grid[1] - before, before, height - grid[0] - before), (height, width)


def bordered(maps: Tensor, lacking: Border) -> Tensor:
    """Maps (N, K, h, w) over the whole picture: their outermost cells are repeated where they lack some."""
    return F.pad(maps, lacking, mode="replicate") if any(lacking) else maps


def at_centres(mask: Tensor, where: Cells, grid: tuple[int, int]) -> Tensor:
    """The mask (N, H, W) at the cells' centres (N, h, w): for each the nearest pixel of the picture."""
    rows, columns = (
        where.centres(grid[side]).round().long().clamp(0, mask.shape[side + 1] - 1).to(mask.device)
        for side in (0, 1)
    )
    return mask[:, rows[:, None], columns]


def touched(mask: Tensor, where: Cells, grid: tuple[int, int]) -> Tensor:
    """Cells (N, h, w) that see any True pixel of the mask (N, H, W): the mask, dilated by their field."""
    start = round(where.origin - (where.field - 1) / 2)  # first pixel that the first cell sees
    sides = []
    for length, count in zip(reversed(mask.shape[1:]), reversed(grid), strict=True):
        end = start + (count - 1) * where.stride + where.field
        sides += [-start, end - length]  # fields that end inside the picture take pixels away
    around = F.pad(mask[:, None].float(), sides)  # (N, 1, H, W)
    return F.max_pool2d(around, where.field, where.stride)[:, 0] > 0


ALL = slice(None)


def taps(network: nn.Sequential, pixels: Tensor, depth: int, channels: slice = ALL) -> list[Tensor]:
    """Outputs of the last `depth` convolutions of a patch description network, the final one last.

    Each but the final is taken after its ReLU, as the next layer gets it; of the final one only the channels
    asked for are computed.
    """
    places = [place for place, layer in enumerate(network) if isinstance(layer, nn.Conv2d)][-depth:]
    found = []
    x = pixels
    for place, layer in enumerate(network):
        some = place == places[-1] and channels != ALL
        x = _some(layer, x, channels) if some else layer(x)
        if place in places[:-1]:
            found.append(F.relu(x))
    return [*found, x]


def dropped(x: Tensor, share: float) -> Tensor:
    """The maps (N, C, h, w) without a share of their values: `F.dropout`, in a third of its time on a CPU.

    There 64 bits are drawn at once, for four values.
    """
    if x.device.type != "cpu":
        return F.dropout(x, share)
    count, channels, height, width = x.shape
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    kept = bits[: x.numel()] >= round(share * 2**16) - 2**15
    factors = kept.to(x.dtype).div_(1 - share).view(count, height, width, channels)
    return x * factors.permute(0, 3, 1, 2)


def _some(layer: nn.Module, x: Tensor, channels: slice) -> Tensor:
    """Some of the channels that a convolution gives."""
    if not isinstance(layer, nn.Conv2d) or layer.bias is None:
        raise ValueError("a patch description network ends with a convolution with biases")
    return F.conv2d(x, layer.weight[channels], layer.bias[channels], padding=layer.padding)


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=(size[0], size[1]), mode="bilinear", align_corners=False)


@torch.no_grad()
def normalise_output(
    teacher: nn.Sequential, pictures: Pictures, run: Run, watch: Watch, *, prepare: Callable[[Tensor], Tensor]
) -> None:
    """Scale each channel of a network to mean 0 and variance 1 over the pictures, in its last convolution.

    Args:
        teacher: on the run's device; (N, 3, H, W) → (N, C, h, w), its last convolution without activation.
        pictures: the training pictures.
        run: device and training precision.
        prepare: pixels (N, 3, H, W) in [0, 1] → what the teacher takes.
    """
    moments = Moments()
    for pixels in batches(pictures, run, watch, "measuring the teacher", _BATCH):
        with run.autocast():
            moments.add(teacher(prepare(pixels).contiguous(memory_format=torch.channels_last)))
    convolution = [layer for layer in teacher if isinstance(layer, nn.Conv2d)][-1]
    fold_normalisation(convolution, moments.mean.float(), moments.std.float())


def fold_normalisation(convolution: nn.Conv2d, mean: Tensor, std: Tensor) -> None:
    """Change a last convolution so that it gives (output − mean) / std, channel by channel."""
    with torch.no_grad():
        convolution.weight.div_(std.view(-1, 1, 1, 1))
        if convolution.bias is None:
            raise ValueError("a patch description network's convolutions have biases")
        convolution.bias.sub_(mean).div_(std)
